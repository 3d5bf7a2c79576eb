"""Every knob of the pipeline: one tree of frozen dataclasses, with `Recipe` at its root.

A recipe is a YAML file of this tree (`recipe_file` loads it). The text under a field is its help, which
`./run_all.sh --help` prints. What can change what a stage writes is part of its fingerprint; of paths and names, the
content that they lead to.
"""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config.data import AnnotateData, AugmentData, PrepareCorpus, ProposeCandidates, Task
from pipeline.config.fields import CONFIG, AboveZero, Count, FolderName, Positive, Share
from pipeline.config.training import (
    DistillGeneral,
    DistillLayers,
    DistillPredictions,
    FinetuneTeacher,
    PretrainTeacher,
    Student,
)

Tracker = Literal[
    "tensorboard", "wandb", "comet_ml", "mlflow", "aim", "clearml", "dvclive", "swanlab", "trackio", "none"
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

    name: FolderName = ""
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
