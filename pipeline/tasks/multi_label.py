"""Give a text, or a pair of texts, any number of labels, or none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import MetricName, Task
from pipeline.data.examples import Columns, Example
from pipeline.data.label_lists import parse_labels
from pipeline.data.labels import check_spellings
from pipeline.data.splits import Splits, check_labels, check_varied, sorted_names
from pipeline.tasks import label_sets
from pipeline.tasks.base import Tokenising
from pipeline.tasks.label_sets import log_odds, sigmoid
from pipeline.tasks.per_label import OneVersusRest
from pipeline.tasks.sequence import SequenceTask

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import TokenisedTexts


class MultiLabelTask(SequenceTask):
    """Any number of labels. Predictions are margins (R, C): above 0 for the labels that a text is given."""

    name = "multi_label"
    metrics = ("micro_f1", "macro_f1", "micro_and_macro_f1", "sample_f1", "mean_average_precision")
    problem_type = "multi_label_classification"
    label_values = "label_lists"
    has_thresholds = True
    soft_form = "independent"
    weighs_classes = True
    trivial_answer = "giving every text the same labels"

    # ---- the rows

    def parse_label(self, value: Any, columns: Columns) -> tuple[str, ...]:
        """The names of the labels."""
        return parse_labels(value, columns)

    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """The recipe's names, or the labels of the training rows, sorted."""
        check_spellings(splits, known, several=True)
        train = splits["train"]
        check_varied(train, _shown)
        return known or sorted_names({label for example in train for label in example.label})

    def check(self, splits: Splits, label_names: tuple[str, ...]) -> None:
        """Every label is known, and occurs in the training rows."""
        check_labels(splits, label_names, several=True)

    def label_counts(self, examples: Sequence[Example]) -> Counter[str]:
        """Rows with each label."""
        return Counter(label for example in examples for label in example.label or ())

    def describe(self, splits: Splits) -> list[str]:
        """Labels a row."""
        several = [len(example.label) for example in splits["train"]]
        none = several.count(0)
        mean = sum(several) / max(len(several), 1)
        return [f"labels a row: {mean:.2f} in the mean, {max(several, default=0)} at most; {none:,} rows have none"]

    def strata(self, examples: Sequence[Example]) -> list[str | None]:
        """The rarest label of each row, so that each split has its share of the rare ones."""
        counts = Counter(label for example in examples for label in example.label)
        return [min(example.label, key=lambda label: (counts[label], label), default=None) for example in examples]

    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """A list of labels by number, with their names."""
        return {"feature": {"names": list(label_names), "_type": "ClassLabel"}, "_type": "List"}

    def column_value(self, label: tuple[str, ...] | None, numbers: Mapping[str, int]) -> list[int] | None:
        """Labels by number, ascending."""
        return None if label is None else sorted(numbers[name] for name in label)

    def soft_answer(self, logits: Sequence[float], label_names: tuple[str, ...]) -> tuple[str, ...]:
        """The labels more probable than 0.5."""
        return tuple(name for name, logit in zip(label_names, logits, strict=True) if logit > 0)

    def soft_target(self, label: Any, logits: Sequence[float] | None, label_names: tuple[str, ...]) -> list[float]:
        """A probability of each label."""
        if logits is None:
            return [float(name in label) for name in label_names]
        return sigmoid(np.asarray(logits)).tolist()

    # ---- tokens

    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """As other texts; `labels` holds 0 or 1 for each of C."""
        columns = super().tokenise(rows, tokenizer, how)
        if how.label_column:
            columns["labels"] = indicators(rows[how.label_column], how.label_count).tolist()
        return columns

    # ---- scores

    def references(self, dataset: "Dataset", label_column: str) -> np.ndarray:
        """(R, C) 1 where a row has a label, else 0."""
        feature: Any = dataset.features[label_column]
        return indicators(dataset[label_column][:], feature.feature.num_classes)

    def balanced_weights(self, references: np.ndarray, label_count: int) -> np.ndarray:
        """Of each label: rows without it for each row with it; 1 for a label without a row."""
        having = references.sum(axis=0)
        return np.where(having > 0, (len(references) - having) / np.maximum(having, 1), 1.0)

    def choose_thresholds(
        self, outputs: np.ndarray, references: np.ndarray, task: Task, metric: MetricName
    ) -> list[float]:
        """One for all labels, or one for each, as the recipe says."""
        one = label_sets.one_threshold(metric, outputs, references)
        if task.thresholds == "one":
            return [one] * outputs.shape[1]
        return label_sets.each_threshold(outputs, references, otherwise=one)

    def margins(self, outputs: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
        """How far each output is above its threshold; without thresholds these are 0.5."""
        return outputs - log_odds(np.asarray(thresholds)) if len(thresholds) else outputs

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> np.ndarray:
        """(R, C) margins."""
        return outputs

    def one_versus_rest(self, predictions: np.ndarray, outputs: np.ndarray, references: np.ndarray) -> OneVersusRest:
        """Each label on its own."""
        return OneVersusRest(predictions > 0, sigmoid(outputs), references > 0)

    def prediction_columns(
        self, predictions: np.ndarray, outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """The names of each row's labels, and the `probability` of every label."""
        names = [[label_names[label] for label in np.flatnonzero(row > 0)] for row in predictions]
        return {"": names, "probability": sigmoid(outputs).tolist()}

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(R, 2C): margins, and what is right."""
        return np.concatenate([predictions, references], axis=1).astype(np.float64)

    def details(self, metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
        """Parts of a metric of `pipeline.tasks.label_sets`."""
        return label_sets.details(metric, *np.split(statistics, 2, axis=1))

    def all_scores(self, statistics: np.ndarray) -> dict[str, float]:
        """Every one of `label_sets.ALL_SCORES`."""
        margins, right = np.split(statistics, 2, axis=1)
        return {name: label_sets.score(name, margins, right) for name in label_sets.ALL_SCORES}

    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Better than the same labels for every text."""
        return label_sets.beats_constant(metric, *np.split(statistics, 2, axis=1))

    def agreement(self, theirs: np.ndarray, ours: np.ndarray) -> float:
        """Share of the rows with the same labels."""
        return float(((theirs > 0) == (ours > 0)).all(axis=1).mean())


def _shown(labels: tuple[str, ...]) -> str:
    return f"the labels {', '.join(map(repr, sorted(labels)))}" if labels else "no label"


def indicators(rows: Sequence[Sequence[int] | None], label_count: int) -> np.ndarray:
    """Lists of label numbers as (R, C) float32, 1 for the labels in a row's list."""
    found = np.zeros((len(rows), label_count), dtype=np.float32)
    for row, labels in zip(found, rows, strict=True):
        row[list(labels or ())] = 1
    return found
