"""The stages of one recipe: their settings, files and fingerprints, as the table of `stages` says."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.digests import DigestBook
from pipeline.artifacts.store import Artifact, fingerprint
from pipeline.config import Recipe
from pipeline.hardware import resolve_precision
from pipeline.inputs.licences import find_licences
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.saved_model import LOADED_FILES, MODEL_FILES, TOKENIZER_FILES, is_decoder, read_config
from pipeline.plan.stages import (
    FILLING,
    HANDLING,
    LANGUAGE,
    LOCATIONS,
    OTHER_HANDLING,
    RANDOM_TOKENS,
    READING,
    READING_PARQUET,
    SCORING,
    TABLE,
    counted,
)

# Names of `_derived` that name nothing of the recipe.
ONLY_DERIVED = ("precision", "fp32", "decoder", "filling", "random tokens")
TOKENS_AT_ONCE = ("micro_batch_tokens", "decode_tokens")
Files = Mapping[str, Path]  # by 'role/relative name'
Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage of one recipe."""

    stage: str
    version: int
    settings: Settings  # those of the stage's own section by their names, others as SECTION.NAME
    defaults: Settings  # of the same settings; 'precision' has none
    reads: tuple[str, ...]
    files: Files
    digests: Mapping[str, str]  # of the files' content, as the fingerprint has them
    artifact: Artifact

    @property
    def on_this_hardware(self) -> str:
        """What the hardware may decide, as it is resolved; '' where nothing is."""
        names = (name for name in self.settings if name.rpartition(".")[2] in ("precision", *TOKENS_AT_ONCE))
        return ", ".join(f"{name} {self.settings[name]}" for name in names)


def stage_specs(recipe: Recipe, inputs: RecipeInputs, book: DigestBook) -> dict[str, StageSpec]:
    """The stages this recipe needs, in order. Each artifact's fingerprint covers those of all it reads."""
    specs: dict[str, StageSpec] = {}
    groups = _input_files(recipe, inputs)
    for stage, row in TABLE.items():
        reads = tuple(counted(row.reads, recipe))
        settings, defaults = _settings(stage, recipe, inputs)
        files = {role: path for group in counted(row.files, recipe) for role, path in groups[group].items()}
        digests = {role: book.file(path) for role, path in files.items()}
        name = fingerprint(
            stage=stage,
            version=row.version,
            settings={key: value for key, value in settings.items() if key not in defaults or value != defaults[key]},
            upstream={up: specs[up].artifact.fingerprint for up in reads},
            files=digests,
        )
        specs[stage] = StageSpec(
            stage=stage,
            version=row.version,
            settings=settings,
            defaults=defaults,
            reads=reads,
            files=files,
            digests=digests,
            artifact=Artifact(Path(recipe.run.artifacts), stage, name),
        )
    needed = {"evaluate_student", "export_student"}
    for stage in reversed(specs):
        if stage in needed:
            needed.update(specs[stage].reads)
    return {stage: spec for stage, spec in specs.items() if stage in needed}


def _settings(stage: str, recipe: Recipe, inputs: RecipeInputs) -> tuple[Settings, Settings]:
    """The settings that a stage's row of the table names, and their defaults."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in counted(TABLE[stage].settings, recipe):
        found |= _derived(name, stage, recipe, inputs)
        if name not in ONLY_DERIVED:
            found |= _of_recipe(name, stage, recipe)
    settings = {key: value for key, (value, _) in found.items()}
    defaults = {key: default for key, (_, default) in found.items() if key != "precision"}  # it always counts
    return settings, defaults


def _derived(name: str, stage: str, recipe: Recipe, inputs: RecipeInputs) -> dict[str, tuple[Any, Any]]:
    """Values and defaults of what counts with a name of the table and is no setting of the recipe."""
    found: dict[str, tuple[Any, Any]] = {}
    match name:
        case "precision":  # the recipe's, or the hardware's; and how models of the teachers' types are run
            found = {
                "precision": (resolve_precision(recipe.precision), None),
                "handling": (_handling(stage, inputs), 1),
            }
        case "fp32":  # always float32
            found = {"precision": ("fp32", None)}
        case "decoder":  # whether the backbone is one
            found = {"decoder": (is_decoder(inputs.backbone), False)}
        case "filling":
            found = {"filling": (FILLING, 1)}
        case "random tokens":
            found = {"random tokens": (RANDOM_TOKENS, 1)}
        case "task":  # without test files the test rows are held out of the training rows
            has_test_files = bool(recipe.task.test)
            found = {"task.has_test_files": (has_test_files, False), "task.reading": (_reading(recipe, inputs), 1)}
        case "card":  # the licences that it will name
            licences = find_licences(recipe, inputs)
            found = {f"licences.{whose}": (list(names) or None, None) for whose, names in licences.items()}
    return found


def _of_recipe(name: str, stage: str, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Values and defaults of a setting, or of those of a section."""
    found = {}
    for member in _members(recipe, name):
        section, _, setting = member.rpartition(".")
        owner: Any = getattr(recipe, section) if section else recipe
        value, default = getattr(owner, setting), getattr(type(owner), setting)
        if setting in TOKENS_AT_ONCE:  # a GPU's count as another setting than the default, a CPU's
            value, default = owner.tokens_at_once, owner.TOKENS_ON_CPU
        if member == "task.soft_labels" and isinstance(value, dict):
            value = list(value.items())  # their order is that of the model's outputs
        found[setting if section == stage else member] = value, default
    return found


