"""Settings of every stage that trains, and of the two that train the teacher."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.fields import (
    CONFIG,
    AboveZero,
    ClassWeights,
    Count,
    Labels,
    NonNegative,
    Positive,
    SmallShare,
    TrainedPart,
    require_setting,
)
from pipeline.hardware import resolve_tokens


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Training:
    """Settings of every training stage."""

    epochs: NonNegative = 3
    """Passes over the original examples (or the corpus)."""
    batch_size: Positive = 32
    """Examples in an optimiser step, over all processes."""
    learning_rate: AboveZero = 5e-5
    """Peak learning rate."""
    schedule: Literal["linear", "constant"] = "linear"
    """The learning rate after the warm-up: it falls linearly to zero, or stays constant."""
    warmup: SmallShare = 0.1
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: NonNegative = 0.01
    """Weight decay of AdamW; biases and layer norms have none."""
    clip: AboveZero = 1.0
    """Largest norm of the gradients; a larger one is scaled down to it."""
    micro_batch_tokens: Positive | None = None
    """Padded tokens that go through the model at once; a batch is cut into micro-batches of similar lengths. null:
    2,048 on a CPU, 32,768 on a GPU."""
    TOKENS_ON_CPU: ClassVar[int] = 2048

    @property
    def tokens_at_once(self) -> int:
        """`micro_batch_tokens`, as the hardware resolves it."""
        return resolve_tokens(self.micro_batch_tokens, on_cpu=self.TOKENS_ON_CPU)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TrainedTeacher(Training):
    """Settings of both stages that train the teacher."""

    train: TrainedPart = "all"
    """What is trained: all, the whole model; head, only its head (for masked words, or for the task); 'top 2', the head
    and the upper 2 layers (or another number)."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states; attention dropout is always 0, as in the student."""

    @property
    def upper_layers(self) -> int | None:
        """How many layers `train` names, from the last one down; None: all."""
        return None if self.train == "all" else int(self.train.removeprefix("top ")) if self.train != "head" else 0


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PretrainTeacher(TrainedTeacher):
    """Training of the backbone on plain text: masked words (BERT, section 3.1), or for a decoder the next token."""

    epochs: NonNegative = 0
    """Passes over the corpus; 0 takes the checkpoint as it is."""
    tokens: Count = 0
    """Use only so many tokens from the beginning of the corpus, which begins with the task's own text; 0: all of it."""
    learning_rate: AboveZero = 1e-4
    from_scratch: bool = False
    """Start from random weights, in the backbone's architecture."""
    tokenizer: Literal["backbone", "train"] = "backbone"
    """backbone: the backbone's own tokenizer. train: a tokenizer is made from the texts of prepare_corpus, for a model
    that starts from scratch: a cased WordPiece, or for a decoder a byte-level BPE. The backbone then needs no file but
    config.json."""
    pieces: Positive = 30_000
    """How many pieces a tokenizer made from the texts has; all characters are among them."""
    only_proposes: bool = False
    """Use the trained model only to propose words; teacher and student start from the backbone as it was given."""
    seed: Count = 0
    """Seed of this stage; separate from the recipe's, so that runs with several seeds share the backbone and the
    candidates."""
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the tokens that the model has to predict. Of these 80% are masked, 10% are replaced by a random token,
    and 10% stay as they are."""
    held_out: SmallShare = 0.02
    """Share of the corpus that is not trained on and measures the masked accuracy, or a decoder's perplexity."""

    def __post_init__(self) -> None:
        alone = self.from_scratch and self.epochs and not self.only_proposes
        wrong = "train: only a backbone that is trained from_scratch, for some epochs, can have a tokenizer of its own"
        require_setting(self.tokenizer == "backbone" or alone, wrong, "tokenizer")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class FinetuneTeacher(TrainedTeacher):
    """Fine-tuning on the task's labels."""

    learning_rate: AboveZero = 3e-5
    model: str | None = None
    """Your own fine-tuned teacher, a path or hub:NAME; it is checked against the task and not trained."""
    labels: Labels = ()
    """The task's labels in the order of your teacher's outputs, for a teacher that names them LABEL_0, LABEL_1, ..."""
    class_weights: ClassWeights = None
    """How much the rows of a label weigh. balanced: the rows of each label have the same weight together; in a
    multi_label task the rows with a label have the same weight together as those without it. Numbers by label:
    {spam: 5, ham: 1}; a label that is left out has 1. null: all rows weigh the same."""
    allow_majority: bool = False
    """Continue with a teacher that scores no better than an answer that ignores the text, such as always the most
    frequent label."""
