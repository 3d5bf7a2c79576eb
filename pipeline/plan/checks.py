"""What the plan checks before anything is launched: that models, tokenizers, data and the recipe fit each other.

Reads configuration and data files, never weights; torch is not imported. Every problem is a `UserError`.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.config import Recipe
from pipeline.data.documents import check_beginning
from pipeline.errors import UserError
from pipeline.inputs.resolver import RecipeInputs
from pipeline.models.saved_model import check_tokenizer, check_weights, model_shape, tokenizer_vocabulary
from pipeline.plan.student_checks import check_lengths, check_start, check_student
from pipeline.tasks import KINDS, kind_of
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.teacher_labels import teacher_labels

OTHER_HEADS = ("Model", "ForMaskedLM", "ForPreTraining", *(kind.head for kind in KINDS.values() if kind.head))
FIRST_WORDS = 100  # of the vectors, read by the plan


def check(recipe: Recipe, inputs: RecipeInputs) -> None:
    """Raises UserError for the first thing that does not fit."""
    shape = model_shape(inputs.backbone, "backbone")
    for folder in filter(None, (inputs.backbone, inputs.teacher, inputs.student)):
        check_weights(folder)
    check_tokenizer(inputs.backbone, shape)
    check_student(recipe, shape, inputs.backbone)
    check_start(recipe, shape, inputs)
    check_lengths(recipe, shape)
    check_corpus(recipe, inputs)
    check_protect(recipe)
    check_tracker(recipe)
    check_export(recipe, inputs.backbone)
    check_pooling(recipe, inputs)
    check_training(recipe)
    check_files(inputs)
    data = read_task(recipe.task, inputs.task)
    check_augmentation(recipe, inputs, data)
    if inputs.teacher is not None:
        check_teacher(recipe, data, teacher=inputs.teacher, backbone=inputs.backbone)


def check_files(inputs: RecipeInputs) -> None:
    """A file of labelled rows stands once in one split, one of task.unlabelled once in there."""
    for splits in (("train", "dev", "test"), ("unlabelled",)):
        home: dict[Path, str] = {}
        for split in splits:
            for path in inputs.task.get(split, ()):
                if other := home.get(path.resolve()):
                    again = "a second time" if other == split else f"which stands in task.{other}"
                    raise UserError(f"task.{split}: names {path}, {again}; leave it out, or give another file")
                home[path.resolve()] = split


def check_training(recipe: Recipe) -> None:
    """A kind of task that has no labels to learn leaves its teacher as it is."""
    epochs = 0 if recipe.finetune_teacher.model else recipe.finetune_teacher.epochs
    learns_labels = kind_of(recipe.task).supervised is not None
    if recipe.distill_predictions.label and not learns_labels:
        raise UserError(f"distill_predictions.label: {recipe.task.kind} tasks have no label to learn; set it to 0")
    if epochs and not learns_labels:
        raise UserError(
            f"finetune_teacher.epochs: {epochs:g}, but the teacher of {recipe.task.kind} tasks is taken as it is; set"
            " it to 0"
        )


def check_corpus(recipe: Recipe, inputs: RecipeInputs) -> None:
    """A stage that reads the corpus needs one, in files of a known kind."""
    for path in inputs.corpus:
        check_beginning(path, column=recipe.prepare_corpus.column)
    if inputs.vectors is not None:
        from pipeline.data.word_vectors import read_vectors  # noqa: PLC0415 (pyarrow: a finished run needs none)

        read_vectors(inputs.vectors, vector_words=FIRST_WORDS)
    corpus = recipe.prepare_corpus
    for stage in ("pretrain_teacher", "distill_general"):
        if getattr(recipe, stage).epochs and not (corpus.sources or corpus.task_text):
            raise UserError(
                f"prepare_corpus.sources: empty, but {stage} trains on it; name files, or set {stage}.epochs: 0"
            )


def check_protect(recipe: Recipe) -> None:
    """What is protected is a regular expression."""
    pattern = recipe.propose_candidates.protect
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise UserError(f"propose_candidates.protect: {pattern!r} is no regular expression: {error}") from None


def check_augmentation(recipe: Recipe, inputs: RecipeInputs, data: TaskData) -> None:
    """A dataset to reuse fits the task; a teacher that is asked has answers to compare."""
    augment = recipe.augment_data
    if augment.same_answer and augment.reuse:
        raise UserError("augment_data.same_answer: a dataset that is reused stays as it is; leave one of the two out")
    if augment.same_answer and data.kind != "classification":
        raise UserError(f"augment_data.same_answer: compares labels, and the task's kind is {data.kind}; leave it out")
    if augment.reuse:
        from pipeline.tasks.augmented import check_augmented  # noqa: PLC0415 (pyarrow, which no other recipe needs)

        check_augmented(inputs.augmented, data, needs_labels=bool(recipe.distill_predictions.label))


def check_tracker(recipe: Recipe) -> None:
    """The tracker is installed: Accelerate would leave out one that is not, in silence."""
    name = recipe.run.tracker
    if name != "none" and find_spec(name) is None:
        raise UserError(
            f"run.tracker: {name} is not installed here; install it (pip install {name}), or set it to none"
        )


def check_export(recipe: Recipe, backbone: Path) -> None:
    """Only WordPiece vocabularies can be cut: merges and probabilities of other kinds hang together."""
    path = backbone / "tokenizer.json"
    if recipe.export_student.min_count and (path.is_file() or not (backbone / "vocab.txt").is_file()):
        kind = json.loads(path.read_text(encoding="utf-8"))["model"].get("type") if path.is_file() else "SentencePiece"
        if kind != "WordPiece":
            raise UserError(
                f"export_student.min_count: the tokenizer of {backbone} is a {kind}, and only WordPiece vocabularies"
                " can be cut; set it to 0"
            )


def check_pooling(recipe: Recipe, inputs: RecipeInputs) -> None:
    """Embeddings are means over tokens: a sentence encoder that was trained otherwise would give others, in silence."""
    if recipe.task.kind != "embedding":
        return
    for folder in filter(None, (inputs.backbone, inputs.teacher)):
        dense = folder / "2_Dense" / "config.json"
        layer = _json_object(dense)
        plain = not layer.get("bias") and str(layer.get("activation_function", "")).endswith("Identity")
        if layer and (folder != inputs.teacher or not plain):
            raise UserError(
                f"{dense}: a layer on top of the mean is taken from finetune_teacher.model alone, and only without bias"
                " and activation; take another model"
            )
        path = folder / "1_Pooling" / "config.json"
        modes = _json_object(path)
        chosen_modes = [name for name, on in modes.items() if name.startswith("pooling_mode_") and on is True]
        if modes and chosen_modes != ["pooling_mode_mean_tokens"]:
            found = ", ".join(chosen_modes) or "nothing that is known"
            raise UserError(f"{path}: embeddings are means over tokens here, this model wants {found}; take another")


def _json_object(path: Path) -> dict[str, Any]:
    """What a file holds; empty where there is none. Raises UserError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a JSON object; save the model again")
    return found


