"""Your own teacher: its labels are the task's, and its outputs are put in the task's order."""

from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.errors import UserError
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.scoring import LabelledSplit
from pipeline.heads.regression import output_layer
from pipeline.models.loading import set_labels
from pipeline.models.saved_model import model_shape
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData
from pipeline.tasks.teacher_labels import teacher_labels

MOST_PERMUTED = 6  # labels whose orders are all tried


def own_teacher(stage: Stage, data: TaskData, folder: Path, dev: LabelledSplit) -> PreTrainedModel:
    """The user's own teacher, its outputs in the task's order.

    Raises: UserError when its labels are not the task's, or when its answers fit another order much better.
    """
    kind = KINDS[data.kind]
    if not data.label_names:
        return kind.load(folder, label_names=(), new_head=False)
    order = teacher_labels(stage.recipe, data, model_shape(folder, "finetune_teacher.model").labels, folder=folder)
    teacher = kind.load(folder, label_names=order, new_head=False)
    if order != data.label_names:
        stage.say(f"the teacher's labels are in the order {', '.join(order)}; its outputs are put in the task's")
        reorder_outputs(teacher, [order.index(name) for name in data.label_names])
        set_labels(teacher.config, data.label_names)
    if kind.per_token:
        return teacher  # its names are given word by word; orders of so many are not tried
    logits = predict_together(teacher.to(stage.accelerator.device).eval(), dev.texts, stage)
    better = better_order(logits, dev.labels)
    if better is not None:
        right = {name: data.label_names[number] for name, number in zip(data.label_names, better, strict=True)}
        names = ", ".join(right[name] for name in order)  # in the teacher's order, as the recipe wants them
        raise UserError(
            f"finetune_teacher.model: the dev answers of {folder} fit the labels in another order; if that is right,"
            f" set finetune_teacher.labels: [{names}]"
        )
    return teacher


def better_order(logits: np.ndarray, labels: np.ndarray) -> list[int] | None:
    """The order of outputs that fits the labels best, when the given one is right on fewer rows than chance."""
    classes = logits.shape[1]
    found = logits.argmax(axis=1)
    if classes > MOST_PERMUTED:
        return None
    orders = [np.array(order) for order in permutations(range(classes))]
    right = [float((order[found] == labels).mean()) for order in orders]  # the given one first
    best = int(np.argmax(right))
    chance = float(np.bincount(labels).max() / len(labels))  # of a teacher that is right in no order
    error = 2 * (chance * (1 - chance) / len(labels)) ** 0.5
    return orders[best].tolist() if right[0] < 1 / classes and right[best] > chance + error else None


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
