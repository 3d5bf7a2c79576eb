"""What the folder of a run holds, for the report and the model card. Never imports torch."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.artifacts.atomic import checksum
from pipeline.artifacts.run_links import RECIPE
from pipeline.artifacts.store import MANIFEST, Artifact, intact
from pipeline.config.data import CORRELATIONS
from pipeline.errors import UserError, require
from pipeline.plan.run_folder import RESULTS
from pipeline.plan.stages import STAGES

Curve = tuple[list[float], list[float]]  # steps, and the value at each


class Measure(NamedTuple):
    """A figure that is measured of every model."""

    name: str
    key: str  # under which results.json has it
    write: Callable[[float], str]


MEASURES = (
    Measure("parameters", "parameters", lambda value: f"{value / 1e6:,.1f}M"),
    Measure("of these in the layers", "encoder_parameters", lambda value: f"{value / 1e6:,.1f}M"),
    Measure("on disk", "disk_bytes", lambda value: f"{value / 1e6:,.1f} MB"),
    Measure("latency", "latency_ms", lambda value: f"{value:,.1f} ms"),
    Measure("throughput", "examples_per_s", lambda value: f"{value:,.0f} texts/s"),
)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run, finished or not."""

    folder: Path
    stages: Mapping[str, dict[str, Any]]  # the manifest of each finished stage, in the order in which stages run
    results: Mapping[str, Any] | None  # what evaluate_student measured
    recipe: str  # the whole recipe as YAML; empty where the folder has none

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def digest(self) -> str:
        """Changes with anything that a report shows."""
        made_by = [(stage, checksum(self.folder / stage / MANIFEST)) for stage in self.stages]
        return hashlib.sha256(json.dumps([made_by, self.recipe]).encode()).hexdigest()[:16]

    def metrics(self, stage: str) -> Mapping[str, Any]:
        """What a stage measured; empty where it is not finished."""
        return self.stages.get(stage, {}).get("metrics", {})

    def settings(self, stage: str) -> dict[str, Any]:
        """A stage's settings by dotted name."""
        return dict(_flattened(self.stages[stage]["settings"]))

    @property
    def is_general(self) -> bool:
        """Whether the run has no task: its student was measured on held-out text."""
        return self.results is not None and "layers" in self.results

    def agreement_is_correlation(self) -> bool:
        """Whether the answers are scores, whose agreement is a correlation."""
        return self.results is not None and self.results["metric"] in CORRELATIONS

    def models(self) -> dict[str, dict[str, Any]]:
        """The figures of the teacher, the file that ships, the student and each other exported file, by name."""
        if self.results is None:
            return {}
        models = {role: dict(self.results[role]) for role in ("teacher", "student")}
        if exported := self.metrics("export_student"):
            if not self.is_general:
                models["teacher"]["dev_score"] = self.metrics("finetune_teacher")["dev_score"]
                models["student"]["dev_score"] = exported["score_before"]
            for name, form in exported["forms"].items():
                figures = {key: value for key, value in form.items() if key not in ("score", "test_score")}
                figures |= {"disk_bytes": form["bytes"]} | ({} if self.is_general else {"dev_score": form["score"]})
                figures |= {"score": form["test_score"], "scores": {self.results["split"]: form["test_score"]}}
                models[Path(name).name] = figures
            shipped = exported["shipped"]
            name = Path(shipped["file"]).name
            models[name]["disk_bytes"] = shipped["disk_bytes"]
            models["teacher"]["latency_ms"] = shipped["teacher_latency_ms"]  # all of the same minute
            models["student"]["latency_ms"] = models["model.safetensors"]["latency_ms"]
            models = {"teacher": models["teacher"], name: models[name]} | models
        return models

    def stages_with_curves(self) -> list[str]:
        """The stages that trained something."""
        return [stage for stage in self.stages if self.metrics(stage).get("curve")]

    def curves(self, stage: str) -> dict[str, dict[str, Curve]]:
        """The loss curves of a stage: objective -> layer ('' where the objective has none) -> curve."""
        curves: dict[str, dict[str, Curve]] = {}
        for point in self.metrics(stage).get("curve", ()):
            for term, value in point.items():
                if term == "step":
                    continue
                objective, _, layer = term.rpartition("_")
                objective, layer = (objective, layer) if layer.isdigit() else (term, "")
                steps, values = curves.setdefault(objective, {}).setdefault(layer, ([], []))
                steps.append(point["step"])
                values.append(value)
        return curves


def read_run_summary(folder: Path) -> RunSummary:
    """Raises: UserError where the folder is not that of a run, or a file in it is damaged."""
    manifests: dict[str, dict[str, Any]] = {}
    again = "the same ./run_all.sh command makes it again"
    gone = [stage for stage in STAGES if (folder / stage).is_symlink() and not (folder / stage).exists()]
    for stage in STAGES:
        path = folder / stage / MANIFEST
        if not path.is_file():
            continue
        manifest = Artifact.at(path.parent.resolve()).manifest()
        if manifest is None:
            raise UserError(f"{path} is damaged: {again}")
        if all(
            up in manifests and checksum(folder / up / MANIFEST) == known["identity"]
            for up, known in manifest["upstream"].items()
        ):
            manifests[stage] = manifest  # else the link is of an earlier run, and this run has not got so far
    if gone and not manifests:
        raise UserError(f"{folder}: the artifact of {gone[0]} is gone: {again}")
    require(manifests, f"{folder} is not the folder of a run: it links to no finished stage; give runs/NAME")
    results = None
    if "evaluate_student" in manifests:
        results = json.loads(intact(folder / "evaluate_student", RESULTS).read_text(encoding="utf-8"))
    try:
        recipe = (folder / RECIPE).read_text(encoding="utf-8") if (folder / RECIPE).is_file() else ""
    except UnicodeDecodeError:
        raise UserError(f"{folder / RECIPE} is damaged, since it is not UTF-8: {again}") from None
    return RunSummary(folder=folder, stages=manifests, results=results, recipe=recipe)


def machine_of_latencies(exported: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str:
    """Where the latencies that are shown were measured: at the export, where a file ships.

    Args: exported: the metrics of export_student. evaluated: the manifest of evaluate_student.
    """
    if exported:
        return exported["shipped"]["machine"]
    return evaluated.get("machine", "one machine")


def differences(runs: Sequence[RunSummary]) -> dict[str, list[str]]:
    """The settings in which runs differ: dotted name -> the value in each run; '–' where a run lacks the stage."""
    settings = [
        {f"{stage}.{name}": str(value) for stage in run.stages for name, value in run.settings(stage).items()}
        for run in runs
    ]
    names = dict.fromkeys(name for one in settings for name in one)
    values = {name: [one.get(name, "–") for one in settings] for name in names}
    return {name: line for name, line in values.items() if len(set(line) - {"–"}) > 1}


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
