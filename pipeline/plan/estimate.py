"""What a run will cost: how many tokens go through which model, times what a token costs on this machine.

All that depends on a setting is counted here, in one place. `distill.token_costs` counts the texts' tokens and measures
what one costs, on the models' own shapes and in the precision that will run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from pipeline.config import Recipe
from pipeline.config.distillation import LayerObjectives
from pipeline.config.objectives import chosen
from pipeline.config.training import Training
from pipeline.errors import UserError
from pipeline.hardware import resolve_precision
from pipeline.models.architectures import start_of
from pipeline.models.saved_model import ModelShape, model_shape
from pipeline.plan.plan import Plan
from pipeline.tasks import kind_of

# Measured on 2 cores of an AMD EPYC (AVX512-BF16): what no model does, or a model in a way of its own.
LAUNCH_SECONDS = 6.0  # imports, twice
STAGE_SECONDS = 1.0  # its plan and its models
CHARACTER_SECONDS = 8e-7  # of text for the corpus: read, tokenised, written
WORD_SECONDS = 2.9e-8  # for each piece of the vocabulary, among which a masked word's candidates are searched
VARIANT_SECONDS = 5e-5
FIT_SECONDS = 15.0  # of a student to its teacher
EVALUATION_SECONDS, EXPORT_SECONDS = 5.0, 11.0
MEASURED_TOKENS = 1 << 17  # of held-out text, at most
FLOAT32_TIMES = 2.0  # what a token costs in float32, where it is measured in bf16
CHARACTERS_A_TOKEN = 4.1
PARQUET_BYTES = 0.6  # of a character of the augmented dataset, its list of what was replaced among them
CHARACTERS_A_BYTE = {".bz2": 4.0, ".gz": 3.0, ".xz": 4.5, ".zip": 3.0, ".parquet": 2.0}
TEXT_OF_A_DUMP = 0.4  # the rest of a Wikipedia dump is markup, tables and lists
NEIGHBOURS = 0.9  # of texts in which some word follows another one, at once: these are not masked together
WORDS_A_TOKEN = 0.3  # of one piece, and no stop words: those that the masked LM proposes for
TRAINED = ("pretrain_teacher", "finetune_teacher", "distill_general", "distill_layers", "distill_predictions")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The texts of a run, in tokens as the models read them."""

    rows: Mapping[str, int]  # by split
    tokens: Mapping[str, float]
    lengths: np.ndarray  # of some sequences of the training rows
    corpus: float  # tokens
    corpus_length: int  # of a block
    labels: int  # of the task; 0 where it has none
    reused: int | None = None  # rows of the augmented dataset, where one that exists is taken


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that a token costs, on all devices of this machine together."""

    teacher: float  # forward, on texts of the task
    student: float
    steps: Mapping[str, float]  # forward, backward and update, by stage that trains


class Estimate(NamedTuple):
    """Of one stage."""

    seconds: float
    bytes: float


def estimates(plan: Plan, counts: Counts, costs: Costs) -> dict[str, Estimate]:
    """Seconds and bytes of every unfinished stage; the launch is part of the first."""
    seconds, sizes = _seconds(plan, counts, costs), _sizes(plan, counts)
    found = {stage: Estimate(STAGE_SECONDS + seconds[stage], sizes.get(stage, 1e4)) for stage in plan.why}
    for first in list(found)[:1]:
        found[first] = found[first]._replace(seconds=found[first].seconds + LAUNCH_SECONDS)
    return found


def _seconds(plan: Plan, counts: Counts, costs: Costs) -> dict[str, float]:
    """The work of every stage."""
    recipe, teacher, student = plan.recipe, costs.teacher, costs.student
    dev, test = (counts.tokens.get(split, 0.0) for split in ("dev", "test"))
    if not recipe.has_task:
        dev = test = min(MEASURED_TOKENS, (recipe.prepare_corpus.held_out or 0.0) * counts.corpus)
    copies = _copies(recipe, counts)
    augmented = _distilled(counts.tokens) * copies
    other_teacher = teacher * _times_the_backbone(plan)
    trained = trained_tokens(recipe, counts)
    steps = {
        stage: trained[stage] * (costs.steps.get(stage, 0.0) - _spared(getattr(recipe, stage)) * teacher)
        for stage in TRAINED
    }
    float32 = FLOAT32_TIMES if resolve_precision(recipe.precision) == "bf16" else 1.0
    fitted = start_of(recipe.student, model_shape(plan.inputs.backbone, "backbone").model_type) == "fitted"
    of_task = recipe.student.start_from == "task_teacher"
    epochs = {stage: getattr(recipe, stage).epochs for stage in TRAINED}
    masked_lm_corpus = _masked_lm_corpus(recipe, counts)
    return {
        "prepare_corpus": CHARACTER_SECONDS * CHARACTERS_A_TOKEN * counts.corpus,
        "pretrain_teacher": steps["pretrain_teacher"]
        + 2 * bool(epochs["pretrain_teacher"]) * recipe.pretrain_teacher.held_out * masked_lm_corpus * teacher,
        "finetune_teacher": steps["finetune_teacher"] + (1 + epochs["finetune_teacher"]) * dev * teacher,
        "distill_general": steps["distill_general"] + FIT_SECONDS * (fitted and not of_task),
        "propose_candidates": _proposal_seconds(plan, counts, costs),
        "augment_data": VARIANT_SECONDS * _distilled(counts.rows) * copies
        + recipe.augment_data.same_answer * augmented * teacher,
        "annotate_data": augmented * (other_teacher or teacher),
        "distill_layers": steps["distill_layers"] + FIT_SECONDS * (fitted and of_task),
        "distill_predictions": steps["distill_predictions"] + (1 + epochs["distill_predictions"]) * dev * student,
        "evaluate_student": EVALUATION_SECONDS + test * (teacher + other_teacher + student) * float32,
        "export_student": EXPORT_SECONDS + 4 * dev * student * float32,
    }


def trained_tokens(recipe: Recipe, counts: Counts) -> dict[str, float]:
    """The tokens that go through the steps of each training."""
    drawn = _distilled(counts.tokens)
    in_epoch = {"originals": drawn, "augmented": drawn * _copies(recipe, counts)}
    own_teacher = bool(recipe.finetune_teacher.model)
    return {
        "pretrain_teacher": _masked_lm_corpus(recipe, counts)
        * recipe.pretrain_teacher.epochs
        * (1 - recipe.pretrain_teacher.held_out),
        "finetune_teacher": 0.0 if own_teacher else counts.tokens.get("train", 0.0) * recipe.finetune_teacher.epochs,
        "distill_general": counts.corpus * recipe.distill_general.epochs,
        "distill_layers": in_epoch[recipe.distill_layers.epoch_covers] * recipe.distill_layers.epochs,
        "distill_predictions": in_epoch[recipe.distill_predictions.epoch_covers] * recipe.distill_predictions.epochs,
    }


def _spared(settings: Training) -> float:
    """The share of the steps in which the teacher does not run, its pass over the same rows being kept."""
    return 1 - 1 / settings.echo if isinstance(settings, LayerObjectives) and chosen(settings) else 0.0


def _distilled(by_split: Mapping[str, float] | Mapping[str, int]) -> float:
    """The rows or tokens that the student learns on."""
    return sum(by_split.get(split, 0.0) for split in ("train", "unlabelled"))


def _copies(recipe: Recipe, counts: Counts) -> float:
    """The rows of the augmented dataset for each one that the student learns on."""
    if counts.reused is not None:
        return counts.reused / max(1.0, _distilled(counts.rows))
    return 1 + recipe.augment_data.variants


def _times_the_backbone(plan: Plan) -> float:
    """What a token costs in another teacher of the predictions, by the weights of its layers; 0 where there is none."""
    folder = plan.inputs.other_teacher
    if folder is None:
        return 0.0
    try:
        other, backbone = model_shape(folder, "annotate_data.teacher"), model_shape(plan.inputs.backbone, "backbone")
    except UserError:  # an architecture that names its sizes otherwise
        return 1.0
    return _weights_of_layers(other) / _weights_of_layers(backbone)


def _weights_of_layers(shape: ModelShape) -> float:
    return shape.layers * (4.0 * shape.width**2 + 2.0 * shape.width * shape.feed_forward)


def _masked_lm_corpus(recipe: Recipe, counts: Counts) -> float:
    """The tokens of the corpus that pretrain_teacher uses."""
    return min(counts.corpus, recipe.pretrain_teacher.tokens or counts.corpus)


def _proposal_seconds(plan: Plan, counts: Counts, costs: Costs) -> float:
    """The masked copies of each text go through the masked LM, and each word costs a search through the vocabulary."""
    settings, lengths = plan.recipe.propose_candidates, counts.lengths.astype(float)
    words = plan.recipe.word_share * WORDS_A_TOKEN * lengths
    apart = 1 + plan.recipe.word_share * NEIGHBOURS  # copies, where all words fit into one
    together = np.maximum(1, np.floor(settings.mask_share * lengths))  # as `data_augment.masked_lm.masked_copies`
    copies = np.where(together > 1, np.maximum(apart, np.ceil(words / together)), words)
    passed = (copies * lengths).sum() * (2 if settings.context == "pair" else 1)
    vocabulary = model_shape(plan.inputs.backbone, "backbone").vocab_size
    of_sample = passed * costs.teacher + words.sum() * vocabulary * WORD_SECONDS
    return float(of_sample * _distilled(counts.tokens) / max(1.0, lengths.sum()))


def _sizes(plan: Plan, counts: Counts) -> dict[str, float]:
    shape, small = model_shape(plan.inputs.backbone, "backbone"), plan.recipe.student
    layer = 4 * small.width**2 + 2 * small.width * small.feed_forward
    teacher = 4.0 * (12 * shape.layers * shape.width**2 + shape.vocab_size * shape.embedding_size)
    student = 4.0 * (small.layers * layer + shape.vocab_size * small.width)
    kind, copies = kind_of(plan.recipe.task), _copies(plan.recipe, counts)
    outputs = {"embedding": shape.width, "question_answering": 2}.get(kind.name, max(1, counts.labels))
    return {
        **dict.fromkeys(("pretrain_teacher", "finetune_teacher"), teacher),
        **dict.fromkeys(("distill_general", "distill_layers", "distill_predictions"), student),
        "export_student": 2.25 * student,
        "prepare_corpus": 2 * counts.corpus,
        "augment_data": PARQUET_BYTES * CHARACTERS_A_TOKEN * _distilled(counts.tokens) * copies,
        "annotate_data": 4 * outputs * _distilled(counts.tokens if kind.per_token else counts.rows) * copies,
        "propose_candidates": 250 * WORDS_A_TOKEN * _distilled(counts.tokens),
    }


def corpus_tokens(plan: Plan, training_rows: float) -> float:
    """Tokens of the corpus: counted where it is prepared, else guessed from its files.

    Args: training_rows: the tokens of the task's, which may be part of it.
    """
    spec = plan.stages.get("prepare_corpus")
    made = spec.artifact.manifest() if spec else None
    if made:
        return float(made["metrics"]["tokens"])
    guessed = sum(path.stat().st_size * _characters_a_byte(path) for path in plan.inputs.corpus) / CHARACTERS_A_TOKEN
    return guessed + (training_rows if plan.recipe.prepare_corpus.task_text else 0.0)


def reused_rows(plan: Plan) -> int | None:
    """Rows of the augmented dataset that the recipe takes, its originals among them; None where it makes one."""
    if not plan.inputs.augmented:
        return None
    return sum(pq.read_metadata(path).num_rows for path in plan.inputs.augmented)


def _characters_a_byte(path: Path) -> float:
    return CHARACTERS_A_BYTE.get(path.suffix, 1.0) * (TEXT_OF_A_DUMP if ".xml" in path.name else 1.0)
