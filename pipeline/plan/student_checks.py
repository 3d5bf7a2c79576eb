"""A student of these sizes can start and learn as the recipe says. Every problem is a `UserError`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Recipe
from pipeline.config.distillation import LayerObjectives
from pipeline.config.fields import LayerMap
from pipeline.config.objectives import HEAD_BY_HEAD, HIDDEN_STATES, OF_ATTENTION, RELATIONS, chosen, layer_map
from pipeline.config.student import Student
from pipeline.errors import UserError, require
from pipeline.hardware import ROUND, round_up
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.architectures import LIKE_BERT, WITHOUT_QUERIES, start_of
from pipeline.models.saved_model import ModelShape, model_shape, read_config, tokenizer_vocabulary


def check_student(recipe: Recipe, teacher: ModelShape, folder: Path) -> None:
    """What the student copies from this teacher, and what it learns from it."""
    student = recipe.student
    require(
        student.start != "embeddings" or teacher.embedding_size == teacher.width,
        f"student.start: {folder} has embeddings of width {teacher.embedding_size} under layers of width"
        f" {teacher.width}, which the student cannot copy; leave it out",
    )
    require(
        student.start != "embeddings" or student.width <= teacher.width,
        f"student.start: embeddings of width {teacher.width} cannot be copied into the wider student of width"
        f" {student.width}; leave it out",
    )
    for stage in ("distill_general", "distill_layers", "distill_predictions"):
        settings = getattr(recipe, stage)
        if settings.epochs:
            _check_objectives(stage, settings, student, teacher, folder)
            _check_reach(recipe, stage, settings, folder)
    for objective in chosen(recipe.distill_predictions):
        require(
            recipe.task.kind != "embedding",
            f"distill_predictions.{objective}: a student of embeddings learns layers in distill_layers; set it to 0",
        )
    require(
        not (recipe.distill_predictions.label and recipe.task.unlabelled),
        "distill_predictions.label: the rows of task.unlabelled have no labels; set it to 0, or leave them out",
    )


def check_start(recipe: Recipe, teacher: ModelShape, inputs: RecipeInputs) -> None:
    """The layers, or the existing student, that the student starts from."""
    student, start = recipe.student, start_of(recipe.student, teacher.model_type)
    if teacher.is_decoder and start == "layers":
        _check_layer_map("student.start_layers", student.start_layers, student, teacher)
    elif start in ("fitted", "layers"):
        require(
            teacher.model_type in LIKE_BERT,
            f"student.start: {inputs.backbone} is a {teacher.model_type}, which no student can start from; leave it"
            " out",
        )
        _check_layer_map("student.start_layers", student.start_layers, student, teacher)
    if start == "layers" and not teacher.is_decoder:
        _check_copied_layers(student, teacher, inputs.backbone)
    require(
        student.start_from == "backbone" or start in ("fitted", "layers"),
        f"student.start_from: {inputs.backbone} is a {teacher.model_type}, which no student can start from; leave"
        " it out",
    )
    require(
        student.start_from == "backbone" or not recipe.distill_general.epochs,
        "distill_general.epochs: with student.start_from: task_teacher there is no general student; set it to 0",
    )
    if inputs.student is not None:
        _check_existing_student(recipe, teacher, backbone=inputs.backbone, existing=inputs.student)


def _check_copied_layers(student: Student, teacher: ModelShape, folder: Path) -> None:
    ours = (student.width, student.heads, student.feed_forward, student.width // student.heads)
    theirs = (teacher.width, teacher.heads, teacher.feed_forward, teacher.width // teacher.heads)
    require(
        all(own <= their for own, their in zip(ours, theirs, strict=True)) and teacher.embedding_size == teacher.width,
        f"student.start: layers are cut, not widened: {folder} has width {teacher.width} (embeddings"
        f" {teacher.embedding_size}), {teacher.heads} heads and feed_forward {teacher.feed_forward}; take no more",
    )


def _check_existing_student(recipe: Recipe, teacher: ModelShape, *, backbone: Path, existing: Path) -> None:
    student, shape = recipe.student, model_shape(existing, "student.model", default_type="bert")
    kind = teacher.model_type if teacher.is_decoder else student.architecture
    require(
        shape.model_type == kind,
        f"student.model: {existing} is a {shape.model_type}, not a {kind}; set student.architecture, or take a {kind}",
    )
    sizes = {name: getattr(shape, name) for name in ("layers", "width", "heads", "feed_forward")}
    require(
        sizes.items() <= vars(student).items(),
        f"student: {existing} has {sizes}; write these numbers into the recipe",
    )
    has_tokenizer = any((existing / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    same = not has_tokenizer or tokenizer_vocabulary(existing) == tokenizer_vocabulary(backbone)
    require(
        shape.vocab_size == teacher.vocab_size and same,
        f"student.model: the tokenizer of {existing} is not that of {backbone}; they must share one",
    )
    if shape.positions < teacher.positions:
        check_lengths(recipe, shape)


def _check_objectives(
    stage: str, settings: LayerObjectives, student: Student, teacher: ModelShape, folder: Path
) -> None:
    """That these two models can be compared as the objectives of a stage compare them."""
    for objective in chosen(settings, OF_ATTENTION):
        require(
            teacher.model_type not in WITHOUT_QUERIES,
            f"{stage}.{objective}: {folder} is a {teacher.model_type}, whose queries, keys and values cannot be taken;"
            f" set it to 0: the embeddings, the hidden states ({', '.join(HIDDEN_STATES)}) and the predictions can be"
            " copied",
        )
    _check_layer_map(f"{stage}.layer_map", settings.layer_map, student, teacher)
    for objective in chosen(settings, HEAD_BY_HEAD):
        require(
            student.heads == teacher.heads,
            f"{stage}.{objective}: it compares heads one by one, and {folder} has {teacher.heads}, the student"
            f" {student.heads}; set student.heads: {teacher.heads}, or set it to 0 and copy {', '.join(RELATIONS)}"
            " instead, for which they may differ (recipes/methods/minilmv2.yaml)",
        )
    heads = settings.relation_heads or teacher.heads
    common = math.gcd(teacher.width, student.attention_width)
    fits = ", ".join(str(number) for number in range(1, min(common, 64) + 1) if common % number == 0)
    for name, width in {folder: teacher.width, "the student": student.attention_width}.items():
        require(
            not chosen(settings, RELATIONS) or width % heads == 0,
            f"{stage}.relation_heads: {heads} heads do not divide the width of {name}, {width}; choose one of {fits}",
        )


def _check_reach(recipe: Recipe, stage: str, settings: LayerObjectives, folder: Path) -> None:
    """Heads are compared over whole texts, and most layers of a ModernBERT attend only to the tokens nearby."""
    objectives = chosen(settings, HEAD_BY_HEAD)
    said_by, reach = _reach(read_config(folder, "backbone")) if objectives else ("", None)
    section, setting = ("prepare_corpus", "length") if stage == "distill_general" else ("task", "max_length")
    if reach is None or (section == "task" and not recipe.has_task):
        return
    name, length = f"{section}.{setting}", getattr(getattr(recipe, section), setting)
    for objective in objectives:
        require(
            length <= reach,
            f"{stage}.{objective}: most layers of {folder} attend to {reach} tokens on each side ({said_by}),"
            f" and {name} is {length}; set it to 0, or {name} to {reach} or less",
        )


def _reach(config: Mapping[str, Any]) -> tuple[str, int | None]:
    """The setting of a config that says how many tokens on each side its local layers attend to, and that number."""
    window, sliding = config.get("local_attention"), config.get("sliding_window")
    if isinstance(window, int):
        return "local_attention", window // 2
    slides = isinstance(sliding, int) and "sliding_attention" in (config.get("layer_types") or ())
    return "sliding_window", sliding if slides else None


def _check_layer_map(setting: str, rule: LayerMap, student: Student, teacher: ModelShape) -> None:
    try:
        layer_map(rule, teacher_layers=teacher.layers, student_layers=student.layers)
    except ValueError as error:
        raise UserError(f"{setting}: {error}") from None


def check_lengths(recipe: Recipe, shape: ModelShape) -> None:
    """No text and no block is longer than the model's positions, rounded up as batches are."""
    lengths = {"task.max_length": recipe.task.max_length} if recipe.has_task else {}
    lengths["prepare_corpus.length"] = recipe.prepare_corpus.length
    for name, length in lengths.items():
        require(
            round_up(length) <= shape.positions,
            f"{name}: {length}, up to the next multiple of {ROUND}, is more than the {shape.positions} positions of"
            " the backbone",
        )
