"""What a kind of task is: how its rows are read, tokenised, answered and scored. One class a kind; no torch.

What sits on the encoder for a kind (loading, outputs, losses) is its head, in `pipeline.heads`.

Legend: N sequences (what a model reads: a text, a pair, a window of a long one), U units (sequences, or where a kind is
`per_token` their tokens), C outputs a unit, R rows of a split, S statistics a row.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from pipeline.config.data import AugmentData, KindName, MetricName, Task
from pipeline.data.examples import Columns, Example, read_table
from pipeline.data.soft_labels import SoftForm
from pipeline.data.splits import Splits
from pipeline.errors import UserError
from pipeline.tasks.metrics import TWO_LABELS, mean_of
from pipeline.tasks.per_label import OneVersusRest

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import TokenisedTexts

Span = tuple[int, int]  # the first character and the one after the last


class Tokenising(NamedTuple):
    """How texts become sequences."""

    text_columns: Sequence[str]
    label_column: str | None  # None: without labels
    task: Task
    max_length: int
    label_count: int = 0  # of a column that holds lists of labels: how many labels there are


class TaskKind(ABC):
    """One kind of task. What most kinds share is written here; a kind overrides what differs."""

    name: ClassVar[KindName]
    metrics: ClassVar[tuple[MetricName, ...]]  # those that can score it; the first is the default
    head_class: ClassVar[str] = ""  # how the name of a transformers class with its head ends; empty: no head is needed
    problem_type: ClassVar[str] = "single_label_classification"  # as config.json of a model names it
    label_values: ClassVar[Literal["any", "numbers", "tags", "label_lists", "answers"]] = "any"
    """What the label's column of a Parquet file must hold."""
    has_label_names: ClassVar[bool] = True
    learns_labels: ClassVar[bool] = True  # whether a teacher is fine-tuned on the labels; else it is taken as it is
    trivial_answer: ClassVar[str]  # the one that looks at no text, which `beats_trivial` compares with
    weighs_classes: ClassVar[bool] = False  # whether rows of a label can weigh more than others in a teacher's loss
    soft_form: ClassVar[SoftForm | None] = None  # what soft labels of this kind are; None: it takes none
    has_thresholds: ClassVar[bool] = False  # whether dev chooses above which probabilities labels are given
    per_token: ClassVar[bool] = False  # whether a model answers each token, not each sequence

    # ---- the rows

    def read(self, path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
        """The examples of a file; counts the rows left out."""
        return read_table(path, columns, left_out)

    @abstractmethod
    def parse_label(self, value: Any, columns: Columns) -> Any:
        """A raw value of the label's column as an example's label. Raises: ValueError with half a sentence."""

    @abstractmethod
    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the model's outputs, in order.

        Args:
            splits: those that have files of their own.
            known: the names that the recipe gives.
        """

    def check(self, splits: Splits, label_names: tuple[str, ...]) -> None:  # noqa: B027
        """Raises: UserError for labels that do not fit, once all splits are made."""

    def label_counts(self, examples: Sequence[Example]) -> Counter[str]:
        """How often each label, or type of entity, occurs; empty where a kind has none."""
        return Counter()

    def describe(self, splits: Splits) -> list[str]:
        """Lines about what was read, beside rows, labels and lengths (`pipeline.tasks.data_summary`)."""
        return []

    def answers(self, examples: Sequence[Example]) -> list[str]:
        """The answers to questions; empty where a kind has none."""
        return []

    def stratum(self, example: Example) -> Hashable:
        """Held-out splits keep the mixture of strata of the whole; one for all keeps none."""
        return None

    def strata(self, examples: Sequence[Example]) -> Sequence[Hashable]:
        """The stratum of each example."""
        return [self.stratum(example) for example in examples]

    def origin(self, example: Example) -> Hashable | None:
        """What must stand in one split alone, where the recipe names no group; None: nothing."""
        return None

    def soft_answer(self, logits: Sequence[float], label_names: tuple[str, ...]) -> Any:
        """The label that soft labels, as logits, say a row has."""
        raise NotImplementedError(self.name)

    def soft_target(self, label: Any, logits: Sequence[float] | None, label_names: tuple[str, ...]) -> list[float]:
        """(C,) what a teacher learns of a row beside others with soft labels: probabilities; without them its label."""
        raise NotImplementedError(self.name)

    @abstractmethod
    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """The feature of the label's column, as `datasets.Features.from_dict` takes it."""

    def column_value(self, label: Any, numbers: Mapping[str, int]) -> Any:
        """An example's label as that column holds it. Args: numbers: of the label names."""
        return label

    def corpus_texts(self, examples: Sequence[Example]) -> Iterable[str]:
        """Training texts for the corpus."""
        return (text for example in examples for text in example.texts if text)

    def resolve(self, task: Task, train: Sequence[Example], tokenizer: "PreTrainedTokenizerFast") -> Task:
        """The task's settings, with those filled in that the training rows decide."""
        return task

    # ---- augmentation

    def protected(
        self, row: Mapping[str, Any], column: str, label_column: str, settings: AugmentData
    ) -> Sequence[Span]:
        """Spans of a row's text in which nothing is replaced."""
        return ()

    def realign(self, row: dict[str, Any], text_columns: Sequence[str], label_column: str) -> dict[str, Any]:
        """A variant with its label moved to where its text has it now, and checked there."""
        return row

    # ---- tokens

    @abstractmethod
    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """A batch of rows as columns of sequences: input_ids, token_type_ids, cut, and what the losses need.

        Where a row is not one sequence: `row`, the row of each; `part`, the number of each in its row. Where sequences
        do not count alike in a mean: `weight`.
        """

    # ---- scores

    def balanced_weights(self, references: Any, label_count: int) -> np.ndarray:
        """(C,) weights with which every label counts the same in a teacher's loss."""
        raise NotImplementedError(self.name)

    def choose_thresholds(self, outputs: np.ndarray, references: Any, task: Task, metric: MetricName) -> list[float]:
        """The probabilities, one for each of C, above which an output counts; empty where a kind needs none.

        Args: outputs: (R, C). references: of the same rows, on which no score is reported.
        """
        return []

    def margins(self, outputs: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
        """Outputs (U, C) as `predictions` takes them; where there are thresholds, above 0 what is above its own."""
        return outputs

    @abstractmethod
    def references(self, dataset: "Dataset", label_column: str) -> Any:
        """What is right of each row."""

    @abstractmethod
    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> Any:
        """What outputs (U, C), or where a kind has thresholds their margins, say of each row."""

    @abstractmethod
    def prediction_columns(
        self, predictions: Any, outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """Predictions as a table shows them: a column "" and, for some kinds, others by name."""

    @abstractmethod
    def statistics(self, predictions: Any, references: Any) -> np.ndarray:
        """Numbers (R, S) from which the score of any selection of rows follows."""

    @abstractmethod
    def details(self, metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
        """Each part of a metric, from statistics (R, S)."""

    def one_versus_rest(self, predictions: Any, outputs: np.ndarray, references: Any) -> OneVersusRest | None:
        """The answers as a question a label; None for kinds without labels for texts."""
        return None

    def all_scores(self, statistics: np.ndarray) -> dict[str, float]:
        """Scores that are reported beside the task's metric."""
        return {}

    def score(self, metric: MetricName, statistics: np.ndarray) -> float:
        """The score that chooses checkpoints and is reported: the mean of the parts."""
        return mean_of(self.details(metric, statistics))

    @abstractmethod
    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Whether the score is better than that of `trivial_answer`."""

    @abstractmethod
    def agreement(self, theirs: Any, ours: Any) -> float:
        """How alike two models' predictions are, 1 at most."""

    def check_metric(self, metric: MetricName, *, label_count: int) -> None:
        """Raises: UserError where the metric cannot score the task."""
        if metric not in self.metrics:
            raise UserError(f"task.metric: '{metric}' does not score a {self.name}; '{self.metrics[0]}' does")
        if metric in TWO_LABELS and label_count != 2:
            raise UserError(
                f"task.metric: '{metric}' needs two labels and the task has {label_count}; 'macro_f1' takes any"
            )

    def student_config(self, splits: Splits, task: Task) -> dict[str, Any]:
        """What config.json of an exported student says beside the architecture. Args: task: as `resolve` gives it."""
        return {}
