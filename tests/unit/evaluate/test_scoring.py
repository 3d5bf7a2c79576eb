"""What outputs say of the rows of a split."""

from typing import Any

import numpy as np

from pipeline.config.data import Task
from pipeline.evaluate.scoring import LabelledSplit
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData


def split_of(label_names: tuple[str, ...], references: np.ndarray) -> LabelledSplit:
    task = TaskData(
        name="tiny",
        kind=KINDS["classification" if label_names else "regression"],
        text_columns=("text",),
        label_column="label",
        label_names=label_names,
        metric="accuracy" if label_names else "pearson",
        splits={},
        left_out={},
    )
    unused: Any = None
    return LabelledSplit(task=task, dataset=unused, texts=unused, references=references, settings=Task())


def test_predictions_are_label_numbers_or_scores() -> None:
    logits = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    classes, scores = split_of(("bad", "good"), np.array([1, 1])), split_of((), np.array([1.0, 2.0]))
    assert classes.predictions(logits).tolist() == [1, 0]
    assert classes.score(logits) == 0.5
    np.testing.assert_allclose(scores.predictions(logits[:, :1]), [0.1, 0.8], rtol=1e-6)
