"""What the plan checks before anything is launched: that models, tokenizers, data and the recipe fit each other.

Reads configuration and data files, never weights; torch is not imported. Every problem is a `UserError`.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.config import LayerObjectives, Recipe, Student
from pipeline.corpus_readers import check_beginning
from pipeline.errors import UserError
from pipeline.graph import Inputs
from pipeline.hardware import ROUND
from pipeline.kinds import kind_of
from pipeline.model_types import LIKE_BERT, MOBILEBERT_BOTTLENECK, WITHOUT_QUERIES, rows_before_text
from pipeline.objectives import (
    HEAD_BY_HEAD,
    HIDDEN_STATES,
    LAYER_OBJECTIVES,
    MASKED_LM,
    OF_ATTENTION,
    RELATIONS,
    chosen,
    layer_map,
)
from pipeline.tasks import TaskData, read_task

FIRST_WORDS = 100  # of the vectors, read by the plan


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a model's config.json says about its size."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int
    labels: tuple[str, ...]
    embedding: int
    """Width of the embeddings, which ELECTRA and ALBERT have narrower than the layers."""
    kind: str
    feed_forward: int


def check(recipe: Recipe, inputs: Inputs) -> None:
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
    data = read_task(recipe.task, inputs.task)
    check_augmentation(recipe, inputs, data)
    if inputs.teacher is not None:
        check_teacher(recipe, data, teacher=inputs.teacher, backbone=inputs.backbone)


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


def model_shape(folder: Path, role: str) -> Shape:
    """Layers, heads, pieces and positions of a saved model, under the names that its architecture uses."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} ({role}) has no config.json; give the folder of a saved transformers model"
        ) from None
    except ValueError:
        raise UserError(f"{path} ({role}) is not valid JSON; save the model again") from None
    if not isinstance(config, dict):
        raise UserError(f"{path} ({role}) is not a JSON object; save the model again")
    if "auto_map" in config:
        raise UserError(
            f"{path} ({role}) wants code of its own (auto_map), which is never run; take a model of transformers' own"
        )
    if "model_type" not in config and role == "student.model":
        config["model_type"] = "bert"  # TinyBERT is published without it
    if "model_type" not in config:
        raise UserError(f'{path} ({role}) lacks \'model_type\'; add it, such as "model_type": "bert"')

    def number(*names: str) -> int:
        for name in names:
            if isinstance(config.get(name), int):
                return config[name]
        raise UserError(f"{path} ({role}) lacks {names[0]!r}; is it an encoder such as BERT?")

    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # left out of the file when it is just this
    return Shape(
        layers=number("num_hidden_layers", "n_layers"),
        width=number("hidden_size", "dim"),
        heads=number("num_attention_heads", "n_heads"),
        vocabulary=number("vocab_size"),
        positions=number("max_position_embeddings") - rows_before_text(config),
        labels=tuple(str(names[key]) for key in sorted(names, key=int)),
        embedding=config.get("embedding_size", number("hidden_size", "dim")),
        kind=config["model_type"],
        feed_forward=number("intermediate_size", "hidden_dim"),
    )


