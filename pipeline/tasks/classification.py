"""Choose one of several labels for a text, or a pair of texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import MetricName
from pipeline.data.examples import Columns, Example, parse_label
from pipeline.data.labels import check_spellings
from pipeline.data.splits import Splits, check_labels, check_varied, sorted_names
from pipeline.tasks.metrics import beats_majority
from pipeline.tasks.per_label import OneVersusRest
from pipeline.tasks.sequence import SequenceTask

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.tasks.tokenised import TokenisedTexts


class ClassificationTask(SequenceTask):
    """One of several labels."""

    name = "classification"
    soft_form = "distribution"
    weighs_classes = True
    trivial_answer = "always giving the most frequent label"
    metrics = ("accuracy", "f1", "macro_f1", "accuracy_and_f1", "matthews")

    def parse_label(self, value: Any, columns: Columns) -> str:
        """The name of a label."""
        return parse_label(value, columns)

    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """The recipe's names, or the labels of the training rows, sorted."""
        check_spellings(splits, known)
        train = splits["train"]
        check_varied(train, "the label '{}'".format)
        return known or sorted_names({example.label for example in train})

    def check(self, splits: Splits, label_names: tuple[str, ...]) -> None:
        """Every label is known, and occurs in the training rows."""
        check_labels(splits, label_names)

    def label_counts(self, examples: Sequence[Example]) -> Counter[str]:
        """Rows with each label."""
        return Counter(example.label for example in examples if example.label is not None)

    def describe(self, splits: Splits) -> list[str]:
        """Texts whose labels contradict each other."""
        first: dict[tuple[str, ...], Example] = {}
        several: dict[tuple[str, ...], Example] = {}
        for example in chain(*splits.values()):
            if example.label is not None and first.setdefault(example.texts, example).label != example.label:
                several.setdefault(example.texts, example)
        if not several:
            return []
        other = next(iter(several.values()))
        return [
            f"warning: texts with more than one label: {len(several):,}, such as that of"
            f" {first[other.texts].location} and {other.location}; task.drop_repeats: true keeps the first row"
        ]

    def stratum(self, example: Example) -> str | None:
        """The label."""
        return example.label

    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """A label's number, with its name."""
        return {"names": list(label_names), "_type": "ClassLabel"}

    def column_value(self, label: str | None, numbers: Mapping[str, int]) -> int | None:
        """A label by number."""
        return None if label is None else numbers[label]

    def soft_answer(self, logits: Sequence[float], label_names: tuple[str, ...]) -> str:
        """The most probable label."""
        return label_names[int(np.argmax(logits))]

    def soft_target(self, label: Any, logits: Sequence[float] | None, label_names: tuple[str, ...]) -> list[float]:
        """Probabilities that sum to 1."""
        if logits is None:
            return [float(name == label) for name in label_names]
        return softmax(np.asarray(logits)).tolist()

    def balanced_weights(self, references: np.ndarray, label_count: int) -> np.ndarray:
        """Those of `balanced`."""
        return balanced(np.bincount(references, minlength=label_count))

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> np.ndarray:
        """(R,) label numbers."""
        return outputs.argmax(axis=1)

    def one_versus_rest(self, predictions: np.ndarray, outputs: np.ndarray, references: np.ndarray) -> OneVersusRest:
        """Each label against all others."""
        labels = np.arange(outputs.shape[1])
        return OneVersusRest(predictions[:, None] == labels, softmax(outputs), references[:, None] == labels)

    def prediction_columns(
        self, predictions: np.ndarray, outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """Label names, and the model's `probability` of each."""
        probabilities = softmax(outputs).max(axis=1)
        return {"": [label_names[number] for number in predictions], "probability": probabilities.tolist()}

    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Better than always the most frequent label."""
        return beats_majority(metric, *statistics.T)

    def agreement(self, theirs: np.ndarray, ours: np.ndarray) -> float:
        """Share of the rows with the same label."""
        return float((theirs == ours).mean())


def balanced(counts: np.ndarray) -> np.ndarray:
    """n / (C n_c), as sklearn's class_weight 'balanced' has it; 1 for a label without a row."""
    return np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1)), 1.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64, over the last axis."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
