"""Settings of the student and of every stage that trains: objectives, optimiser, duration."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.fields import (
    CONFIG,
    AboveZero,
    ClassWeights,
    Count,
    Labels,
    LayerMap,
    NonNegative,
    Positive,
    SmallShare,
    TrainedPart,
    require_setting,
)
from pipeline.config.objectives import CAUSAL_LM, LAYER_OBJECTIVES, MASKED_LM, PREDICTIONS
from pipeline.hardware import resolve_tokens

MOBILEBERT_BOTTLENECK = 4  # its embeddings and its attention are this many times narrower than its layers


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Student:
    """The architecture of the student, and how its weights are initialised."""

    layers: Positive = 4
    """Transformer layers."""
    width: Positive = 312
    """Hidden size."""
    feed_forward: Positive = 1200
    """Intermediate size."""
    heads: Positive = 12
    """Attention heads; the attention loss needs as many as the teacher has."""
    key_value_heads: Count = 0
    """For a Llama, whose query heads share keys and values in groups: how many heads its keys and values have, a
    divisor of `heads`. 0: the groups are as large as in the backbone."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states. Attention dropout is always 0, because with it the fused kernel would write out every
    attention map."""
    architecture: Literal["bert", "mobilebert"] = "bert"
    """BERT, or MobileBERT with a bottleneck of a quarter of its width. The student of a decoder (GPT-2, Llama) has the
    architecture of the backbone instead."""
    start: Literal["fitted", "layers", "embeddings", "random"] | None = None
    """How the weights are initialised. fitted: every part by least squares, so that on real text the student gives what
    the teacher gives. layers: the teacher's layers and embeddings, cut to the student's sizes. embeddings: a low-rank
    copy of the teacher's embeddings (truncated SVD), the rest at random. random: as in the paper. null: fitted where
    teacher and student are like BERT, else random."""
    start_from: Literal["backbone", "task_teacher"] = "backbone"
    """The model that `fitted` and `layers` start from. backbone: before general distillation. task_teacher: the
    fine-tuned teacher with its head, before task distillation; there is no general distillation then."""
    start_layers: LayerMap = "uniform"
    """The teacher's layer that each layer of the student starts from, given as a layer_map."""
    model: str | None = None
    """Start from an existing student with the same tokenizer, such as a published TinyBERT: a path or hub:NAME. Then
    leave `start` out."""
    project_embedding: bool = True
    """For sentence embeddings of a student that is narrower than the teacher. true: a layer, saved with the student,
    projects them to the teacher's width. false: they keep their width, and the student learns how similar the texts of
    a batch are."""

    @property
    def may_be_fitted(self) -> bool:
        """Whether it starts fitted, where the teacher is like BERT too."""
        return self.start in (None, "fitted") and self.architecture == "bert" and not self.model

    @property
    def attention_width(self) -> int:
        """Width of the queries, keys and values of all heads together."""
        return self.width // (MOBILEBERT_BOTTLENECK if self.architecture == "mobilebert" else 1)

    def __post_init__(self) -> None:
        narrow = self.architecture == "mobilebert"
        multiple = MOBILEBERT_BOTTLENECK * self.heads
        wrong = f"{self.width} is not a multiple of student.heads, {self.heads}"
        require_setting(self.width % self.heads == 0, wrong, "width")
        wrong = f"{self.width}; a MobileBERT's heads divide its bottleneck, a quarter of its width; take a multiple of"
        require_setting(not narrow or self.width % multiple == 0, f"{wrong} {multiple}", "width")
        shared, wrong = self.key_value_heads, f"{self.key_value_heads} do not divide student.heads, {self.heads}"
        require_setting(not shared or self.heads % shared == 0, wrong, "key_value_heads")
        wrong = f"{self.start}, but a {self.architecture} can only start at random; leave it out"
        require_setting(not narrow or self.start in (None, "random"), wrong, "start")
        wrong = f"{self.start}, but student.model is there to start from; leave one of them out"
        require_setting(not self.model or self.start is None, wrong, "start")
        wrong = "task_teacher: only a student that starts fitted or with layers starts from it; set student.start"
        of_teacher = self.may_be_fitted or self.start == "layers"
        require_setting(self.start_from == "backbone" or of_teacher, wrong, "start_from")


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
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states; attention dropout is always 0, as in the student."""
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the tokens to predict: 80% of them are masked, 10% replaced by a random token, 10% kept."""
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
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states; attention dropout is always 0, as in the student."""
    model: str | None = None
    """Your own fine-tuned teacher, a path or hub:NAME; it is checked against the task and not trained."""
    labels: Labels = ()
    """The task's labels in the order of your teacher's outputs, for a teacher that names them LABEL_0, LABEL_1, ..."""
    class_weights: ClassWeights = None
    """How much the rows of a label weigh. balanced: the rows of each label have the same weight together. Numbers by
    label: {spam: 5, ham: 1}; a label that is left out has 1. null: all rows weigh the same."""
    allow_majority: bool = False
    """Continue with a teacher that scores no better than always answering the most frequent label."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LayerObjectives(Training):
    """How the student copies the teacher's layers: each objective has a weight, and 0 leaves it out."""

    echo: Positive = 1
    """How often the student learns from each pass of the teacher (data echoing, Choi et al., arXiv:1907.05550): so many
    of the `epochs` show the same rows, and the teacher reads them once."""
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


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TaskDistillation(Training):
    """Settings of both steps of task distillation."""

    epoch_covers: Literal["originals", "augmented"] = "originals"
    """originals: an epoch shows each example once, as the original or as one of its variants, another one in each
    epoch. augmented: an epoch shows every row of the augmented dataset."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillLayers(TaskDistillation, LayerObjectives):
    """Task distillation of the layers (TinyBERT, section 3.3, first step)."""

    epochs: NonNegative = 20
    """Passes over the examples."""
    pieces: Count = 0
    """Pieces in the student's vocabulary (WordPiece or Unigram): the most frequent of the augmented dataset, and those
    of one character. A word whose piece is gone is cut into smaller ones, and the student learns to read it so. 0: the
    teacher's whole vocabulary."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillPredictions(TaskDistillation, LayerObjectives):
    """Task distillation of the predictions (TinyBERT, section 3.3, second step)."""

    learning_rate: AboveZero = 3e-5
    prediction: NonNegative = 1.0
    """Weight of the teacher's predictions as soft targets (eq. 10): the alpha of Hinton et al."""
    temperature: AboveZero = 1.0
    """Temperature t of eq. 10."""
    label: NonNegative = 0.0
    """Weight of the task's labels (a variant has the label of its original): the 1 - alpha of Hinton et al."""
    embedding: NonNegative = 0.0
    """Weight of the mean squared error of the embeddings (eq. 9). With a layer objective here, the teacher runs in
    every step."""
    hidden: NonNegative = 0.0
    """Weight of the mean squared error of the hidden states (eq. 8)."""
    attention: NonNegative = 0.0
    """Weight of the mean squared error of the attention scores (eq. 7)."""
