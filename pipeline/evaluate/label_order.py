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
from pipeline.tasks.teacher_labels import teacher_labels


def own_teacher(stage: Stage, folder: Path, dev: LabelledSplit) -> PreTrainedModel:
    """The user's own teacher, its outputs in the task's order.

    Raises: UserError when its labels are not the task's, or when its answers fit another order much better.
    """
    task, head = dev.task, head_of(dev.task.kind)
    if not task.label_names:
        return head.load(folder, label_names=(), new_head=False)
    order = teacher_labels(stage.recipe, task, model_shape(folder, "finetune_teacher.model").labels, folder=folder)
    teacher = head.load(folder, label_names=order, new_head=False)
    if order != task.label_names:
        stage.say(f"the teacher's labels are in the order {', '.join(order)}; its outputs are put in the task's")
        reorder_outputs(teacher, [order.index(name) for name in task.label_names])
        set_labels(teacher.config, task.label_names, problem_type=head.problem_type)
    if task.kind.name != "classification":
        return teacher  # the names of tags are given one by one; of several labels a text any order may fit
    logits = predict_together(teacher.to(stage.accelerator.device).eval(), dev.texts, stage)
    better = better_order(logits, dev.references)
    if better is not None:
        right = {name: task.label_names[number] for name, number in zip(task.label_names, better, strict=True)}
        names = ", ".join(right[name] for name in order)  # in the teacher's order, as the recipe wants them
        raise UserError(
            f"finetune_teacher.model: the dev answers of {folder} fit the labels in another order; if that is right,"
            f" set finetune_teacher.labels: [{names}]"
        )
    return teacher


def better_order(logits: np.ndarray, labels: np.ndarray) -> list[int] | None:
    """The order of outputs that fits the labels best, when the given one is right on fewer rows than chance.

    Returns: for each output the number of the label that it stands for; None where there is no such order.
    """
    rows, classes = logits.shape
    counts = np.zeros((classes, classes))
    np.add.at(counts, (logits.argmax(axis=1), labels), 1)  # rows by answer and label
    answers, order = linear_sum_assignment(counts, maximize=True)
    right, best = np.trace(counts) / rows, counts[answers, order].sum() / rows
    chance = float(np.bincount(labels).max() / rows)  # of a teacher that is right in no order
    error = 2 * (chance * (1 - chance) / rows) ** 0.5
    return order.tolist() if right < 1 / classes and best > chance + error else None


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
