"""Settings of the data: the task, the corpus, and the augmented dataset with the teacher's logits."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.fields import (
    CONFIG,
    Column,
    Columns,
    Count,
    Labels,
    Pattern,
    Positive,
    Share,
    SmallShare,
    Strings,
    require_setting,
)

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
CORRELATIONS: tuple[MetricName, ...] = ("pearson", "spearman", "pearson_and_spearman")


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
    header: Columns = ()
    """The names of the columns, in order, of .csv and .tsv files that have no header line."""
    text: Column = "text"
    """Column of the text, of the first text of a pair, or of the list of words (in CoNLL files a number, from 0, or a
    name that their first line holds)."""
    text_pair: Column | None = None
    """Column of the second text of a pair."""
    label: Column = "label"
    """Column of the label, the score, or the list of tags (in CoNLL files a number, or a name; one
    that their first line does not hold stands for the last)."""
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
    group: Column | None = None
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
    protect: Pattern | None = None
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
    """Take an existing augmented dataset instead of making one: its folder, or hub:NAME."""

    def __post_init__(self) -> None:
        fixed = "a dataset that is reused stays as it is; leave one of the two out"
        require_setting(not (self.same_answer and self.reuse), fixed, setting="same_answer")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AnnotateData:
    """The teacher's logits on the augmented dataset."""

    decode_tokens: Positive = 8192
    """Padded tokens that go through the teacher at once."""