def _reading(recipe: Recipe, inputs: RecipeInputs) -> int:
    """The latest change in how rows of the task's kind are read."""
    kind, files = recipe.task.kind, (path for paths in inputs.task.values() for path in paths)
    parquet = any(path.suffix.lower() == ".parquet" for path in files)
    return READING.get(kind, 1) + (READING_PARQUET.get(kind, 0) if parquet else 0)


def _handling(stage: str, inputs: RecipeInputs) -> int:
    """The latest change in how the types of the teachers that the stage runs are run."""
    teachers: dict[str, Path | None] = {"backbone": inputs.backbone}
    if "other_teacher" in TABLE[stage].files:
        teachers["annotate_data.teacher"] = inputs.other_teacher
    types = [read_config(folder, role)["model_type"] for role, folder in teachers.items() if folder]
    return max(HANDLING.get(kind, OTHER_HANDLING) for kind in types)


def _members(recipe: Recipe, name: str) -> list[str]:
    """The settings of a section that count wherever the table names it; of a single setting itself."""
    if "." in name or not dataclasses.is_dataclass(section := getattr(recipe, name)):
        return [name]
    members = (f"{name}.{field.name}" for field in dataclasses.fields(section))
    return [member for member in members if member not in (*LOCATIONS, *SCORING, LANGUAGE)]


def _input_files(recipe: Recipe, inputs: RecipeInputs) -> dict[str, Files]:
    """The files that a recipe names, in the groups that the table names; the training rows include the dev rows."""
    rows: dict[str, dict[str, Path]] = {"training_rows": {}, "test_rows": {}, "unlabelled_rows": {}}
    groups = {"unlabelled": "unlabelled_rows", "test": "test_rows", "test_mismatched": "test_rows"}
    task_files: dict[str, Sequence[Path]] = dict(inputs.task)
    if recipe.task.glue and "glue" in task_files:
        from pipeline.data.glue import find_files  # noqa: PLC0415 (imports all readers of tables)

        task_files |= find_files(recipe.task.glue, task_files.pop("glue")[0])
    for split, paths in task_files.items():
        rows[groups.get(split, "training_rows")] |= _numbered(f"task.{split}", paths)
    return {
        **rows,
        "corpus": _numbered("corpus", inputs.corpus),
        "tokenizer": _matching("tokenizer", inputs.backbone, TOKENIZER_FILES),
        "backbone": _matching("backbone", inputs.backbone, MODEL_FILES),
        "other_teacher": _matching("other_teacher", inputs.other_teacher, MODEL_FILES),
        "teacher": _matching("teacher", inputs.teacher, LOADED_FILES),
        "student": _matching("student", inputs.student, MODEL_FILES),
        "vectors": _matching("vectors", inputs.vectors, ["**/*"]),
        "augmented": _numbered("augmented", inputs.augmented),
    }


def _numbered(role: str, paths: Sequence[Path]) -> dict[str, Path]:
    return {f"{role}/{number}/{path.name}": path for number, path in enumerate(paths)}


def _matching(role: str, source: Path | None, patterns: Sequence[str]) -> dict[str, Path]:
    """The files of a folder whose names match a pattern; a file alone."""
    if source is None or source.is_file():
        return {f"{role}/{source.name}": source} if source else {}
    matching = [path for pattern in patterns for path in sorted(source.glob(pattern)) if path.is_file()]
    return {f"{role}/{path.relative_to(source).as_posix()}": path for path in matching}
