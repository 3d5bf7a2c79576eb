"""Every knob of the pipeline: one tree of frozen dataclasses, with `Recipe` at its root.

A recipe is a YAML file of this tree (`recipe_file` loads it). The text under a field is its help, which
`./run_all.sh --help` prints. A stage's fingerprint covers the settings that can change what it writes; of a path or a
name it covers the content that is found there.

data, student, training, distillation   the sections of the tree, beside those here
fields           types of fields, and the checks of one setting
objectives       the names of objectives; which layer learns from which
recipe_file      YAML and the command line become a recipe
reference        every section and setting with type, default and help
"""

from dataclasses import field, replace
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.data import AnnotateData, AugmentData, PrepareCorpus, ProposeCandidates, Task
from pipeline.config.distillation import DistillGeneral, DistillLayers, DistillPredictions
from pipeline.config.fields import CONFIG, AboveZero, Count, FolderName, Name, Positive, Share
from pipeline.config.student import Student
from pipeline.config.training import FinetuneTeacher, PretrainTeacher

HELD_OUT = 0.02  # of the corpus, where a general student is measured on it and the recipe says nothing
Tracker = Literal[
    "tensorboard", "wandb", "comet_ml", "mlflow", "aim", "clearml", "dvclive", "swanlab", "trackio", "none"
]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Run:
    """Where results are kept and how progress is shown. Nothing here changes a result."""

    artifacts: str = "artifacts"
    """Folder of everything that the stages publish; all recipes share it."""
    runs: str = "runs"
    """Folder with one sub-folder for each run: links to its artifacts, its logs, its results."""
    checkpoint_seconds: AboveZero = 60.0
    """Seconds between two checkpoints inside a training stage."""
    log_every: Positive = 10
    """Optimiser steps between two points of a curve."""
    tracker: Tracker = "tensorboard"
    """The tracker that records the curves, one that Accelerate knows; or 'none'."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class EvaluateStudent:
    """Compare teacher and student on test rows, which have chosen no checkpoint and no setting."""

    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Paired bootstrap samples for the confidence interval of the share of the teacher's score that the student
    keeps. Fewer, at least 200, where the test rows are very many and a row has many labels."""
    timing_rounds: Positive = 200
    """Forward passes of each model for measuring its latency; the models take turns."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Card:
    """Facts for the student's model card that the files may not hold."""

    teacher_licence: str | None = None
    """Licence of the teacher, as the hub spells it (mit, apache-2.0); null: the one that its own card or its wheel
    names."""
    other_teacher_licence: str | None = None
    """Licence of the model that `annotate_data.teacher` names; null: as for `teacher_licence`."""
    data_licence: str | None = None
    """Licence of everything that the student is trained on: the training and unlabelled files, the text, a dataset that
    is reused; null: those that the README.md files beside them name. A student is published only when all licences are
    known."""
    language: Name | None = None
    """Language of the texts, as an ISO 639 code; null: `task.language`, and none on the card where that is auto."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ExportStudent:
    """The student as files for deployment: PyTorch, ONNX, int8 ONNX."""

    largest_loss: Share = 0.01
    """How much less an exported file may score on dev than the student (0.01: one point); a larger loss is an error."""
    embedding_bits: Literal[4, 8] = 4
    """Bits of the words' embeddings in the int8 file. With 4 a task's student learns predictions with embeddings so
    rounded, and has them in every file. A general student gets 8 where 4 lose more than `largest_loss`."""


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Recipe:
    """A whole run."""

    name: FolderName = ""
    """Name of the run and of its folder; empty: the recipe's file name."""
    seed: Count = 0
    """Seed of everything except the splits (task.split_seed) and the masked LM (pretrain_teacher.seed)."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 autocast or float32; auto: bf16 on hardware that multiplies it fast."""
    backbone: str
    """The pretrained BERT or decoder: a folder, hub:NAME[@REVISION], or wheel:NAME==VERSION#PATH."""
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every wheel that the recipe names; the keys are NAME==VERSION."""
    run: Run = field(default_factory=Run)
    task: Task = field(default_factory=Task)
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

    @property
    def has_task(self) -> bool:
        """Whether it names a task; without one it ends with a general student, and the stages of tasks do not exist."""
        return self.task != Task()

    @property
    def word_share(self) -> float:
        """Share of the words, drawn at random, that get candidates; where it is below 1, all of these are replaced."""
        one = self.propose_candidates.words == "replaced" and self.augment_data.variants == 1
        return self.augment_data.replace if one else 1.0

    @property
    def replace_probability(self) -> float:
        """Probability that a word with candidates is replaced."""
        return 1.0 if self.word_share < 1 else self.augment_data.replace

    def resolved(self) -> "Recipe":
        """With the settings that a recipe without a task leaves to the program, so that fingerprints show them."""
        if self.has_task:
            return self
        corpus, general = self.prepare_corpus, self.distill_general
        if corpus.held_out is None:
            corpus = replace(corpus, held_out=HELD_OUT)
        if general.masked_lm_head is None and general.learns_masked_tokens:
            general = replace(general, masked_lm_head=True)
        return replace(self, prepare_corpus=corpus, distill_general=general)
