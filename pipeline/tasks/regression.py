"""Give a text, or a pair of texts, a number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import MetricName
from pipeline.data.examples import Columns, parse_score
from pipeline.data.labels import HIDDEN, IS_HIDDEN
from pipeline.data.splits import Splits, check_varied
from pipeline.errors import UserError
from pipeline.tasks.metrics import score
from pipeline.tasks.sequence import SequenceTask

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.tasks.tokenised import TokenisedTexts


class RegressionTask(SequenceTask):
    """A score."""

    name = "regression"
    metrics = ("pearson_and_spearman", "pearson", "spearman")
    problem_type = "regression"
    label_values = "numbers"
    has_label_names = False
    soft_form = "score"
    trivial_answer = "giving every text the same score"

    def parse_label(self, value: Any, columns: Columns) -> float:
        """A finite number."""
        return parse_score(value, columns)

    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """None. Raises: UserError where all rows have one score."""
        check_varied(splits["train"], "the score {}".format)
        return ()

    def check(self, splits: Splits, label_names: tuple[str, ...]) -> None:
        """No split has its scores kept secret."""
        for split, examples in splits.items():
            scores = {example.label for example in examples}
            if split != "unlabelled" and scores == {float(HIDDEN)}:
                raise UserError(f"{examples[0].location}: all scores of the file are {HIDDEN}; {IS_HIDDEN}")

    def describe(self, splits: Splits) -> list[str]:
        """The range of the scores."""
        scores = [example.label for example in splits["train"]]
        mean = sum(scores) / max(len(scores), 1)
        return [f"scores in train: {min(scores):g} to {max(scores):g}, {mean:.4g} in the mean"] if scores else []

    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """A number."""
        return {"dtype": "float32", "_type": "Value"}

    def soft_answer(self, logits: Sequence[float], label_names: tuple[str, ...]) -> float:
        """The teacher's score."""
        return float(logits[0])

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> np.ndarray:
        """(R,) scores."""
        return outputs[:, 0]

    def prediction_columns(
        self, predictions: np.ndarray, outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """Scores."""
        return {"": predictions.astype(np.float64).tolist()}

    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Whether Spearman's correlation is above 0."""
        return score("spearman", statistics[:, 0], statistics[:, 1]) > 0

    def agreement(self, theirs: np.ndarray, ours: np.ndarray) -> float:
        """Pearson's correlation of the two models' scores."""
        return score("pearson", ours, theirs)
