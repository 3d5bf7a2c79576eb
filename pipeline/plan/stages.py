"""The table of stages: what each reads, and which settings and files can change what it writes.

Nothing here runs or loads a model; `pipeline.plan` compares this table with what is published.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.digests import DigestBook
from pipeline.artifacts.store import Artifact, fingerprint
from pipeline.config import Recipe
from pipeline.config.objectives import LAYER_OBJECTIVES, MASKED_LM
from pipeline.hardware import resolve_precision
from pipeline.inputs.resolver import RecipeInputs
from pipeline.models.saved_model import MODEL_FILES, TOKENIZER_FILES

# Raise a stage's number when its output changes for the same settings:
# tests/unit/plan/test_stages.py notices when you forget.
VERSIONS = {
    "prepare_corpus": 1,
    "pretrain_teacher": 5,
    "finetune_teacher": 5,
    "distill_general": 6,
    "propose_candidates": 2,
    "augment_data": 3,
    "annotate_data": 4,
    "distill_layers": 5,
    "distill_predictions": 5,
    "evaluate_student": 6,
    "export_student": 3,
}
STAGES = tuple(VERSIONS)  # in the order they run
# Settings that say where files lie: the content of the files counts, not these.
PATHS = {
    "student": ("model",),
    "task": ("data", "train", "dev", "test", "unlabelled"),
    "prepare_corpus": ("sources",),
    "finetune_teacher": ("model",),
    "propose_candidates": ("vectors",),
    "augment_data": ("reuse",),
}
# Settings that came after artifacts were published, with what these were made with: at that value they are no part of a
# fingerprint, so that those artifacts keep their names. It is not to follow a default that changes.
FIRST_OBJECTIVES = ("embedding", "hidden", "attention")
_OBJECTIVES: dict[str, Any] = {"layer_map": "uniform", "relation_heads": 0} | {
    name: 0.0 for name in LAYER_OBJECTIVES if name not in FIRST_OBJECTIVES
}
LATER: dict[str, dict[str, Any]] = {
    "task": {"header": (), "window_overlap": 128},
    "augment_data": {"protect_entities": False},
    "student": {"architecture": "bert", "copy_layers": None, "copy_from": "backbone", "project_embedding": True},
    "distill_general": _OBJECTIVES | dict.fromkeys(MASKED_LM, 0.0) | {"temperature": 1.0},
    "distill_layers": _OBJECTIVES,
    "distill_predictions": _OBJECTIVES | dict.fromkeys(FIRST_OBJECTIVES, 0.0) | {"prediction": 1.0, "label": 0.0},
}


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage of one recipe."""

    stage: str
    version: int
    settings: Mapping[str, Any]
    reads: tuple[str, ...]
    files: Mapping[str, Path]  # by 'role/relative name'
    digests: Mapping[str, str]  # of their content, as the fingerprint has them
    artifact: Artifact


def specs(recipe: Recipe, inputs: RecipeInputs, book: DigestBook) -> dict[str, StageSpec]:
    """The stages this recipe needs, in order. Each artifact's fingerprint covers those of all it reads."""
    table: dict[str, StageSpec] = {}
    for stage in STAGES:
        reads = _reads(recipe, stage)
        files = _files(recipe, inputs, stage)
        settings = _settings(recipe, stage)
        digests = {role: book.file(path) for role, path in files.items()}
        name = fingerprint(
            stage=stage,
            version=VERSIONS[stage],
            settings=settings,
            upstream={up: table[up].artifact.fingerprint for up in reads},
            files=digests,
        )
        table[stage] = StageSpec(
            stage=stage,
            version=VERSIONS[stage],
            settings=settings,
            reads=reads,
            files=files,
            digests=digests,
            artifact=Artifact(Path(recipe.run.artifacts), stage, name),
        )
    needed = _ancestors(table, "evaluate_student") | _ancestors(table, "export_student")
    return {stage: spec for stage, spec in table.items() if stage in needed}


def _reads(recipe: Recipe, stage: str) -> tuple[str, ...]:
    corpus_for = {"pretrain_teacher": recipe.pretrain_teacher.epochs, "distill_general": recipe.distill_general.epochs}
    corpus = ("prepare_corpus",) if corpus_for.get(stage) else ()
    teacher = ("finetune_teacher",)
    augment = recipe.augment_data
    candidates = ("propose_candidates",) if augment.variants and not augment.reuse else ()
    words = (*teacher, "augment_data")  # which pieces occur
    copies = recipe.student.copy_from == "task_teacher"
    return {
        "prepare_corpus": (),
        "pretrain_teacher": corpus,
        "finetune_teacher": () if recipe.finetune_teacher.model else ("pretrain_teacher",),
        "distill_general": ("pretrain_teacher", *corpus),
        "propose_candidates": ("pretrain_teacher",),
        "augment_data": (*candidates, *(teacher if augment.same_answer else ())),
        "annotate_data": (*teacher, "augment_data"),
        "distill_layers": (*teacher, *(() if copies else ("distill_general",)), "augment_data"),
        "distill_predictions": (*teacher, "distill_layers", "augment_data", "annotate_data"),
        "evaluate_student": (*teacher, "distill_predictions"),
        "export_student": (
            "distill_predictions",
            "evaluate_student",
            *(words if recipe.export_student.min_count else ()),
        ),
    }[stage]


