"""That a student of these sizes can begin as the recipe says, and learn from this teacher what the recipe asks for.

Every problem is a `UserError`, before anything is launched.
"""

import math
from pathlib import Path

from pipeline.config import Recipe
from pipeline.config.objectives import (
    HEAD_BY_HEAD,
    HIDDEN_STATES,
    LAYER_OBJECTIVES,
    MASKED_LM,
    OF_ATTENTION,
    RELATIONS,
    chosen,
    layer_map,
)
from pipeline.config.training import LayerObjectives, Student
from pipeline.errors import UserError
from pipeline.hardware import ROUND
from pipeline.inputs.resolver import RecipeInputs
from pipeline.models.architectures import LIKE_BERT, MOBILEBERT_BOTTLENECK, WITHOUT_QUERIES
from pipeline.models.saved_model import ModelShape, model_shape, tokenizer_vocabulary


def check_student(recipe: Recipe, teacher: ModelShape, folder: Path) -> None:
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


def check_start(recipe: Recipe, teacher: ModelShape, inputs: RecipeInputs) -> None:
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
    if student.copy_from == "task_teacher":
        if student.copy_layers is None:
            raise UserError(
                "student.copy_from: task_teacher, but student.copy_layers names none of its layers; name them"
            )
        if recipe.distill_general.epochs:
            raise UserError(
                "distill_general.epochs: with student.copy_from: task_teacher there is no general student; set it to 0"
            )
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


def check_objectives(
    stage: str, settings: LayerObjectives, student: Student, teacher: ModelShape, folder: Path
) -> None:
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


def check_lengths(recipe: Recipe, shape: ModelShape) -> None:
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
