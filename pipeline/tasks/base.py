"""What the pipeline has to know about a kind of task: one record of functions, one module of this package a kind.

Reading and scoring need no torch: a kind's functions that do import it when they are called.

Legend: N sequences (what a model reads: a text, a pair, a window of a long one), U units (sequences, or where a kind is
`per_token` their tokens), C outputs a unit, R rows of a split, S figures a row.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.config.data import AugmentData, MetricName, Task
from pipeline.config.training import DistillPredictions, Student
from pipeline.data.examples import Columns, Example, read_table

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.heads.regression import Scale
    from pipeline.models.collate import Inputs
    from pipeline.tasks.tokenised import EncodedTexts

Span = tuple[int, int]
Splits = Mapping[str, Sequence[Example]]


class Asked(NamedTuple):
    """How texts become sequences."""

    text_columns: Sequence[str]
    label_column: str | None
    """None: the labels are not asked for."""
    task: Task
    max_length: int


def logits(model: "nn.Module", inputs: "Inputs") -> "Tensor":
    """What most heads give."""
    from pipeline.models.packing import run  # noqa: PLC0415

    return run(model, inputs).logits


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of task."""

    # The rows.
    metrics: tuple[MetricName, ...]
    """Those that score it; the first where the recipe names none."""
    answer: Callable[[Any, Columns], Any]
    """A raw value of the label's column as an example's label; raises ValueError with the half of a sentence."""
    read: Callable[[Path, Columns, MutableMapping[str, int]], Iterator[Example]] = read_table
    """A file's examples; counts the rows left out."""
    text_columns: Callable[[Columns], tuple[str, ...]] = lambda columns: columns.texts
    """The columns of text of the task's dataset."""
    label_names: Callable[[Splits, tuple[str, ...]], tuple[str, ...]]
    """The names of the model's outputs from the splits that have files and the names that the recipe gives."""
    has_label_names: bool = True
    check: Callable[[Splits, tuple[str, ...]], None] = lambda splits, names: None
    """Raises UserError for labels that do not fit, once all splits are cut."""
    stratum: Callable[[Example], Hashable] = lambda example: None
    """What held-out splits must hold in the same mixture as the whole."""
    origin: Callable[[Example], Hashable] | None = None
    """What must not straddle two splits that are cut from one file, where the recipe names no group."""
    feature: Callable[[tuple[str, ...]], Any]
    """The feature of the label's column, from the label names."""
    value: Callable[[Any, Mapping[str, int]], Any] = lambda label, numbers: label
    """An example's label as that column holds it, from the numbers of the label names."""
    column_fits: "Callable[[pa.DataType], bool]" = lambda column: True
    """Whether a Parquet column of this type can hold its labels."""
    column_needs: str = "labels are needed"
    """The rest of the sentence about one that cannot."""
    corpus_texts: Callable[[Sequence[Example]], Iterable[str]] = lambda examples: (
        text for example in examples for text in example.texts
    )
    """Training texts for the corpus."""

    # Augmentation.
    protected: Callable[[Mapping[str, Any], str, str, AugmentData], Sequence[Span]] | None = None
    """Spans of characters that are never replaced, from (row, column of the text, label's column, settings)."""
    realigned: Callable[[dict[str, Any], Sequence[str], str], dict[str, Any]] | None = None
    """A row of the augmented dataset with its label moved to where its text now has it, checked by re-reading; from
    (row with `replaced`, columns of text, label's column)."""

    # Tokens.
    encode: Callable[[dict[str, Any], "PreTrainedTokenizerFast", Asked], dict[str, Any]]
    """A batch of rows as columns of sequences: input_ids, token_type_ids, cut, what `targets` needs; `row`, the row
    of the batch of each, and `weight`, where they are not one of each; `place`, the sequence's number in its row."""
    targets: Callable[[Mapping[str, Any]], dict[str, "Tensor"]] = lambda columns: {}
    """Encoded columns of some sequences as the tensors that the losses need, beside the model's inputs."""

    # The model.
    load: "Callable[..., PreTrainedModel]"
    """As `pipeline.models.loading.load_classifier`: (folder, label_names=, new_head=, hidden_dropout=, attention=)."""
    save: "Callable[..., None]"
    """As `pipeline.models.loading.save_model`: (model, folder, tokenizer_of=)."""
    head: str = ""
    """How the class of a model with the head of this kind ends; empty: none is needed."""
    per_token: bool = False
    width: "Callable[[PreTrainedModel], int]" = lambda model: model.config.num_labels or 1
    """C."""
    outputs: "Callable[[nn.Module, Inputs], Tensor]" = logits
    """(B, C), or (B, T, C) where per token, of the model's inputs (what else is among the inputs stays out)."""
    outputs_of: "Callable[[Any], Tensor]" = lambda output: output.logits
    """The same of what a pass of the model gave, for a pass that gave more."""
    begin_head: "Callable[[PreTrainedModel, nn.Linear, Student], None]" = lambda student, projection, settings: None
    """What the student's head can begin with from the projection of its last layer to the teacher's width."""
    scale: "Callable[[np.ndarray], Scale | None]" = lambda targets: None
    """That of a training's targets, where a model learns them in units of it; None: it learns them as they are."""
    config: Callable[[Splits], dict[str, Any]] = lambda splits: {}
    """What config.json of a student that ships says beside the architecture, from the labelled rows."""
    supervised: "Callable[[Tensor, dict[str, Tensor], int], dict[str, Tensor]] | None" = None
    """Loss terms from outputs, inputs with targets, and the weight of the whole global batch; None: the teacher is
    taken as it is."""
    distilled: "Callable[[Tensor, Tensor, dict[str, Tensor], int, DistillPredictions], Tensor]"
    """The prediction loss from the student's and the teacher's outputs, inputs with targets, weight, settings."""

    # Scores.
    gold: "Callable[[Dataset, str], Any]"
    """What is right of each row, from the dataset and the label's column."""
    answers: "Callable[[np.ndarray, EncodedTexts, Dataset], Any]"
    """What outputs (U, C) say of each row."""
    written: Callable[[Any, np.ndarray, tuple[str, ...]], dict[str, list]]
    """Answers as a table shows them, from (answers, outputs, label names): a column "", and others by name."""
    statistics: Callable[[Any, Any], np.ndarray]
    """Figures (R, S) that the score of any selection of rows follows from, from answers and gold."""
    details: Callable[[MetricName, np.ndarray], dict[str, float]]
    """Each part of a metric, from figures (R, S)."""
    beats_trivial: Callable[[MetricName, np.ndarray], bool]
    """Whether, by this metric, these figures are better than an answer that looks at no text."""
    agreement: Callable[[Any, Any], float]
    """How alike two models' answers are, 1 at most."""

    def score(self, metric: MetricName, statistics: np.ndarray) -> float:
        """The score that chooses checkpoints and is reported: the mean of the parts."""
        parts = self.details(metric, statistics)
        return sum(parts.values()) / len(parts)
