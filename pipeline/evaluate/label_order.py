"""Your own teacher: its labels are the task's, and its outputs are put in the task's order."""

from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from transformers import PreTrainedModel

from pipeline.errors import UserError
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.scoring import LabelledSplit
from pipeline.heads import head_of
from pipeline.heads.base import output_layer
from pipeline.models.loading import set_labels
from pipeline.models.saved_model import model_shape
from pipeline.runtime.stage import Stage
from pipeline.tasks.teacher_labels import says_nothing, teacher_labels
from pipeline.tasks.token_classification import NO_LABEL


def own_teacher(stage: Stage, folder: Path, dev: LabelledSplit) -> PreTrainedModel:
    """The user's own teacher, its outputs in the task's order.

    Raises: UserError when its labels are not the task's, or when its answers fit another order much better.
    """
    task, head = dev.task, head_of(dev.task.kind)
    if not task.label_names:
        return head.load(folder, label_names=(), new_head=False)
    shape = model_shape(folder, "finetune_teacher.model")
    order = teacher_labels(stage.recipe, task.kind, task.label_names, shape.labels, folder=folder)
    teacher = head.load(folder, label_names=order, new_head=False)
    if order != task.label_names:
        stage.say(f"the teacher's labels are in the order {', '.join(order)}; its outputs are put in the task's")
        reorder_outputs(teacher, [order.index(name) for name in task.label_names])
        set_labels(teacher.config, task.label_names, problem_type=head.problem_type)
    unnamed = not stage.recipe.finetune_teacher.labels and says_nothing(shape.labels)
    if task.kind.has_thresholds or (task.kind.per_token and not unnamed):
        return teacher  # of several labels a text any order may fit; the names of tags are given one by one
    logits = predict_together(teacher.to(stage.accelerator.device).eval(), dev.texts, stage)
    if task.kind.per_token:
        words, tags = tagged_words(dev)
        better = better_tag_order(logits[words], tags)
    else:
        better = better_order(logits, dev.references, unnamed=unnamed)
    if better is not None:
        right = {name: task.label_names[number] for name, number in zip(task.label_names, better, strict=True)}
        names = ", ".join(right[name] for name in order)  # in the teacher's order, as the recipe wants them
        raise UserError(
            f"finetune_teacher.model: {folder} answers dev as if the labels stood in another order; if they do, set"
            f" finetune_teacher.labels: [{names}]"
        )
    return teacher


def better_order(logits: np.ndarray, labels: np.ndarray, *, unnamed: bool = False) -> list[int] | None:
    """The order of outputs that fits the labels best, when the given one is right on fewer rows than chance.

    Args: unnamed: the given order is a guess, which need not be that wrong: another one that is right on many more
        rows is better (`_many_more`).
    Returns: for each output the number of the label that it stands for; None where there is no such order.
    """
    rows, classes = logits.shape
    counts = _answers_by_label(logits, labels)
    answers, order = linear_sum_assignment(counts, maximize=True)
    if unnamed and _many_more(counts, order):
        return order.tolist()
    right, best = np.trace(counts) / rows, counts[answers, order].sum() / rows
    chance = float(np.bincount(labels).max() / rows)  # of a teacher that is right in no order
    error = 2 * (chance * (1 - chance) / rows) ** 0.5
    return order.tolist() if right < 1 / classes and best > chance + error else None


def better_tag_order(logits: np.ndarray, tags: np.ndarray) -> list[int] | None:
    """The order of tags that fits words best, when it is right on many more of them than the given one.

    Tried are the usual ways to number tags, each with its types in any order: O first or last; B- and I- of a type in
    turn, or all B- before all I-, or after. Then each tag alone.

    Args: tags: by number: 0 is O, then B- and I- of each type in turn.
    Returns: for each output the number of the tag that it stands for; None where there is no such order.
    """
    counts = _answers_by_label(logits, tags)
    count, types = len(counts), len(counts) // 2
    found: list[np.ndarray] = [np.arange(count)]
    for begin in (1, 0):  # of the outputs that are not O
        outputs = np.arange(begin, begin + 2 * types)
        halves, turns = outputs.reshape(2, types).T, outputs.reshape(types, 2)
        for layout in (turns, halves, turns[:, ::-1], halves[:, ::-1]):  # (types, 2): the outputs of B- and I-
            order = np.zeros(count, dtype=np.int64)
            fits = sum(counts[np.ix_(layout[:, side], np.arange(1 + side, count, 2))] for side in (0, 1))
            for row, of_type in zip(*linear_sum_assignment(fits, maximize=True), strict=True):
                order[layout[row]] = 1 + 2 * of_type, 2 + 2 * of_type
            found.append(order)
    found.append(linear_sum_assignment(counts, maximize=True)[1])
    best = max(found, key=lambda order: counts[np.arange(count), order].sum())  # the first of equals
    return best.tolist() if _many_more(counts, best) else None


def tagged_words(split: LabelledSplit) -> tuple[np.ndarray, np.ndarray]:
    """Of the tokens of all texts those that answer for a word, and the number of its tag."""
    labels = np.concatenate([np.asarray(row) for row in split.texts.rows["labels"]])
    (words,) = np.nonzero(labels != NO_LABEL)
    return words, labels[words]


def _answers_by_label(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C, C): how many rows have each answer and each label."""
    counts = np.zeros((logits.shape[1],) * 2)
    np.add.at(counts, (logits.argmax(axis=1), labels), 1)
    return counts


def _many_more(counts: np.ndarray, order: np.ndarray) -> bool:
    """Whether an order is right on more rows than the given one, by more than chance makes (a sign test)."""
    moved = np.flatnonzero(order != np.arange(len(order)))
    won, lost = counts[moved, order[moved]].sum(), counts[moved, moved].sum()
    return bool(won - lost > 3 * (won + lost) ** 0.5)


def reorder_outputs(model: PreTrainedModel, order: list[int]) -> None:
    """Permute the rows of the last linear layer, so that output i becomes what output order[i] was."""
    last = output_layer(model)
    if last.out_features != len(order):
        raise UserError(
            f"{type(model).__name__} ends in no layer of {len(order)} labels; save it with the labels in order"
        )
    with torch.no_grad():
        last.weight.copy_(last.weight[order])
        if last.bias is not None:
            last.bias.copy_(last.bias[order])
