"""The table of stages: what each one reads, and which settings and files can change what it writes.

`stage_specs` applies it to a recipe, and `plan` compares the outcome with what is published.

A fingerprint covers the settings that differ from their defaults. A setting that is added to the code therefore leaves
every fingerprint as it is, and a recipe that does not use it keeps its artifacts. A default that is changed in the code
would leave them too, although the output changes: raise the version of every stage that has the setting. The test of
the stored fingerprints (tests/unit/plan/test_stages.py) fails until that is done.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.config import Recipe
from pipeline.config.data import TOKEN_KINDS

# Settings that say where files lie: the content of the files counts, not these.
LOCATIONS = {
    *("student.model", "finetune_teacher.model", "annotate_data.teacher", "prepare_corpus.sources"),
    *("task.data", "task.train", "task.dev", "task.test", "task.unlabelled"),
    *("propose_candidates.vectors", "augment_data.reuse"),
}
# Settings that do not change the task's rows. Rows of the table that name "task" name these too where they count.
TOKENS = ("task.max_length", "task.window_overlap")
LANGUAGE = "task.language"
READING = {"token_classification": 2, "multi_label": 2}  # by kind of task: raised when its rows are read otherwise
READING_PARQUET = {"classification": 1, "multi_label": 1}  # the same, on top, where some of them are Parquet
# The same of a model, by its model_type: raised when it is trained or run otherwise. A type that is not named here has
# OTHER_HANDLING: changes of rotary positions, of embeddings without token types, and of the activation of students.
HANDLING: dict[str, int] = dict.fromkeys(
    ("bert", "mobilebert", "convbert", "ernie", "megatron-bert", "rembert", "gpt2"), 1
)
OTHER_HANDLING = 3
# transformers lists their head before their encoder, whose last layer was taken for the head's.
HANDLING |= dict.fromkeys(("xlm-roberta", "camembert", "jina_embeddings_v3"), 4)
FILLING = 3  # of words of several pieces by the masked LM: raised when it is done otherwise
RANDOM_TOKENS = 2  # in the texts from which layers are learnt: raised when they are drawn or learnt otherwise
SCORING = ("task.metric", "task.thresholds", "task.longest_answer", *TOKENS)


class When(NamedTuple):
    """Names that count only for recipes that fulfil a condition."""

    condition: Callable[[Recipe], object]
    names: Sequence[str]


Names = Sequence[str | When]


def counted(names: Names, recipe: Recipe) -> Iterator[str]:
    """The names that count for this recipe."""
    for name in names:
        if isinstance(name, str):
            yield name
        elif name.condition(recipe):
            yield from name.names


def makes_tokenizer(recipe: Recipe) -> bool:
    """Whether the tokenizer is made from the texts."""
    return recipe.pretrain_teacher.tokenizer == "train"


def fills_several_at_once(recipe: Recipe) -> bool:
    """Whether the masked LM proposes for words of several pieces, and may have several words masked in one pass."""
    settings = recipe.propose_candidates
    return settings.several_pieces != "vectors" and settings.mask_share > 0


def with_task(*names: str) -> When:
    """Names that count only where the recipe has a task."""
    return When(lambda r: r.has_task, names)


def without_task(*names: str) -> When:
    """Names that count only where it has none."""
    return When(lambda r: not r.has_task, names)


# Of soft labels all rows are read together: it may be that only unlabelled rows have some.
WHERE_SOFT = When(lambda r: r.task.soft_labels, ["unlabelled_rows"])


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One stage, for any recipe."""

    version: int  # raised when the output changes for the same settings, or when the default of a setting changes
    reads: Names = ()  # the stages whose artifacts it reads
    settings: Names  # those that can change its output: sections, SECTION.NAME, and names of `stage_specs._derived`
    files: Names = ()  # the groups of `stage_specs._input_files` that it reads


