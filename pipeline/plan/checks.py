"""Before anything is launched: models, tokenizers, data and recipe must fit each other. No weights are read."""

from importlib.util import find_spec
from pathlib import Path

from pipeline.config import Recipe
from pipeline.data.documents import check_beginning
from pipeline.data.languages import check_packages, languages_of
from pipeline.data.word_vectors import read_vectors
from pipeline.errors import nearest, require
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.json_files import check_tokenizer_files, json_object
from pipeline.models.saved_model import (
    check_tokenizer,
    check_weights,
    classifier_config,
    model_shape,
    tokenizer_vocabulary,
)
from pipeline.plan.decoder_checks import check_decoder
from pipeline.plan.general_checks import check_head, check_without_task, describe_corpus
from pipeline.plan.stages import makes_tokenizer
from pipeline.plan.student_checks import check_lengths, check_start, check_student
from pipeline.tasks import KINDS, kind_of
from pipeline.tasks.augmented import check_augmented
from pipeline.tasks.data_summary import describe
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.teacher_labels import teacher_labels

OTHER_HEADS = ("Model", "ForMaskedLM", "ForPreTraining", *filter(None, (kind.head_class for kind in KINDS.values())))
FIRST_WORDS = 100  # of the word vectors: enough to see that the file can be read


def check(recipe: Recipe, inputs: RecipeInputs) -> list[str]:
    """Raises UserError for the first thing that does not fit; returns lines that say what data was read."""
    if not recipe.has_task:
        check_without_task(recipe)
    artifacts = Path(recipe.run.artifacts).absolute()
    require(
        "::" not in str(artifacts),
        f"run.artifacts: {artifacts}: the library datasets takes '::' in a path for an archive; give another folder",
    )
    shape = model_shape(inputs.backbone, "backbone")
    for folder in filter(None, (inputs.backbone, inputs.teacher, inputs.student, inputs.other_teacher)):
        check_weights(folder)
        check_tokenizer_files(folder)
    if not makes_tokenizer(recipe):
        check_tokenizer(inputs.backbone, shape)
    check_decoder(recipe, shape, inputs.backbone)
    check_student(recipe, shape, inputs.backbone)
    check_start(recipe, shape, inputs)
    check_lengths(recipe, shape)
    _check_corpus(recipe, inputs)
    for stage in ("pretrain_teacher", "finetune_teacher"):
        upper = getattr(recipe, stage).upper_layers
        require(
            upper is None or upper <= shape.layers,
            f"{stage}.train: top {upper}, but {inputs.backbone} has {shape.layers} layers; take no more, or all",
        )
    _check_settings(recipe)
    require(
        recipe.task.kind != "embedding" or recipe.finetune_teacher.train != "head",
        "finetune_teacher.train: head, but a teacher of embeddings may have none; take 'top 1' or more, or all",
    )
    check_head(recipe, shape, inputs.backbone)
    if not recipe.has_task:
        return describe_corpus(recipe, inputs)
    check_vocabulary(recipe, inputs.backbone)
    if recipe.task.kind == "embedding":
        _check_pooling(inputs)
    _check_files(inputs)
    data = read_task(recipe.task, inputs.task)
    _check_language(recipe, data)
    if recipe.augment_data.reuse:
        own = Path(recipe.run.runs) / recipe.name
        require(
            not any(path.is_relative_to(own) for path in inputs.augmented),
            f"augment_data.reuse: {own} is this run's own folder, where the run puts its dataset in place of this"
            " one; name its folder in artifacts/, or give the run another name (--name OTHER)",
        )
        check_augmented(inputs.augmented, data, needs_labels=bool(recipe.distill_predictions.label))
    weights = recipe.finetune_teacher.class_weights
    for label in weights if isinstance(weights, dict) else ():
        require(
            label in data.label_names,
            f"finetune_teacher.class_weights: the task has no label '{label}'{nearest(label, data.label_names)}",
        )
    if inputs.other_teacher is not None:
        _check_other_teacher(recipe, data, inputs.other_teacher)
    if inputs.teacher is not None:
        _check_teacher(recipe, data, teacher=inputs.teacher, backbone=inputs.backbone)
    return describe(data, recipe.task, None if makes_tokenizer(recipe) else inputs.backbone)