def _settings(recipe: Recipe, stage: str) -> dict[str, Any]:
    """The part of the recipe that can change what the stage writes."""
    task = _section(recipe, "task")
    score = {name: task.pop(name) for name in ("metric", "max_length")}
    windows = {name: task.pop(name) for name in ("window_overlap",) if name in task}
    score |= windows
    seed = {"seed": recipe.seed}
    precision = {"precision": resolve_precision(recipe.precision)}
    if stage == "augment_data" and recipe.augment_data.reuse:
        return {"task": task}
    asks = {"max_length": score["max_length"], "decode_tokens": recipe.annotate_data.decode_tokens}
    asked = precision | asks if recipe.augment_data.same_answer else {}
    copied = {"student": _section(recipe, "student")} if recipe.student.copy_from == "task_teacher" else {}
    also: dict[str, dict[str, Any]] = {
        "prepare_corpus": {"task": task} if recipe.prepare_corpus.task_text else {},
        "pretrain_teacher": precision,
        "finetune_teacher": seed | precision | score | {"task": task},
        "distill_general": seed | precision | {"student": _section(recipe, "student")},
        "propose_candidates": precision | {"task": task},
        "augment_data": seed | asked | {"task": task},
        "annotate_data": precision | windows | {"max_length": score["max_length"]},
        "distill_layers": seed | precision | windows | copied | {"max_length": score["max_length"]},
        "distill_predictions": seed | precision | score | {"task": task},
        "evaluate_student": seed | score | {"task": task, "precision": "fp32"},  # as a user loads them
        "export_student": score | {"task": task, "card": _section(recipe, "card"), "precision": "fp32"},
    }
    return _section(recipe, stage) | also[stage]


def _section(recipe: Recipe, name: str) -> dict[str, Any]:
    """A section's settings, without those that do not count."""
    section = getattr(recipe, name)
    later = LATER.get(name, {})
    return {
        key: value
        for key, value in dataclasses.asdict(section).items()
        if key not in PATHS.get(name, ()) and not (key in later and value == later[key])
    }


def _files(recipe: Recipe, inputs: RecipeInputs, stage: str) -> dict[str, Path]:
    """The raw inputs a stage reads, by role."""
    task = {f"task.{role}/{i}/{p.name}": p for role, paths in _task_files(recipe, inputs) for i, p in enumerate(paths)}
    rows = {role: path for role, path in task.items() if not role.startswith("task.unlabelled")}
    # A test row leaves the others as they are.
    taught = {role: path for role, path in rows.items() if not role.startswith("task.test")}
    files: dict[str, Path] = {}
    if stage == "prepare_corpus":
        files = {f"corpus/{i}/{path.name}": path for i, path in enumerate(inputs.corpus)}
        files |= _model_files("tokenizer", inputs.backbone, TOKENIZER_FILES)
        files |= taught if recipe.prepare_corpus.task_text else {}
    elif stage == "pretrain_teacher":
        files = _model_files("backbone", inputs.backbone, MODEL_FILES)
    elif stage == "distill_general":
        files = _model_files("student", inputs.student, MODEL_FILES) if inputs.student else {}
    elif stage == "finetune_teacher":
        files = taught | (
            _model_files("teacher", inputs.teacher, (*MODEL_FILES, "2_Dense/*")) if inputs.teacher else {}
        )
    elif stage == "propose_candidates":
        files = task if "unlabelled" in inputs.task else taught  # unlabelled rows that repeat a test row are left out
        if inputs.vectors:
            base = inputs.vectors if inputs.vectors.is_dir() else inputs.vectors.parent
            found = _each((inputs.vectors,))
            files |= {f"vectors/{path.relative_to(base).as_posix()}": path for path in found}
    elif stage == "augment_data":
        files = task | {f"augmented/{i}/{path.name}": path for i, path in enumerate(inputs.augmented)}
    elif stage == "distill_predictions":
        files = taught
    elif stage in ("evaluate_student", "export_student"):
        files = rows
    return files


def _task_files(recipe: Recipe, inputs: RecipeInputs) -> Iterator[tuple[str, Sequence[Path]]]:
    """The labelled and unlabelled files by split; of a GLUE folder those of the task."""
    for role, paths in inputs.task.items():
        if role == "glue" and recipe.task.glue:
            from pipeline.data.glue import find_files  # noqa: PLC0415 (imports all readers of tables)

            yield from find_files(recipe.task.glue, paths[0]).items()
        else:
            yield role, paths


def _each(paths: tuple[Path, ...]) -> list[Path]:
    """Files as they are; a folder as the files in it."""
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]


def _model_files(role: str, folder: Path, patterns: tuple[str, ...]) -> dict[str, Path]:
    return {
        f"{role}/{path.relative_to(folder).as_posix()}": path
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }


def _ancestors(table: Mapping[str, StageSpec], stage: str) -> set[str]:
    return {stage}.union(*(_ancestors(table, up) for up in table[stage].reads))
