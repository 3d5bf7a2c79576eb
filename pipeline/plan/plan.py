"""The plan: which stages of a recipe are done, which will run, and why. Bad input is found before any launch."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.digests import DigestBook
from pipeline.artifacts.store import MANIFEST, Artifact, cache_folder
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import UserError, require
from pipeline.inputs.recipe_inputs import RecipeInputs, find_inputs
from pipeline.inputs.resolver import Resolver
from pipeline.plan.stage_specs import StageSpec, stage_specs

OF_THE_PROGRAM = {  # what a fingerprint holds beside the recipe's settings: what changed where it is another one
    "filling": "the program fills words of several pieces otherwise",
    "handling": "the program runs models of this type otherwise",
    "task.reading": "the program reads rows of this kind otherwise",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe, its stages in order, and for each unfinished one the reason why it must run."""

    recipe: Recipe
    inputs: RecipeInputs
    stages: Mapping[str, StageSpec]
    why: Mapping[str, str]
    book: DigestBook
    data: Sequence[str] = ()  # lines that say what was read of the task's data, where it was checked

    @property
    def run_folder(self) -> Path:
        return Path(self.recipe.run.runs) / self.recipe.name

    def upstream(self, stage: str) -> dict[str, Artifact]:
        """The artifacts a stage reads."""
        return {up: self.stages[up].artifact for up in self.stages[stage].reads}


def make_plan(recipe_path: Path, overrides: Sequence[str] = (), *, checked: bool = True) -> Plan:
    """Read a recipe, and plan it as `plan_recipe` does."""
    return plan_recipe(load_recipe(recipe_path, overrides), checked=checked)


def plan_recipe(recipe: Recipe, *, checked: bool = True) -> Plan:
    """Find the inputs of a recipe, and compare its stages with what is published.

    Args: checked: read and check data and models when something has to run.
    Raises: UserError for anything the user has to mend.
    """
    folders = {name: _folder(f"run.{name}", getattr(recipe.run, name)) for name in ("artifacts", "runs")}
    recipe = replace(recipe, run=replace(recipe.run, **folders))
    cache, run_folder = cache_folder(Path(recipe.run.artifacts)), Path(recipe.run.runs) / recipe.name
    for setting, folder in (("artifacts", cache.parent), ("artifacts", cache), ("runs", run_folder)):
        require(
            folder.is_dir() or not folder.exists(),
            f"run.{setting}: {folder} is a file, and a folder belongs there; move it away, or give another folder"
            f" (--run.{setting} FOLDER)",
        )
    pins = run_folder / "resolved.json"
    pinned = _read_pins(pins)
    known = dict(pinned)
    inputs = find_inputs(recipe, Resolver(PROJECT, cache, recipe.checksums, pinned))
    book = DigestBook(cache / "digests.json")
    plan = Plan(recipe=recipe, inputs=inputs, stages=stage_specs(recipe, inputs, book), why={}, book=book)
    plan = replace(plan, why=reasons(plan))
    if plan.why and checked:
        plan = check_inputs(plan)
    if pinned != known:
        write_atomically(pins, json.dumps(pinned, indent=1, sort_keys=True))
    return plan


def _folder(setting: str, given: str) -> str:
    try:
        return str(PROJECT / Path(given).expanduser())
    except RuntimeError:
        raise UserError(f"{setting}: {given} begins with an unknown user's home folder: write the whole path") from None


def check_inputs(plan: Plan) -> Plan:
    """Read the data and what describes the models; returns the plan that says what was read.

    Raises: UserError for the first thing that does not fit.
    """
    from pipeline.plan.checks import check  # noqa: PLC0415 (reads data and models: a finished run waits for neither)

    return replace(plan, data=check(plan.recipe, plan.inputs))


def reasons(plan: Plan, *, forced: str | None = None) -> dict[str, str]:
    """Why each unfinished stage must run; `forced` runs again though it is done."""
    why: dict[str, str] = {}
    for stage, spec in plan.stages.items():
        rerun = next((up for up in spec.reads if up in why), None)
        manifest = spec.artifact.manifest()
        if stage == forced:
            why[stage] = "forced"
        elif manifest is None and spec.artifact.folder.exists():
            why[stage] = f"{spec.artifact.folder / MANIFEST} is missing or damaged"
        elif manifest is None:
            why[stage] = _difference(plan, spec)
        elif lost := spec.artifact.missing():
            why[stage] = f"{lost} is missing or cut off in {spec.artifact.folder}"
        elif rerun:
            why[stage] = f"reads {rerun}, which runs"
        else:
            for up in spec.reads:
                if manifest.get("upstream", {}).get(up, {}).get("identity") != plan.stages[up].artifact.identity():
                    why[stage] = f"was built on an older {up}"
                    break
    return why


def _difference(plan: Plan, spec: StageSpec) -> str:
    """What changed since this run last published the stage."""
    old = None
    with contextlib.suppress(OSError, ValueError):
        old = json.loads((plan.run_folder / spec.stage / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(old, dict) or not {"version", "settings", "inputs", "upstream"} <= old.keys():
        return "not run yet"
    if old["version"] != spec.version:
        return "the program's stage changed"
    settings, defaults = (json.loads(json.dumps(values)) for values in (spec.settings, spec.defaults))  # tuples: lists
    before, changes = defaults | old["settings"], []
    for name in sorted(settings, key=lambda name: ("." in name, name)):  # those of the stage first
        if before.get(name) != settings[name]:
            changes.append(OF_THE_PROGRAM.get(name) or f"{name}: {before.get(name)} -> {settings[name]}")
    if gone := old["settings"].keys() - settings.keys():
        sections = ", ".join(sorted({name.partition(".")[0] for name in gone}))
        changes.append(f"settings of {sections} no longer affect this stage")
    for role in sorted({*spec.digests, *old["inputs"]}):
        if spec.digests.get(role) != old["inputs"].get(role):
            changes.append(f"file {role} changed")
    for up in spec.reads:
        if plan.stages[up].artifact.fingerprint != old["upstream"].get(up, {}).get("fingerprint"):
            changes.append(f"reads {up}, which changed")
    return "; ".join(changes[:3]) or "not run yet"


def _read_pins(path: Path) -> dict[str, str]:
    with contextlib.suppress(ValueError):
        pins = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if isinstance(pins, dict) and all(isinstance(commit, str) for commit in pins.values()):
            return pins
    raise UserError(f"{path} is damaged; remove it, and hub names are looked up again")