def _check_settings(recipe: Recipe) -> None:
    """The settings of the task's kind, and the tracker: Accelerate leaves out one that is not installed, in silence."""
    tracker, kind, teacher = recipe.run.tracker, kind_of(recipe.task), recipe.finetune_teacher
    require(
        tracker == "none" or find_spec(tracker) is not None,
        f"run.tracker: {tracker} is not installed here; install it (pip install {tracker}), or set it to none",
    )
    require(
        kind.learns_labels or not recipe.distill_predictions.label,
        f"distill_predictions.label: {kind.name} tasks have no label to learn; set it to 0",
    )
    require(
        kind.learns_labels or teacher.model or not teacher.epochs or recipe.task.soft_labels,
        f"finetune_teacher.epochs: {teacher.epochs:g}, but the teacher of {kind.name} tasks is taken as it is; set it"
        " to 0",
    )
    require(
        not makes_tokenizer(recipe) or not (teacher.model or recipe.student.model),
        "pretrain_teacher.tokenizer: train, but finetune_teacher.model or student.model has a tokenizer of its own; set"
        " it to backbone, or leave them out",
    )
    require(
        kind.weighs_classes or not teacher.class_weights,
        f"finetune_teacher.class_weights: a task of kind {kind.name} has no labels to weigh; leave it out",
    )
    require(
        not recipe.augment_data.same_answer or kind.name == "classification",
        f"augment_data.same_answer: compares labels, and the task's kind is {kind.name}; leave it out",
    )


def _check_language(recipe: Recipe, data: TaskData) -> None:
    """The words of the texts can be found: what their language needs is installed."""
    if not recipe.augment_data.variants or recipe.augment_data.reuse:
        return
    languages = languages_of(data.texts_to_vary(), recipe.task.language)
    check_packages(languages.found, stop_words=recipe.propose_candidates.stop_words)


def _check_files(inputs: RecipeInputs) -> None:
    """A file of labelled rows is named once, in one split; a file of task.unlabelled once in there."""
    for splits in (("train", "dev", "test"), ("unlabelled",)):
        split_of: dict[Path, str] = {}
        for split in splits:
            for path in inputs.task.get(split, ()):
                other = split_of.get(path.resolve())
                again = "twice" if other == split else f"which task.{other} names too"
                require(not other, f"task.{split}: names {path}, {again}; leave it out, or give another file")
                split_of[path.resolve()] = split


def _check_corpus(recipe: Recipe, inputs: RecipeInputs) -> None:
    """A stage that reads the corpus needs one, in files of a known kind; and the word vectors can be read."""
    corpus, student = recipe.prepare_corpus, recipe.student
    for path in inputs.corpus:
        check_beginning(path, column=corpus.column)
    if inputs.vectors is not None:
        read_vectors(inputs.vectors, vector_words=FIRST_WORDS)
    for stage in ("pretrain_teacher", "distill_general"):
        require(
            corpus.sources or corpus.task_text or not getattr(recipe, stage).epochs,
            f"prepare_corpus.sources: empty, but {stage} trains on it; name files, or set {stage}.epochs: 0",
        )
    require(
        corpus.sources or corpus.task_text or not (student.may_be_fitted and student.start_from == "backbone"),
        "prepare_corpus.sources: empty, but a student that starts fitted to the backbone reads it; name files, set"
        " prepare_corpus.task_text: true, or student.start: random",
    )


def check_vocabulary(recipe: Recipe, backbone: Path) -> None:
    """WordPiece and Unigram vocabularies can be cut; the pieces of BPE depend on each other."""
    if not recipe.distill_layers.pieces or makes_tokenizer(recipe):  # one that is made is a WordPiece
        return
    kind = "WordPiece" if (backbone / "vocab.txt").is_file() else "SentencePiece"
    if tokenizer := json_object(backbone / "tokenizer.json"):
        model = tokenizer.get("model")
        kind = model.get("type") if isinstance(model, dict) else "tokenizer without a model"
    require(
        kind in ("WordPiece", "Unigram"),
        f"distill_layers.pieces: the tokenizer of {backbone} is a {kind}, and only WordPiece and Unigram"
        " vocabularies can be cut; set it to 0",
    )


