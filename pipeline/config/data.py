"""Settings of the data: the task, the corpus, and the augmented dataset with the teacher's logits."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.fields import (
    CONFIG,
    Column,
    Columns,
    Count,
    Labels,
    Language,
    Pattern,
    Positive,
    Share,
    SmallShare,
    SoftColumnNames,
    Strings,
    require_setting,
)
from pipeline.hardware import resolve_tokens

GlueName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
KindName = Literal[
    "classification", "multi_label", "regression", "token_classification", "question_answering", "embedding"
]
TOKEN_KINDS = ("token_classification", "question_answering")  # of which a model answers each token, not each text
Correlation = Literal["pearson", "spearman", "pearson_and_spearman"]
AnswerMetric = Literal["exact_match_and_f1", "answer_f1", "exact_match"]
LabelSetMetric = Literal["micro_f1", "sample_f1", "mean_average_precision", "micro_and_macro_f1"]
ClassMetric = Literal["accuracy", "f1", "macro_f1", "accuracy_and_f1", "matthews"]
MetricName = Literal[ClassMetric, Correlation, "entity_f1", AnswerMetric, LabelSetMetric]
# Of general students: with a masked-LM head, decoders, and without a head.
MASKED_ACCURACY, NEXT_TOKEN_ACCURACY, LINEAR_CKA = "masked_accuracy", "next_token_accuracy", "linear_cka"
SeveralPieces = Literal["vectors", "masked_lm", "both"]  # where candidates for words of several pieces come from
CORRELATIONS: tuple[MetricName, ...] = get_args(Correlation)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Task:
    """The labelled data, how it is split, and how it is scored."""

    glue: GlueName | None = None
    """A GLUE task, read in its official layout; its columns, labels and metric are known."""
    data: str | None = None
    """Location of the GLUE task: its official folder, or hub:nyu-mll/glue."""
    language: Language = "auto"
    """Language of the texts, as an ISO 639 code. It decides how words are found, and which words are never replaced.
    auto: it is guessed from the script of the training texts, and the log says which one; Latin letters count as
    English."""
    train: Strings = ()
    """Your training files, as paths, wheel:... or hub:... : .csv, .tsv, .jsonl, .json (also .gz, .bz2, .xz, .zip) or
    .parquet. Words with tags may also be in CoNLL files, with any other ending; questions in SQuAD's .json files."""
    dev: Strings = ()
    """Files of the rows that choose checkpoints; without them `dev_share` of the training rows is held out."""
    test: Strings = ()
    """Files of the rows that only measure; without them `test_share` of the training rows is held out."""
    header: Columns = ()
    """Names of the columns, in order, for .csv and .tsv files without a header line."""
    text: Column = "text"
    """Column of the text, of the first text of a pair, or of the list of words. In CoNLL files it is a number, counted
    from 0, or a name from their first line."""
    text_pair: Column | None = None
    """Column of the second text of a pair."""
    label: Column = "label"
    """Column of the label, the score, or the list of tags. In CoNLL files it is a number or a name; a name that their
    first line does not hold means the last column."""
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    """For kind multi_label: the sign between the labels of a text, such as '|', where they stand in one column; null:
    the column holds lists."""
    label_columns: Columns = ()
    """For kind multi_label: columns with 0 or 1, one for each label, instead of `label`; their names are the labels."""
    kind: KindName = "classification"
    """Classification chooses one of several labels, multi_label any number of them, regression predicts a number,
    token_classification labels words (named entities), question_answering answers a question by a span of a text,
    embedding embeds sentences (pairs with a score measure how well)."""
    labels: Labels = ()
    """The labels, in the order of the model's outputs. Where tags, or several labels a text, are numbers in the file:
    the names of 0, 1, ... Empty: the labels of the training rows, sorted."""
    soft_labels: SoftColumnNames = None
    """The columns of what a teacher gave for each row. A column for each label: {fresh: p_fresh, rotten: p_rotten}. One
    column: it holds a JSON object, a list in the order of `labels`, or for a regression a score. For embeddings a
    column of vectors for each text: {text: v1, other: v2}. The backbone is fine-tuned on them, and the student learns
    them. A row may lack them, and a row that has them needs no label."""
    soft_label_values: Literal["probabilities", "logits"] = "probabilities"
    """What the soft labels are. The probabilities of a text sum to 1, except for kind multi_label."""
    drop_labels: Labels = ()
    """Leave out the rows with these labels (rows of another kind in the same file)."""
    skip_empty: bool = False
    """Leave out rows without text and count them, instead of stopping at the first one."""
    skip_lost_answers: bool = False
    """Leave out questions whose answer the context does not hold and count them, instead of stopping at the first."""
    pair_or_single: bool = False
    """Take a pair whose second text is empty as a single text, instead of stopping at the first one."""
    drop_repeats: bool = False
    """Keep only the first row of each text (or pair), so that no text is in two splits."""
    dev_share: SmallShare = 0.1
    """Share of the training rows held out as dev, where no dev file is given."""
    test_share: SmallShare = 0.1
    """Share of the training rows held out as test, where no test file is given."""
    group: Column | None = None
    """Column of a film, an author, ...: rows with the same value stay in one split. null: no such column. Splits are
    stratified by label, with groups as far as they allow it."""
    split_seed: Count = 0
    """Seed of the held-out splits; separate from `seed`, so that runs with several seeds share their test rows."""
    metric: MetricName | None = None
    """Score that chooses checkpoints and is reported; null: GLUE's own, or the usual one of the kind of task."""
    thresholds: Literal["one", "each"] = "one"
    """For kind multi_label: dev chooses the probability above which a text has a label. one: the same for all labels,
    with the best `metric`. each: one for each label, with its best F1; rare labels need many dev rows for it."""
    max_length: Annotated[int, Field(ge=8)] = 64
    """Largest number of tokens of a text (or pair); the rest is cut off. The paper takes 64, and 128 for pairs. A long
    context of a question is read in windows of this length."""
    window_overlap: Count = 128
    """Tokens that a window of a long context shares with the next one."""
    longest_answer: Positive | None = None
    """Largest number of tokens of an answer that is looked for. null: as many as the longest answer of the training
    rows has, and at least 30."""
    unlabelled: Strings = ()
    """Files with more texts of the task, without labels: the student learns the teacher's predictions on them."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PrepareCorpus:
    """Unlabelled text, tokenised into blocks of one length."""

    sources: Strings = ()
    """Files: .txt (a blank line ends a document), .jsonl, a Wikipedia dump .xml (also .gz, .bz2, .xz, .zip), .parquet;
    wheel:..., hub:... ."""
    column: str = "text"
    """Column of the text in .jsonl and .parquet sources."""
    task_text: bool = False
    """Add the texts of the task's training rows. Those of fewer than 16 tokens are left out, and the stage says how
    many."""
    length: Annotated[int, Field(ge=16, le=8192)] = 128
    """Tokens in each block, [CLS] and [SEP] included, or for a decoder the token that begins a text."""
    shard_blocks: Positive = 16384
    """Blocks in each shard."""
    held_out: SmallShare | None = None
    """Share of the documents that no stage trains on: a student without a task is measured on them. null: 0.02 in a
    recipe without a task, else none."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ProposeCandidates:
    """Candidates that could replace each word of the task's training texts (TinyBERT, Algorithm 1)."""

    candidates: Positive = 15
    """Candidates for each word (K)."""
    vectors: str | None = None
    """Word vectors, which propose words of several pieces: a GloVe text file, or a folder with an .npy table and
    .parquet words. null: none."""
    several_pieces: SeveralPieces = "vectors"
    """Where candidates for words of several pieces come from: the vectors; the masked LM, which fills all pieces of the
    word together; or both, the vectors first and the masked LM for words without one."""
    beam: Positive = 8
    """How many fillings of a word of several pieces the masked LM keeps while it searches. The word gets no more
    candidates than that."""
    vector_words: Positive = 100_000
    """Number of words with vectors, the most frequent ones, among which candidates are searched."""
    context: Literal["single", "pair"] = "single"
    """What the masked LM reads: the masked text alone (Algorithm 1), or followed by the unmasked text (the authors'
    code). Words of several pieces are always read alone."""
    mask_share: SmallShare = 0.15
    """Largest share of a text's tokens that is masked in one pass of the masked LM. A text gets as many passes as its
    words need. Two neighbouring words are never masked together. 0: one word in each pass (Algorithm 1), which takes
    more than twice as long."""
    words: Literal["all", "replaced"] = "all"
    """Which words get candidates. all: every word that may be replaced. replaced: with one variant of each text only
    those that it replaces, drawn with the probability `augment_data.replace`. That takes less time. But copies of a
    text, and runs with other seeds, then have words in the same places replaced."""
    protect: Pattern | None = None
    """A regular expression; the parts of a text that it matches are never replaced: names, phrases."""
    placeholders: bool = True
    """Never replace placeholders in brackets ([NAME], {name}, <tag>), web and mail addresses, @names and #tags. The
    tokenizer's special and added tokens are never replaced in any case."""
    stop_words: Strings | None = None
    """Words that are never replaced; null: the project's own list of English function words, and for other languages
    those of stopwords-iso."""
    decode_tokens: Positive | None = None
    """Padded tokens that go through the masked LM at once. null: 2,048 on a CPU, 32,768 on a GPU."""
    shard_texts: Positive = 512
    """Texts in each shard; an interrupted run resumes after its last whole shard."""
    TOKENS_ON_CPU: ClassVar[int] = 2048

    @property
    def tokens_at_once(self) -> int:
        """`decode_tokens`, as the hardware resolves it."""
        return resolve_tokens(self.decode_tokens, on_cpu=self.TOKENS_ON_CPU)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AugmentData:
    """Samples from the candidates: the augmented dataset (TinyBERT, Algorithm 1)."""

    variants: Count = 20
    """Variants of each text (N), and of each side of a pair. 0: only the originals."""
    replace: Share = 0.4
    """Probability that a word with candidates is replaced (p)."""
    protect_entities: bool = False
    """Never replace words in named entities."""
    same_answer: bool = False
    """Keep a variant only if the teacher gives it the same label as its original. Useful with
    distill_predictions.label."""
    reuse: str | None = None
    """Take an existing augmented dataset instead of making one: its folder, or hub:OWNER/NAME."""

    def __post_init__(self) -> None:
        fixed = "a dataset that is reused stays as it is; leave one of the two out"
        require_setting(not (self.same_answer and self.reuse), fixed, "same_answer")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AnnotateData:
    """The teacher's logits on the augmented dataset."""

    teacher: str | None = None
    """Another teacher for the predictions, a path or hub:NAME: any classifier of texts, or of words, that transformers
    loads, with its own tokenizer and architecture. The layers are still copied from the fine-tuned backbone."""
    labels: Labels = ()
    """The task's labels in the order of this teacher's outputs, where its own names are others."""
    decode_tokens: Positive | None = None
    """Padded tokens that go through the teacher at once. null: 8,192 on a CPU, 32,768 on a GPU."""
    TOKENS_ON_CPU: ClassVar[int] = 8192

    @property
    def tokens_at_once(self) -> int:
        """`decode_tokens`, as the hardware resolves it."""
        return resolve_tokens(self.decode_tokens, on_cpu=self.TOKENS_ON_CPU)
