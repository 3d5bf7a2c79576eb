"""What sits on the encoder for one kind of task. One class a kind; what most share is written here.

Legend: B sequences of a batch, T their tokens, C outputs a unit (a sequence, or for some kinds a token).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from pipeline.config.distillation import DistillPredictions
from pipeline.config.student import Student
from pipeline.models.attention import ATTENTION
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.loading import SINGLE_LABEL, ProblemType, load_classifier, save_model
from pipeline.models.trace import forward
from pipeline.tasks.tokenised import TokenisedTexts


class Scale(NamedTuple):
    """Mean and standard deviation of scores, in units of which a model learns them.

    A head begins with outputs around 0, and Adam's steps do not grow with the loss: scores around 50 or 2,000 would
    never be reached. So the targets are standardised while a model learns, and afterwards its last layer takes the
    scale in.
    """

    mean: float
    std: float

    @classmethod
    def of(cls, scores: np.ndarray) -> "Scale":
        """That of some scores, of any shape; a deviation of 1 where all are the same."""
        exact = np.asarray(scores, dtype=np.float64)
        return cls(float(exact.mean()), float(exact.std()) or 1.0)

    def standardise(self, batch: Batch) -> Batch:
        """A batch whose scores, the task's and the teacher's, are in units of the scale."""
        names = [name for name in ("labels", "teacher_outputs") if name in batch.targets]
        return batch.with_targets(**{name: (batch.targets[name] - self.mean) / self.std for name in names})

    @torch.no_grad()
    def fold_into(self, model: PreTrainedModel) -> None:
        """What the model gave as x it gives as x times the deviation, plus the mean."""
        last = output_layer(model)
        last.weight.mul_(self.std)
        last.bias.mul_(self.std).add_(self.mean)

    @torch.no_grad()
    def unfold_from(self, model: PreTrainedModel) -> None:
        """The reverse of `fold_into`."""
        last = output_layer(model)
        last.weight.div_(self.std)
        last.bias.sub_(self.mean).div_(self.std)


class Head(ABC):
    """The head of one kind of task."""

    architecture: ClassVar[Any] = AutoModelForSequenceClassification
    """The class of transformers that loads a model with it."""
    problem_type: ClassVar[ProblemType] = SINGLE_LABEL  # of a model with label names, in its config.json

    def load(
        self,
        folder: Path,
        *,
        label_names: Sequence[str],
        new_head: bool,
        hidden_dropout: float = 0.0,
        attention: str = ATTENTION,
    ) -> PreTrainedModel:
        """A model with this head. Args: new_head: allow a head that the checkpoint lacks; it begins at random."""
        return load_classifier(
            folder,
            label_names=label_names,
            new_head=new_head,
            hidden_dropout=hidden_dropout,
            attention=attention,
            head=self.architecture,
            problem_type=self.problem_type,
        )

    def save(self, model: PreTrainedModel, folder: Path, *, tokenizer_of: Path) -> None:
        """Save a model so that other programs load it."""
        save_model(model, folder, tokenizer_of=tokenizer_of)

    def width(self, model: PreTrainedModel) -> int:
        """C, the numbers that `outputs` gives for a sequence or a token."""
        return model.config.num_labels or 1

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """(B, C), or (B, T, C) where each token has an answer."""
        return self.read(forward(model, batch))

    def read(self, model_output: Any) -> Tensor:
        """The same of what a pass of the model gave."""
        return model_output.logits

    def targets(self, columns: Mapping[str, Any]) -> dict[str, Tensor]:
        """Tokenised columns of some sequences as the tensors that the losses need: `labels`, and `soft` (B, C)."""
        found = {"labels": torch.tensor(columns["labels"])} if "labels" in columns else {}
        return found | ({"soft": torch.tensor(columns["soft"], dtype=torch.float32)} if "soft" in columns else {})

    def collate(self, texts: TokenisedTexts, rows: Rows, *, packed: bool) -> Batch:
        """Some sequences as a batch with targets. Args: packed: whether the models can take a packed batch."""
        columns = texts.columns(rows)
        return collate(columns, texts.pad_id, packed=packed).with_targets(**self.targets(columns))

    def last_layer(self, model: PreTrainedModel) -> nn.Linear | None:
        """The layer that gives the outputs; None: they are what the encoder gives."""
        return output_layer(model)

    def answering(self, batch: Batch) -> Tensor | None:
        """(B, T) True on the tokens whose outputs are compared; None: a sequence has one output."""
        return None

    def init_from_projection(  # noqa: B027
        self, student: PreTrainedModel, projection: nn.Linear, settings: Student, *, teacher: Path | None = None
    ) -> None:
        """Initialise what the student's head can take from its last layer's projection to the teacher's width."""

    def set_width(self, model: PreTrainedModel, width: int) -> bool:
        """Give a model outputs of a given width; returns whether a layer for them is new, and still to be fitted."""
        return False

    def start_at_frequencies(self, model: PreTrainedModel, references: Any) -> None:  # noqa: B027
        """Let a new head begin with outputs that say how frequent each label is, where that saves steps."""

    def scale(self, targets: np.ndarray) -> Scale | None:
        """The scale in which a model learns such targets; None: as they are."""
        return None

    @abstractmethod
    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss terms of the task's labels.

        Args:
            weight: what the mean is taken over, of the whole global batch (`total_weight`).
            class_weights: (C,) of the labels, for the kinds of task that have some.
        """

    @abstractmethod
    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """The loss of the teacher's predictions, from both models' outputs."""


def total_weight(texts: TokenisedTexts, micro_batches: Sequence[Rows]) -> int:
    """What the mean of a loss over the outputs of a global batch is taken over."""
    return int(texts.weights[np.concatenate(micro_batches)].sum())


def output_layer(model: PreTrainedModel) -> nn.Linear:
    """The last linear layer outside the encoder, which gives a classifier's outputs.

    Some models list the encoder before their head, others behind it (XLM-RoBERTa in transformers 5.23).
    """
    encoder = set(model.base_model.modules())
    return [module for module in model.modules() if isinstance(module, nn.Linear) and module not in encoder][-1]
