"""Settings of the stages that distil: what the student copies of its teacher, and for how long."""

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.config.fields import CONFIG, AboveZero, Count, LayerMap, NonNegative, Positive, Share, require_setting
from pipeline.config.objectives import CAUSAL_LM, LAYER_OBJECTIVES, MASKED_LM, PREDICTIONS
from pipeline.config.training import Training


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LayerObjectives(Training):
    """How the student copies the teacher's layers: each objective has a weight, and 0 leaves it out."""

    echo: Positive = 1
    """How many steps use the same batch (data echoing, Choi et al., arXiv:1907.05550). The stage trains on 16 batches,
    then on the same 16 again, as often as this says; the teacher reads them once. The number of steps does not change:
    3 epochs with echo 3 show as many different rows as one epoch with echo 1."""
    layer_map: LayerMap = "uniform"
    """The teacher's layer that each layer of the student learns from: uniform, top, bottom, last, 'every 2', or a list
    of the teacher's layers, with 0 for none."""
    embedding: NonNegative = 1.0
    """Weight of the mean squared error of the embeddings (TinyBERT, eq. 9)."""
    hidden: NonNegative = 1.0
    """Weight of the mean squared error of the hidden states (TinyBERT, eq. 8)."""
    attention: NonNegative = 1.0
    """Weight of the mean squared error of the attention scores (TinyBERT, eq. 7); compares head by head."""
    hidden_cosine: NonNegative = 0.0
    """Weight of the cosine distance of the hidden states (DistilBERT)."""
    normalised_hidden: NonNegative = 0.0
    """Weight of the squared distance of the first token's normalised hidden states (PKD, section 3.2)."""
    attention_maps: NonNegative = 0.0
    """Weight of the divergence of the attention maps (MiniLM, section 3.1); compares head by head."""
    query_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between queries (MiniLMv2)."""
    key_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between keys (MiniLMv2)."""
    value_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between values (MiniLM, section 3.2; MiniLMv2)."""
    relation_heads: Count = 0
    """Heads into which the relations are split, which need not be the models' own; 0: as many as the teacher has."""

    def __post_init__(self) -> None:
        others = (*MASKED_LM, *CAUSAL_LM, *PREDICTIONS)  # of some of the stages
        weighted = any(getattr(self, name, 0) for name in (*LAYER_OBJECTIVES, *others))
        require_setting(weighted or not self.epochs, "no objective has a weight; give one, or set its epochs to 0")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillGeneral(LayerObjectives):
    """General distillation on unlabelled text (TinyBERT, section 3.2)."""

    learning_rate: AboveZero = 1e-4
    masked_lm: NonNegative = 0.0
    """Weight of the cross-entropy of masked tokens (BERT, section 3.1; DistilBERT)."""
    soft_masked_lm: NonNegative = 0.0
    """Weight of the teacher's predictions of the masked tokens as soft targets (DistilBERT)."""
    causal_lm: NonNegative = 0.0
    """For decoders: weight of the cross-entropy of the next token (GPT-2; DistilGPT2)."""
    soft_causal_lm: NonNegative = 0.0
    """For decoders: weight of the teacher's predictions of the next token as soft targets (DistilGPT2)."""
    temperature: AboveZero = 1.0
    """Temperature of the soft targets of `soft_masked_lm` or `soft_causal_lm`."""
    masked_lm_head: bool | None = None
    """Keep the masked-LM head that the student learns with, which then starts from the teacher's. null: true in a
    recipe without a task that learns masked tokens, else false."""

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = "true, but no masked token is learnt; give masked_lm or soft_masked_lm a weight, and epochs"
        require_setting(not self.masked_lm_head or self.learns_masked_tokens, wrong, "masked_lm_head")

    @property
    def learns_masked_tokens(self) -> bool:
        """Whether any objective compares masked tokens."""
        return bool(self.epochs and (self.masked_lm or self.soft_masked_lm))

    @property
    def needs_teacher_head(self) -> bool:
        """Whether the teacher is a masked LM with its head; with `epochs: 0` too, where it is only a start."""
        return bool(self.soft_masked_lm or self.masked_lm_head)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TaskDistillation(Training):
    """Settings of both steps of task distillation."""

    epoch_covers: Literal["originals", "augmented"] = "originals"
    """originals: an epoch shows each example once, as the original or as one of its variants, another one in each
    epoch. augmented: an epoch shows every row of the augmented dataset."""
    epochs: NonNegative = 3
    """Passes over the examples, or over the augmented dataset (`epoch_covers`)."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillLayers(TaskDistillation, LayerObjectives):
    """Task distillation of the layers (TinyBERT, section 3.2, task-specific distillation: first step)."""

    epochs: NonNegative = 20
    """Passes over the examples, or over the augmented dataset (`epoch_covers`)."""
    pieces: Count = 0
    """Pieces in the student's vocabulary (WordPiece or Unigram): the most frequent of the augmented dataset, and those
    of one character. A word whose piece is gone is cut into smaller ones, and the student learns to read it so. 0: the
    teacher's whole vocabulary."""
    random_tokens: Share = 0.0
    """Share of a text's tokens that are replaced by random ones, others in every epoch. Teacher and student read the
    same. For tasks with few texts, whose new texts hold words that were never seen, such as names."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillPredictions(TaskDistillation, LayerObjectives):
    """Task distillation of the predictions (TinyBERT, section 3.2, task-specific distillation: second step)."""

    learning_rate: AboveZero = 3e-5
    prediction: NonNegative = 1.0
    """Weight of the teacher's predictions as soft targets (eq. 10): the alpha of PKD (arXiv:1908.09355)."""
    temperature: AboveZero = 1.0
    """Temperature t of eq. 10."""
    label: NonNegative = 0.0
    """Weight of the task's labels (a variant has the label of its original): the 1 - alpha of PKD."""
    embedding: NonNegative = 0.0
    """Weight of the mean squared error of the embeddings (eq. 9). With a layer objective here, the teacher runs
    in this stage too."""
    hidden: NonNegative = 0.0
    """Weight of the mean squared error of the hidden states (eq. 8)."""
    attention: NonNegative = 0.0
    """Weight of the mean squared error of the attention scores (eq. 7)."""