def check_weights(folder: Path) -> None:
    """Files of weights are whole: what their header promises is there. A download that broke off is found here."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            beginning = file.read(8)
            if beginning == b"version ":
                raise UserError(f"{path} is a pointer of Git LFS, not the weights; run git lfs pull")
            size, length = path.stat().st_size, int.from_bytes(beginning, "little")
            try:
                header = json.loads(file.read(length)) if 0 < length < size else {}
                promised = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
            except (ValueError, TypeError, KeyError, AttributeError, IndexError):
                promised = -1
        if size != 8 + length + promised:
            raise UserError(f"{path} is not a whole file of weights ({size} bytes); fetch or save the model again")


def check_tokenizer(folder: Path, shape: Shape) -> None:
    """A tokenizer that is missing loads as one of five pieces without an error, so look for it here."""
    vocabulary = tokenizer_vocabulary(folder)
    largest = max(vocabulary.values(), default=-1)
    if largest >= shape.vocabulary:
        raise UserError(
            f"{folder}: the tokenizer has a piece number {largest}, the model only {shape.vocabulary} pieces;"
            " take the tokenizer that the model was trained with"
        )


def tokenizer_vocabulary(folder: Path) -> Mapping[str, int]:
    """Pieces and their numbers. Raises UserError when there is no tokenizer."""
    whole, pieces = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.is_file():
        from tokenizers import Tokenizer  # noqa: PLC0415 (a finished run needs none)

        try:
            return Tokenizer.from_file(str(whole)).get_vocab(with_added_tokens=True)
        except Exception as error:  # tokenizers raises bare Exception
            raise UserError(f"{whole} cannot be read as a tokenizer: {error}") from None
    if pieces.is_file():
        try:
            lines = pieces.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError:
            raise UserError(f"{pieces} is not UTF-8; take the tokenizer from where the model came from") from None
        return {piece: number for number, piece in enumerate(lines) if piece}
    if any((folder / name).is_file() for name in ("vocab.json", "spiece.model", "sentencepiece.bpe.model")):
        return {}
    raise UserError(f"{folder} has no tokenizer (tokenizer.json or vocab.txt); save the tokenizer beside the model")


def check_student(recipe: Recipe, teacher: Shape, folder: Path) -> None:
    """The student's size, and what it can copy from this teacher."""
    student = recipe.student
    if student.width % student.heads:
        raise UserError(f"student.width: {student.width} is not a multiple of student.heads, {student.heads}")
    if student.architecture == "mobilebert" and student.width % (MOBILEBERT_BOTTLENECK * student.heads):
        raise UserError(
            f"student.width: {student.width}; a MobileBERT's heads divide its bottleneck, a quarter of its width; take"
            f" a multiple of {MOBILEBERT_BOTTLENECK * student.heads}"
        )
    if student.embeddings == "teacher" and student.architecture != "bert":
        raise UserError(
            f"student.embeddings: a {student.architecture}'s are narrower than its layers; set it to random"
        )
    if student.embeddings == "teacher" and teacher.embedding != teacher.width:
        raise UserError(
            f"student.embeddings: {folder} has embeddings of width {teacher.embedding} under layers of width"
            f" {teacher.width}, which the student's cannot begin as a copy of; set it to random"
        )
    if student.embeddings == "teacher" and student.width > teacher.width:
        raise UserError(
            f"student.embeddings: a student of width {student.width} has no low-rank copy of embeddings of width"
            f" {teacher.width}; set it to random"
        )
    others = {"distill_general": MASKED_LM, "distill_layers": (), "distill_predictions": ("prediction", "label")}
    for stage, names in others.items():
        settings = getattr(recipe, stage)
        if settings.epochs:
            if not chosen(settings, (*LAYER_OBJECTIVES, *names)):
                raise UserError(f"{stage}: no objective has a weight; give one, or set {stage}.epochs: 0")
            check_objectives(stage, settings, recipe.student, teacher, folder)
    if recipe.distill_predictions.label and recipe.task.unlabelled:
        raise UserError(
            "distill_predictions.label: the rows of task.unlabelled have no labels; set it to 0, or leave them out"
        )