# In the order they run. In a condition, r is the recipe.
TABLE: dict[str, TableRow] = {
    "prepare_corpus": TableRow(
        version=3,
        settings=[
            "prepare_corpus",
            "decoder",
            When(lambda r: r.prepare_corpus.task_text, ["task"]),
            When(makes_tokenizer, ["pretrain_teacher.tokenizer", "pretrain_teacher.pieces"]),
        ],
        files=[
            "corpus",
            When(lambda r: not makes_tokenizer(r), ["tokenizer"]),
            When(lambda r: r.prepare_corpus.task_text, ["training_rows"]),
        ],
    ),
    "pretrain_teacher": TableRow(
        version=7,
        reads=[When(lambda r: r.pretrain_teacher.epochs, ["prepare_corpus"])],
        settings=["pretrain_teacher", "precision"],
        files=["backbone"],
    ),
    "finetune_teacher": TableRow(
        version=8,
        reads=[When(lambda r: not r.finetune_teacher.model, ["pretrain_teacher"])],
        settings=["finetune_teacher", "seed", "precision", "task", *SCORING],
        files=[
            "training_rows",
            "teacher",
            When(lambda r: r.task.soft_labels, ["unlabelled_rows", "test_rows"]),
            When(lambda r: r.task.kind == "token_classification", ["test_rows"]),  # a tag may occur in there alone
        ],
    ),
    "distill_general": TableRow(
        version=8,
        reads=[
            "pretrain_teacher",
            When(lambda r: r.distill_general.epochs or r.student.may_be_fitted, ["prepare_corpus"]),
        ],
        settings=["distill_general", "seed", "precision", "student"],
        files=["student"],
    ),
    "propose_candidates": TableRow(
        version=7,
        reads=["pretrain_teacher"],
        settings=[
            "propose_candidates",
            "precision",
            "task",
            LANGUAGE,
            When(lambda r: r.word_share < 1, ["augment_data.variants", "augment_data.replace"]),
            When(fills_several_at_once, ["filling"]),
        ],
        # With `drop_repeats` the unlabelled rows that repeat a test row are left out.
        files=["training_rows", "vectors", When(lambda r: r.task.unlabelled, ["unlabelled_rows", "test_rows"])],
    ),
    "augment_data": TableRow(
        version=4,
        reads=[
            When(lambda r: r.augment_data.variants and not r.augment_data.reuse, ["propose_candidates"]),
            When(lambda r: r.augment_data.same_answer, ["finetune_teacher"]),
        ],
        settings=[
            "task",
            When(lambda r: not r.augment_data.reuse, ["augment_data", "seed"]),
            When(lambda r: r.augment_data.same_answer, ["precision", "task.max_length", "annotate_data.decode_tokens"]),
        ],
        files=["training_rows", "test_rows", "unlabelled_rows", "augmented"],
    ),
    "annotate_data": TableRow(
        version=5,
        reads=["finetune_teacher", "augment_data"],
        settings=[
            "annotate_data",
            "precision",
            *TOKENS,
            When(lambda r: r.task.soft_labels, ["task"]),
            When(lambda r: r.task.kind in TOKEN_KINDS, ["distill_layers.pieces"]),  # its answers are of tokens
        ],
        files=["other_teacher", When(lambda r: r.task.soft_labels, ["training_rows", "unlabelled_rows", "test_rows"])],
    ),
    "distill_layers": TableRow(
        version=9,
        reads=[
            "finetune_teacher",
            When(lambda r: r.student.start_from != "task_teacher", ["distill_general"]),
            "augment_data",
        ],
        settings=[
            "distill_layers",
            "seed",
            "precision",
            *TOKENS,
            When(lambda r: r.student.start_from == "task_teacher", ["student"]),
            When(lambda r: r.distill_layers.random_tokens, ["random tokens"]),
        ],
    ),
    "distill_predictions": TableRow(
        version=11,
        reads=["finetune_teacher", "distill_layers", "augment_data", "annotate_data"],
        settings=["distill_predictions", "export_student.embedding_bits", "seed", "precision", "task", *SCORING],
        files=["training_rows", WHERE_SOFT],
    ),
    "evaluate_student": TableRow(
        version=11,
        reads=[
            with_task("finetune_teacher", "distill_predictions"),
            without_task("prepare_corpus", "pretrain_teacher", "distill_general"),
        ],
        settings=["evaluate_student", "seed", "fp32", with_task("task", *SCORING, "annotate_data.labels")],
        files=["training_rows", "test_rows", "other_teacher", WHERE_SOFT],
    ),
    "export_student": TableRow(
        version=13,
        reads=[
            with_task("finetune_teacher", "distill_predictions"),
            without_task("prepare_corpus", "pretrain_teacher", "distill_general"),
            "evaluate_student",
        ],
        settings=["export_student", "fp32", with_task("task", *SCORING, LANGUAGE), "card"],
        files=["training_rows", "test_rows", WHERE_SOFT],
    ),
}
STAGES = tuple(TABLE)