def check_teacher(recipe: Recipe, data: TaskData, *, teacher: Path, backbone: Path) -> None:
    """Your own teacher: the backbone's size and tokenizer, and the task's labels."""
    shape, trunk = model_shape(teacher, "finetune_teacher.model"), model_shape(backbone, "backbone")
    if (shape.layers, shape.heads, shape.width) != (trunk.layers, trunk.heads, trunk.width):
        raise UserError(
            f"finetune_teacher.model: {teacher} has {shape.layers} layers, {shape.heads} heads and width {shape.width},"
            f" the backbone {trunk.layers}, {trunk.heads} and {trunk.width}; give the backbone that the teacher was"
            " fine-tuned from"
        )
    if tokenizer_vocabulary(teacher) != tokenizer_vocabulary(backbone):
        raise UserError(
            f"finetune_teacher.model: the tokenizer of {teacher} is not that of {backbone}; they must share one"
        )
    head = kind_of(recipe.task).head
    other = [name for name in shape.classes if name.endswith(OTHER_HEADS) and not name.endswith(head)]
    if head and other:
        raise UserError(
            f"finetune_teacher.model: {teacher} is a {other[0]}, and the task needs one with the head of"
            f" {head.removeprefix('For')}; give a fine-tuned model, or leave the setting out"
        )
    if data.kind == "regression" and len(shape.labels) != 1:
        raise UserError(f"finetune_teacher.model: {teacher} has {len(shape.labels)} outputs, a regression has one")
    if data.label_names:
        teacher_labels(recipe, data, shape.labels, folder=teacher)