def check_start(recipe: Recipe, teacher: Shape, inputs: Inputs) -> None:
    """The layers or the student that the student begins with."""
    student, folder = recipe.student, inputs.backbone
    if student.copy_layers is not None:
        if student.model or student.architecture != "bert" or teacher.kind not in LIKE_BERT:
            raise UserError(
                f"student.copy_layers: a {teacher.kind}'s layers cannot begin a {student.architecture}"
                f"{' that begins with student.model' if student.model else ''}; leave it out"
            )
        ours = (student.width, student.heads, student.feed_forward, student.width // student.heads, teacher.embedding)
        theirs = (teacher.width, teacher.heads, teacher.feed_forward, teacher.width // teacher.heads, teacher.width)
        if any(own > their for own, their in zip(ours, theirs, strict=True)) or teacher.embedding != teacher.width:
            raise UserError(
                f"student.copy_layers: layers are cut, not widened: {folder} has width {teacher.width} (embeddings"
                f" {teacher.embedding}), {teacher.heads} heads and feed_forward {teacher.feed_forward}; take no more"
            )
        try:
            layer_map(student.copy_layers, teacher_layers=teacher.layers, student_layers=student.layers)
        except ValueError as error:
            raise UserError(f"student.copy_layers: {error}") from None
    if inputs.student is None:
        return
    own = model_shape(inputs.student, "student.model")
    sizes = {"layers": own.layers, "width": own.width, "heads": own.heads, "feed_forward": own.feed_forward}
    if own.kind != student.architecture:
        raise UserError(f"student.model: {inputs.student} is a {own.kind}; set student.architecture, or take a bert")
    if any(getattr(student, name) != size for name, size in sizes.items()):
        raise UserError(f"student: {inputs.student} has {sizes}; write these numbers into the recipe")
    alone = not any((inputs.student / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    same = alone or tokenizer_vocabulary(inputs.student) == tokenizer_vocabulary(folder)
    if own.vocabulary != teacher.vocabulary or not same:
        raise UserError(
            f"student.model: the tokenizer of {inputs.student} is not that of {folder}; they must share one"
        )
    if own.positions < teacher.positions:
        check_lengths(recipe, own)


def check_objectives(stage: str, settings: LayerObjectives, student: Student, teacher: Shape, folder: Path) -> None:
    """That these two models can be compared as the objectives of a stage compare them."""
    of_attention = chosen(settings, OF_ATTENTION)
    if of_attention and teacher.kind in WITHOUT_QUERIES:
        raise UserError(
            f"{stage}.{of_attention[0]}: {folder} is a {teacher.kind}, whose queries, keys and values cannot be taken;"
            f" set it to 0: the embeddings, the hidden states ({', '.join(HIDDEN_STATES)}) and the predictions can be"
            " copied"
        )
    try:
        layer_map(settings.layer_map, teacher_layers=teacher.layers, student_layers=student.layers)
    except ValueError as error:
        raise UserError(f"{stage}.layer_map: {error}") from None
    by_head = chosen(settings, HEAD_BY_HEAD)
    if by_head and student.heads != teacher.heads:
        raise UserError(
            f"{stage}.{by_head[0]}: it compares heads one by one, and {folder} has {teacher.heads}, the student"
            f" {student.heads}; set student.heads: {teacher.heads}, or set it to 0 and copy {', '.join(RELATIONS)}"
            " instead, for which they may differ (recipes/methods/minilmv2.yaml)"
        )
    heads = settings.relation_heads or teacher.heads
    own = student.width // (MOBILEBERT_BOTTLENECK if student.architecture == "mobilebert" else 1)  # what attends
    for name, width in {folder: teacher.width, "the student": own}.items():
        if chosen(settings, RELATIONS) and width % heads:
            common = math.gcd(teacher.width, own)
            fits = ", ".join(str(number) for number in range(1, min(common, 64) + 1) if common % number == 0)
            raise UserError(
                f"{stage}.relation_heads: {heads} heads do not divide the width of {name}, {width}; choose one of"
                f" {fits}"
            )


def check_lengths(recipe: Recipe, shape: Shape) -> None:
    """Nothing longer than the model's positions."""
    for name, length in {
        "task.max_length": recipe.task.max_length,
        "prepare_corpus.length": recipe.prepare_corpus.length,
    }.items():
        if -(-length // ROUND) * ROUND > shape.positions:
            raise UserError(
                f"{name}: {length}, up to the next multiple of {ROUND}, is more than the {shape.positions} positions of"
                " the backbone"
            )


def check_corpus(recipe: Recipe, inputs: Inputs) -> None:
    """A stage that reads the corpus needs one, in files of a known kind."""
    for path in inputs.corpus:
        check_beginning(path, column=recipe.prepare_corpus.column)
    if inputs.vectors is not None:
        from pipeline.vector_files import read_vectors  # noqa: PLC0415 (pyarrow: a finished run needs none)

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


def check_augmentation(recipe: Recipe, inputs: Inputs, data: TaskData) -> None:
    """A dataset to reuse fits the task; a teacher that is asked has answers to compare."""
    augment = recipe.augment_data
    if augment.same_answer and augment.reuse:
        raise UserError("augment_data.same_answer: a dataset that is reused stays as it is; leave one of the two out")
    if augment.same_answer and data.kind != "classification":
        raise UserError(f"augment_data.same_answer: compares labels, and the task's kind is {data.kind}; leave it out")
    if augment.reuse:
        from pipeline.augmented import check_augmented  # noqa: PLC0415 (pyarrow, which no other recipe needs)

        check_augmented(inputs.augmented, data)


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


def check_pooling(recipe: Recipe, inputs: Inputs) -> None:
    """Embeddings are means over tokens: a sentence encoder that was trained otherwise would give others, in silence."""
    for folder in filter(None, (inputs.backbone, inputs.teacher)):
        path = folder / "1_Pooling" / "config.json"
        if recipe.task.kind != "embedding" or not path.is_file():
            continue
        try:
            modes = json.loads(path.read_text(encoding="utf-8"))
            chosen_modes = [name for name, on in modes.items() if name.startswith("pooling_mode_") and on is True]
        except (ValueError, AttributeError):
            raise UserError(f"{path} is not a JSON object; save the model again") from None
        if chosen_modes != ["pooling_mode_mean_tokens"]:
            found = ", ".join(chosen_modes) or "nothing that is known"
            raise UserError(f"{path}: embeddings are means over tokens here, this model wants {found}; take another")


def check_teacher(recipe: Recipe, data: TaskData, *, teacher: Path, backbone: Path) -> None:
    """Your own teacher: the backbone's size and tokenizer, and the task's labels."""
    shape, trunk = model_shape(teacher, "finetune_teacher.model"), model_shape(backbone, "backbone")
    if (shape.layers, shape.heads) != (trunk.layers, trunk.heads):
        raise UserError(
            f"finetune_teacher.model: {teacher} has {shape.layers} layers and {shape.heads} heads, the backbone"
            f" {trunk.layers} and {trunk.heads}; give the backbone that the teacher was fine-tuned from"
        )
    if tokenizer_vocabulary(teacher) != tokenizer_vocabulary(backbone):
        raise UserError(
            f"finetune_teacher.model: the tokenizer of {teacher} is not that of {backbone}; they must share one"
        )
    if data.label_names:
        teacher_labels(recipe, data, shape.labels, folder=teacher)


def teacher_labels(recipe: Recipe, data: TaskData, own: tuple[str, ...], *, folder: Path) -> tuple[str, ...]:
    """The task's label of each of the teacher's outputs, in the teacher's order.

    Raises: UserError when the teacher's labels are not the task's.
    """
    given = recipe.finetune_teacher.labels
    names = given or own
    if not given and all(name.startswith("LABEL_") for name in own) and len(own) == len(data.label_names):
        return data.label_names  # names that say nothing; the stage compares the dev scores of other orders
    if sorted(names) == sorted(data.label_names):
        return names
    fold = {label.lower(): label for label in data.label_names}
    if sorted(name.lower() for name in names) == sorted(fold):
        return tuple(fold[name.lower()] for name in names)
    raise UserError(
        f"finetune_teacher.{'labels' if given else 'model'}: the labels of {folder} are"
        f" {', '.join(names) or 'not named'}, the task's are {', '.join(data.label_names)}; list the task's names in"
        " the teacher's order in finetune_teacher.labels"
    )