def _check_pooling(inputs: RecipeInputs) -> None:
    """Embeddings are means over tokens: a sentence encoder that was trained otherwise would give wrong ones."""
    for folder in filter(None, (inputs.backbone, inputs.teacher)):
        path = folder / "2_Dense" / "config.json"
        dense = json_object(path) or {}
        plain = not dense.get("bias") and str(dense.get("activation_function", "")).endswith("Identity")
        require(
            not dense or (folder == inputs.teacher and plain),
            f"{path}: a layer on top of the mean is taken from finetune_teacher.model alone, and only without bias and"
            " activation; take another model",
        )
        path = folder / "1_Pooling" / "config.json"
        modes = json_object(path) or {}
        chosen = [name for name, on in modes.items() if name.startswith("pooling_mode_") and on is True]
        require(
            not modes or chosen == ["pooling_mode_mean_tokens"],
            f"{path}: embeddings are means over tokens here, this model wants"
            f" {', '.join(chosen) or 'nothing that is known'}; take another",
        )


def _check_other_teacher(recipe: Recipe, data: TaskData, teacher: Path) -> None:
    """The teacher whose predictions alone are learnt: a head of the task's kind, a tokenizer, and the task's labels."""
    setting, config = "annotate_data.teacher", classifier_config(teacher, "annotate_data.teacher")
    require(
        data.kind.head_class in ("ForSequenceClassification", "ForTokenClassification"),
        f"{setting}: a task of kind {data.kind.name} learns from the fine-tuned backbone alone; leave it out",
    )
    require(
        not config.architectures or any(name.endswith(data.kind.head_class) for name in config.architectures),
        f"{setting}: {teacher} is a {', '.join(config.architectures)}, and the task needs one with the head of"
        f" {data.kind.head_class.removeprefix('For')}; give a fine-tuned model",
    )
    require(
        config.problem_type in ("", data.kind.problem_type),
        f"{setting}: {teacher} has the problem_type {config.problem_type}, and a task of kind {data.kind.name} needs"
        f" {data.kind.problem_type}; set task.kind, or take another teacher",
    )
    require(
        data.label_names or len(config.labels) == 1,
        f"{setting}: {teacher} has {len(config.labels)} outputs, a regression has one",
    )
    tokenizer_vocabulary(teacher)
    if data.label_names:
        teacher_labels(recipe, data.kind, data.label_names, config.labels, folder=teacher, setting=setting)


def _check_teacher(recipe: Recipe, data: TaskData, *, teacher: Path, backbone: Path) -> None:
    """Your own teacher: the backbone's size and tokenizer, and the task's labels."""
    shape, trunk = model_shape(teacher, "finetune_teacher.model"), model_shape(backbone, "backbone")
    require(
        (shape.layers, shape.heads, shape.width) == (trunk.layers, trunk.heads, trunk.width),
        f"finetune_teacher.model: {teacher} has {shape.layers} layers, {shape.heads} heads and width {shape.width},"
        f" the backbone {trunk.layers}, {trunk.heads} and {trunk.width}; give the backbone that the teacher was"
        " fine-tuned from",
    )
    require(
        tokenizer_vocabulary(teacher) == tokenizer_vocabulary(backbone),
        f"finetune_teacher.model: the tokenizer of {teacher} is not that of {backbone}; they must share one",
    )
    head = data.kind.head_class
    others = [name for name in shape.architectures if name.endswith(OTHER_HEADS) and not name.endswith(head)]
    require(
        not head or not others,
        f"finetune_teacher.model: {teacher} is a {', '.join(others)}, and the task needs one with the head of"
        f" {head.removeprefix('For')}; give a fine-tuned model, or leave the setting out",
    )
    require(
        not head or shape.problem_type in ("", data.kind.problem_type),
        f"finetune_teacher.model: {teacher} has the problem_type {shape.problem_type}, and a task of kind"
        f" {data.kind.name} needs {data.kind.problem_type}; set task.kind, or take another teacher",
    )
    require(
        data.kind.name != "regression" or len(shape.labels) == 1,
        f"finetune_teacher.model: {teacher} has {len(shape.labels)} outputs, a regression has one",
    )
    if data.label_names:
        teacher_labels(recipe, data.kind, data.label_names, shape.labels, folder=teacher)
