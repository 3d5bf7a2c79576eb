"""Every knob of the pipeline: one tree of frozen dataclasses.

A recipe is a YAML file of this tree (`pipeline.recipes` loads it). The text under a field is its help, and what
`./run_all.sh --help` prints. All of it can change what a stage writes and is part of its fingerprint, except `Run`.
"""

import re
from dataclasses import field
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic.dataclasses import dataclass

CONFIG = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _number_as_text(value: object) -> object:
    return str(value) if type(value) in (int, float) else value


def _no_yes_or_no(value: object) -> object:
    if isinstance(value, bool):  # YAML's yes and no; Python would take them for 1 and 0
        raise ValueError("it must be a number")
    return value


def _layer_map(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"uniform|top|bottom|last|every [1-9]\d*", value):
        return value
    if isinstance(value, list | tuple) and value and all(type(layer) is int and layer >= 0 for layer in value):
        return tuple(value)
    raise ValueError("it must be uniform, top, bottom, last, 'every 2', or a list of the teacher's layers")


NUMBER = BeforeValidator(_no_yes_or_no)
Count = Annotated[int, NUMBER, Field(ge=0)]
Positive = Annotated[int, NUMBER, Field(ge=1)]
Share = Annotated[float, NUMBER, Field(ge=0, le=1)]
SmallShare = Annotated[float, NUMBER, Field(ge=0, lt=1)]
NonNegative = Annotated[float, NUMBER, Field(ge=0)]
AboveZero = Annotated[float, NUMBER, Field(gt=0)]
Tracker = Literal[
    "tensorboard", "wandb", "comet_ml", "mlflow", "aim", "clearml", "dvclive", "swanlab", "trackio", "none"
]
Strings = Annotated[tuple[str, ...], BeforeValidator(_one_or_several)]
Labels = Annotated[tuple[Annotated[str, BeforeValidator(_number_as_text)], ...], BeforeValidator(_one_or_several)]
LayerMap = Annotated[str | tuple[int, ...], PlainValidator(_layer_map)]
GlueName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
KindName = Literal["classification", "regression", "token_classification", "question_answering", "embedding"]
MetricName = Literal[
    "accuracy",
    "f1",
    "macro_f1",
    "accuracy_and_f1",
    "matthews",
    "pearson",
    "spearman",
    "pearson_and_spearman",
    "entity_f1",
    "exact_match_and_f1",
    "answer_f1",
    "exact_match",
]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Run:
    """Where things go and how they are shown. Nothing here changes a result."""

    artifacts: str = "artifacts"
    """Folder of everything the stages publish; all recipes share it."""
    runs: str = "runs"
    """Folder with one sub-folder a run: links to its artifacts, logs, results."""
    checkpoint_seconds: AboveZero = 60.0
    """Seconds between two checkpoints inside a training stage."""
    log_every: Positive = 10
    """Optimiser steps between two points of a curve."""
    tracker: Tracker = "tensorboard"
    """Where curves go: a tracker that Accelerate knows, or 'none'."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Task:
    """The labelled data, how it is split, and how it is scored."""

    glue: GlueName | None = None
    """A GLUE task, read in its official layout; its columns, labels and metric are known."""
    data: str | None = None
    """Where the GLUE task lies: its official folder, or hub:nyu-mll/glue."""
    train: Strings = ()
    """Your training files: .csv, .tsv, .jsonl, .json, .parquet (also .gz, .bz2); of words with tags also CoNLL, of any
    other ending; of questions SQuAD's .json: paths, wheel:... or hub:... ."""
    dev: Strings = ()
    """Files of the rows that choose checkpoints; without them `dev_share` of the training rows is held out."""
    test: Strings = ()
    """Files of the rows that only measure; without them `test_share` of the training rows is held out."""
    header: Strings = ()
    """The names of the columns, in order, of .csv and .tsv files that have no header line."""
    text: str = "text"
    """Column of the text, of the first text of a pair, or of the list of words (in CoNLL files a number, from 0)."""
    text_pair: str | None = None
    """Column of the second text of a pair."""
    label: str = "label"
    """Column of the label, the score, or the list of tags (in CoNLL files a number; a name stands for the last)."""
    kind: KindName = "classification"
    """Choose one of several labels, predict a number, label words (named entities), or answer a question by a
    span of a text, or embed sentences (pairs with a score measure how well)."""
    labels: Labels = ()
    """The labels in the order of the model's outputs, or of tags that are numbers; empty: those of the training rows,
    sorted."""
    drop_labels: Labels = ()
    """Rows with these labels are left out (rows of another kind in the same file)."""
    skip_empty: bool = False
    """Leave rows without text out and count them, instead of stopping at the first."""
    drop_repeats: bool = False
    """Keep only the first row of each text (or pair), so that none stands in two splits."""
    dev_share: SmallShare = 0.1
    """Share of the training rows held out as dev, where no dev file is given."""
    test_share: SmallShare = 0.1
    """Share of the training rows held out as test, where no test file is given."""
    group: str | None = None
    """Column whose values must not straddle two splits (a film, an author); else splits are stratified by label."""
    split_seed: Count = 0
    """Seed of the held-out splits; kept apart from `seed` so that runs of several seeds share their test rows."""
    metric: MetricName | None = None
    """Score that chooses checkpoints and is reported; empty: accuracy, Pearson-Spearman, or GLUE's own."""
    max_length: Annotated[int, Field(ge=8)] = 64
    """Tokens a text (or pair) is cut at; the paper takes 64, and 128 for pairs. A long context is read in
    windows of so many."""
    window_overlap: Count = 128
    """Tokens that the windows of a long context share with the next one."""
    unlabelled: Strings = ()
    """Files with more task text and no labels: distillation needs none."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Student:
    """The architecture of the student, and how it begins."""

    layers: Positive = 4
    """Transformer layers."""
    width: Positive = 312
    """Hidden size."""
    feed_forward: Positive = 1200
    """Intermediate size."""
    heads: Positive = 12
    """Attention heads; the attention loss wants as many as the teacher has."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states. Attention dropout is always 0: with it the fused kernel writes out every map."""
    architecture: Literal["bert", "mobilebert"] = "bert"
    """BERT, or MobileBERT with a bottleneck of a quarter of its width."""
    embeddings: Literal["random", "teacher"] = "random"
    """How they begin: at random as in the paper, or as the best low-rank copy of the teacher's (truncated SVD)."""
    copy_layers: LayerMap | None = None
    """Begin with these layers of the teacher (as a layer_map) and its embeddings, cut to the student's sizes."""
    model: str | None = None
    """Begin with an existing student, such as a published TinyBERT: a path or hub:NAME; of the same tokenizer."""
    project_embedding: bool = True
    """Sentence embeddings: a narrower student's are projected to the teacher's width by a layer that ships with it;
    else they keep their own, and the student learns how alike the texts of a batch are."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PrepareCorpus:
    """Unlabelled text, tokenised into blocks of one length."""

    sources: Strings = ()
    """Files: .txt (a blank line ends a document), .jsonl, .parquet, a Wikipedia dump .xml.bz2; wheel:..., hub:... ."""
    column: str = "text"
    """Column of the text in .jsonl and .parquet sources."""
    task_text: bool = False
    """Add the texts of the task's training rows."""
    length: Annotated[int, Field(ge=16, le=8192)] = 128
    """Tokens a block, [CLS] and [SEP] included."""
    shard_blocks: Positive = 16384
    """Blocks a shard."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Training:
    """What every training stage can be told."""

    epochs: NonNegative = 3
    """Passes over the original examples (or the corpus)."""
    batch_size: Positive = 32
    """Examples an optimiser step, over all processes."""
    learning_rate: AboveZero = 5e-5
    """Peak learning rate."""
    schedule: Literal["linear", "constant"] = "linear"
    """After the warm-up: linearly to zero, or constant."""
    warmup: SmallShare = 0.1
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: NonNegative = 0.01
    """AdamW's; biases and layer norms have none."""
    clip: AboveZero = 1.0
    """Largest norm of the gradients."""
    micro_batch_tokens: Positive = 2048
    """Padded tokens that go through the model at once: a batch is cut into micro-batches of similar lengths."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PretrainTeacher(Training):
    """Masked-LM training of the backbone (BERT, section 3.1)."""

    epochs: NonNegative = 0
    """Passes over the corpus; 0 takes the checkpoint as it is."""
    learning_rate: AboveZero = 1e-4
    """Peak learning rate."""
    train: Literal["all", "head"] = "all"
    """Train the whole backbone, or only the masked-LM head on top of it."""
    from_scratch: bool = False
    """Begin with random weights of the backbone's architecture."""
    only_proposes: bool = False
    """The trained model only proposes words; teacher and student learn from the backbone as it came."""
    seed: Count = 0
    """Its own seed, so that runs of several seeds share the backbone and the candidates."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states; attention dropout is always 0, as in the student."""
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the tokens to predict; of these 80% are masked, 10% replaced, 10% kept."""
    held_out: SmallShare = 0.02
    """Share of the corpus that only measures the masked accuracy."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class FinetuneTeacher(Training):
    """Fine-tuning on the task's labels."""

    learning_rate: AboveZero = 3e-5
    """Peak learning rate."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states; attention dropout is always 0, as in the student."""
    model: str | None = None
    """Your own fine-tuned teacher, a path or hub:NAME: it is checked against the task and not trained."""
    labels: Labels = ()
    """The task's names of your teacher's outputs, in its order, where its own names say nothing (LABEL_0, LABEL_1)."""
    allow_majority: bool = False
    """Go on with a teacher that is no better than the most frequent label."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LayerObjectives:
    """What of the teacher's layers the student copies, each objective with its weight; 0 leaves one out."""

    layer_map: LayerMap = "uniform"
    """Who learns from whom: uniform, top, bottom, last, 'every 2', or the teacher's layer of each (0: of none)."""
    embedding: NonNegative = 1.0
    """Weight of the gap of the embeddings (TinyBERT, eq. 9)."""
    hidden: NonNegative = 1.0
    """Weight of the gap of the hidden states (TinyBERT, eq. 8)."""
    attention: NonNegative = 1.0
    """Weight of the gap of the attention scores (TinyBERT, eq. 7); compares head by head."""
    hidden_cosine: NonNegative = 0.0
    """Weight of the cosine of the hidden states (DistilBERT)."""
    normalised_hidden: NonNegative = 0.0
    """Weight of the gap of the first token's normalised hidden states (PKD, section 3.2)."""
    attention_maps: NonNegative = 0.0
    """Weight of the divergence of the attention maps (MiniLM, section 3.1); compares head by head."""
    query_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between queries (MiniLMv2)."""
    key_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between keys (MiniLMv2)."""
    value_relations: NonNegative = 0.0
    """Weight of the divergence of the relations between values (MiniLM, section 3.2; MiniLMv2)."""
    relation_heads: Count = 0
    """Heads of the relations, whatever the models have; 0: as many as the teacher has."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillGeneral(Training, LayerObjectives):
    """General distillation on unlabelled text (TinyBERT, section 3.2)."""

    learning_rate: AboveZero = 1e-4
    """Peak learning rate."""
    masked_lm: NonNegative = 0.0
    """Weight of the cross-entropy of masked tokens (BERT, section 3.1; DistilBERT)."""
    soft_masked_lm: NonNegative = 0.0
    """Weight of the soft targets of the teacher's masked LM, at the masked tokens (DistilBERT)."""
    temperature: AboveZero = 1.0
    """Temperature of these soft targets."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ProposeCandidates:
    """What could stand at each word of the task's training texts (TinyBERT, Algorithm 1)."""

    candidates: Positive = 15
    """Candidates a word (K)."""
    vectors: str | None = None
    """Vectors for words of several pieces: a GloVe text file, or a folder with an .npy table and .parquet words."""
    vector_words: Positive = 100_000
    """How many of the most frequent words with vectors are searched."""
    context: Literal["single", "pair"] = "single"
    """What the masked LM sees: the masked text (Algorithm 1), or the unmasked one behind it too (the authors' code)."""
    protect: str | None = None
    """What this regular expression finds in a text is never replaced: names, phrases, placeholders."""
    stop_words: Strings | None = None
    """Words that are never replaced; null: a list of ours, English function words."""
    decode_tokens: Positive = 2048
    """Padded tokens that go through the masked LM at once."""
    shard_texts: Positive = 512
    """Texts a shard: the unit of work, and of resuming."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AugmentData:
    """Samples from the candidates: the augmented dataset (TinyBERT, Algorithm 1)."""

    variants: Count = 20
    """Variants of each text (N); of a pair, of each side. 0: the originals alone."""
    replace: Share = 0.4
    """Probability that a word with candidates is replaced (p)."""
    protect_entities: bool = False
    """Words in named entities are never replaced."""
    same_answer: bool = False
    """Keep a variant only where the teacher answers as for its original; for those who train on the labels."""
    reuse: str | None = None
    """An augmented dataset that exists is taken instead of a new one: its folder, or hub:NAME."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AnnotateData:
    """The teacher's logits on the augmented dataset."""

    decode_tokens: Positive = 8192
    """Padded tokens that go through the teacher at once."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TaskDistillation(Training):
    """What both steps of task distillation can be told."""

    epoch_covers: Literal["originals", "augmented"] = "originals"
    """An epoch shows one variant of each original example in turn, or every row of the augmented dataset."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillLayers(TaskDistillation, LayerObjectives):
    """Task distillation of the layers (TinyBERT, section 3.3, first step)."""

    epochs: NonNegative = 20
    """Passes over the examples."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DistillPredictions(TaskDistillation, LayerObjectives):
    """Task distillation of the predictions (TinyBERT, section 3.3, second step)."""

    learning_rate: AboveZero = 3e-5
    """Peak learning rate."""
    prediction: NonNegative = 1.0
    """Weight of the teacher's predictions as soft targets (eq. 10): the alpha of Hinton et al."""
    temperature: AboveZero = 1.0
    """Temperature t of eq. 10."""
    label: NonNegative = 0.0
    """Weight of the task's labels, a variant having its original's: the 1 - alpha of Hinton et al."""
    embedding: NonNegative = 0.0
    """Weight of the gap of the embeddings (eq. 9); copying layers here takes the teacher in every step."""
    hidden: NonNegative = 0.0
    """Weight of the gap of the hidden states (eq. 8)."""
    attention: NonNegative = 0.0
    """Weight of the gap of the attention scores (eq. 7)."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class EvaluateStudent:
    """Teacher against student on rows that chose nothing."""

    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Paired bootstrap samples behind the interval of what the student keeps."""
    timing_rounds: Positive = 50
    """Forward passes of each model behind the latency, in turn."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Card:
    """What the student's model card says and no file may tell."""

    teacher_licence: str | None = None
    """The teacher's, as the hub spells it (mit, apache-2.0); empty: what its own card or its wheel says."""
    data_licence: str | None = None
    """The task data's; empty: what the README.md beside them says. Nothing is published while one is not known."""
    language: str = "en"
    """Of the texts, as ISO 639 spells it."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ExportStudent:
    """The student as files to ship: PyTorch, ONNX, int8 ONNX."""

    min_count: Count = 0
    """Pieces that occur fewer times in the augmented dataset leave the vocabulary (WordPiece only); 0 keeps all."""
    largest_loss: Share = 0.01
    """How much of the dev score a file may lose against the student (0.01: one point); more is an error."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Recipe:
    """A whole run."""

    name: str = ""
    """Name of the run and of its folder; empty: the recipe's file name."""
    seed: Count = 0
    """Seed of everything but the splits."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 autocast or float32; auto: bf16 where the hardware multiplies it."""
    backbone: str
    """The pretrained BERT: a folder, hub:NAME[@REVISION], or wheel:NAME==VERSION#PATH."""
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every wheel that the recipe names, by NAME==VERSION."""
    run: Run = field(default_factory=Run)
    task: Task
    student: Student = field(default_factory=Student)
    prepare_corpus: PrepareCorpus = field(default_factory=PrepareCorpus)
    pretrain_teacher: PretrainTeacher = field(default_factory=PretrainTeacher)
    finetune_teacher: FinetuneTeacher = field(default_factory=FinetuneTeacher)
    distill_general: DistillGeneral = field(default_factory=DistillGeneral)
    propose_candidates: ProposeCandidates = field(default_factory=ProposeCandidates)
    augment_data: AugmentData = field(default_factory=AugmentData)
    annotate_data: AnnotateData = field(default_factory=AnnotateData)
    distill_layers: DistillLayers = field(default_factory=DistillLayers)
    distill_predictions: DistillPredictions = field(default_factory=DistillPredictions)
    evaluate_student: EvaluateStudent = field(default_factory=EvaluateStudent)
    card: Card = field(default_factory=Card)
    export_student: ExportStudent = field(default_factory=ExportStudent)
