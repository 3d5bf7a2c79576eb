"""Soft labels of a task's rows: checked against the labels, as logits; what a teacher learns of them.

Where a row has soft labels and no label, the label they say (the most probable one) stands for it: rows to score have
one, and the splits keep their mixture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.examples import Example
from pipeline.data.soft_labels import SoftColumns
from pipeline.data.splits import sorted_names
from pipeline.errors import UserError
from pipeline.tasks.base import TaskKind

if TYPE_CHECKING:
    from pipeline.tasks.labelled_data import TaskData

MANY = 10  # labels, of which all are said


def soft_names(splits: Mapping[str, Sequence[Example]]) -> tuple[str, ...]:
    """The labels that JSON objects of soft labels name, sorted; those of unlabelled rows must be among them."""
    found = [example.soft for split in splits if split != "unlabelled" for example in splits[split]]
    return sorted_names({str(name) for soft in found if isinstance(soft, Mapping) for name in soft})


def label_order(
    kind: TaskKind, splits: Mapping[str, Sequence[Example]], soft: SoftColumns
) -> tuple[tuple[str, ...], list[str]]:
    """The labels where the recipe does not name them, in the order in which lists have them; and what is to say of it.

    Raises: UserError where there are lists, and the labels of the training rows do not say what their numbers are of.
    """
    lists = [row for examples in splits.values() for row in examples if isinstance(row.soft, list)]
    labelled = {split: [row for row in examples if row.label is not None] for split, examples in splits.items()}
    names = soft_names(splits)
    if lists and not names and len({row.label for row in labelled["train"]}) < 2:
        raise UserError(
            f"{lists[0].location}: column '{soft.names()[0]}' holds a list of soft labels; name the labels in"
            " task.labels, in the order of the list"
        )
    names = names or kind.label_names(labelled, ())
    if not lists:
        return names, []
    shown = ", ".join(names[:MANY]) + (", ..." if len(names) > MANY else "")
    return names, [
        f"lists of soft labels are read in the order {shown}; if that is wrong, give the order in task.labels"
    ]


def with_logits(
    kind: TaskKind, splits: Mapping[str, Sequence[Example]], soft: SoftColumns, label_names: tuple[str, ...]
) -> tuple[dict[str, list[Example]], list[str]]:
    """The splits with soft labels as logits, and labels where only soft ones are there; and what is to say of it.

    Raises: UserError, with file and line, for soft labels that do not fit; where no training row has any.
    """
    divided, answered, width, found = 0, 0, 0, {}
    for split, examples in splits.items():
        found[split] = []
        for example in examples:
            if example.soft is None:
                found[split].append(example)
                continue
            try:
                logits, was_divided = soft.as_logits(example.soft, label_names)
            except ValueError as error:
                raise UserError(f"{example.location}: {error}") from None
            if len(logits) != (width := width or len(logits)):
                raise UserError(
                    f"{example.location}: its vectors have {len(logits)} numbers in all, others have {width}"
                )
            divided += was_divided
            label = example.label
            if label is None and split != "unlabelled":
                label = kind.soft_answer(logits, label_names)
                answered += 1
            held = np.array(logits)  # float64, a quarter of the memory of a tuple
            found[split].append(example._replace(soft=held, label=label))
    distilled = (*found["train"], *found.get("unlabelled", ()))
    if found["train"] and all(example.soft is None for example in distilled):
        names = ", ".join(f"'{name}'" for name in soft.names())
        raise UserError(
            f"task.soft_labels: column {names} is empty in every training row ({found['train'][0].path}); check the"
            " names, or leave it out"
        )
    remarks = []
    if divided:
        remarks.append(f"the soft labels of {divided} rows do not sum to 1; each was divided by its sum")
    if answered:
        remarks.append(f"{answered} rows have no label: the answer of their soft labels is used")
    return found, remarks


def to_learn(data: "TaskData") -> "TaskData":
    """The task with all rows to learn as training rows: unlabelled ones too where they have soft labels.

    The label of a regression is then the soft one where there is one; of embeddings only rows with vectors are learnt.
    """
    more = [example for example in data.splits.get("unlabelled", ()) if example.soft is not None]
    train = [*data.splits["train"], *more]
    if data.kind.soft_form == "vectors":  # a score of a pair is nothing to learn
        train = [example for example in train if example.soft is not None]
    names = data.label_names
    for number, example in enumerate(train):
        if example.soft is not None and (example.label is None or data.kind.soft_form == "score"):
            train[number] = example._replace(label=data.kind.soft_answer(example.soft, names))
    return replace(data, splits={**data.splits, "train": train})


def targets_to_learn(data: "TaskData") -> list[list[float]] | None:
    """`soft_target` of every training row; None where labels say it all."""
    if data.kind.soft_form == "score" or all(example.soft is None for example in data.splits["train"]):
        return None
    return [data.kind.soft_target(row.label, row.soft, data.label_names) for row in data.splits["train"]]


def given_logits(examples: Sequence[Example]) -> np.ndarray | None:
    """What the given teacher said of some rows, (R, C) float32; None where it did not say it of each."""
    if not examples or any(example.soft is None for example in examples):
        return None
    return np.array([example.soft for example in examples], dtype=np.float32)
