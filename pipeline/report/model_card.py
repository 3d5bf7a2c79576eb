"""The student's model card: README.md with the metadata that the hub reads."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.store import MANIFEST
from pipeline.config import Recipe
from pipeline.inputs.resolver import RecipeInputs
from pipeline.plan.run_folder import RESULTS
from pipeline.report.page import MEASURES
from pipeline.report.templates import render

CARD = "README.md"
HERE = "PATH/OF/THIS/FOLDER"  # the student's name in the card, until it has one on the hub
UNKNOWN = "not known: ask before you publish it"
TAGS = {
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "embedding": "sentence-similarity",
}
SPDX = {"apache 2.0": "apache-2.0", "apache license 2.0": "apache-2.0", "mit license": "mit", "bsd": "bsd-3-clause"}


def model_card(recipe: Recipe, inputs: RecipeInputs, *, evaluation: Path, exported: Mapping[str, Any] | None) -> str:
    """README.md of the student.

    Args:
        evaluation: what evaluate_student published.
        exported: what is known of the exported files: `metric`, `forms` and `vocabulary`.
    """
    from huggingface_hub import EvalResult, ModelCardData  # noqa: PLC0415 (only what makes a card waits for it)

    results = json.loads((evaluation / RESULTS).read_text(encoding="utf-8"))
    manifest = json.loads((evaluation / MANIFEST).read_text(encoding="utf-8"))
    licences = find_licences(recipe, inputs)
    task_data = [recipe.task.data] if recipe.task.data else list(recipe.task.train)
    teacher = recipe.finetune_teacher.model or recipe.backbone
    tag = TAGS.get(recipe.task.kind, "text-classification")
    score = EvalResult(
        task_type=tag,
        dataset_type=hub_names(task_data)[0] if hub_names(task_data) else results["task"],
        dataset_name=results["task"],
        dataset_split=results["split"],
        metric_type=results["metric"],
        metric_value=round(results["student"]["score"], 4),
    )
    metadata = ModelCardData(
        language=recipe.card.language,
        **_licence(licences),
        library_name="sentence-transformers" if recipe.task.kind == "embedding" else "transformers",
        pipeline_tag=tag,
        base_model=next(iter(hub_names([teacher])), None),
        datasets=hub_names(task_data) or None,
        metrics=[results["metric"]],
        tags=["distillation", "tinybert"],
        model_name=results["task"],
        eval_results=[score],
    )
    return render(
        "card.md.jinja",
        metadata=f"---\n{metadata.to_yaml()}\n---",
        recipe=recipe,
        results=results,
        exported=exported,
        teacher=shown(teacher),
        task_data=[shown(spec) for spec in task_data],
        corpus=[shown(spec) for spec in recipe.prepare_corpus.sources],
        measures=MEASURES,
        licences=licences,
        unknown=UNKNOWN,
        tag=tag,
        here=HERE,
        machine=manifest.get("machine", "one machine"),
        command=manifest.get("command", "./run_all.sh RECIPE"),
        commit=manifest.get("git_commit"),
    )


def find_licences(recipe: Recipe, inputs: RecipeInputs) -> dict[str, str | None]:
    """The licences that the recipe gives, or those that lie beside the files; None: nobody says."""
    teacher = inputs.teacher or inputs.backbone
    data = [paths[0] for role, paths in inputs.task.items() if role in ("train", "glue") and paths]
    return {
        "teacher": recipe.card.teacher_licence or next(_carried(teacher), None),
        "data": recipe.card.data_licence or next((found for path in data for found in _card_licence(path)), None),
    }


def _carried(folder: Path) -> Iterator[str]:
    """The licence in a model's own card, or of the wheel that carries it."""
    yield from _card_licence(folder)
    for parent in folder.parents:
        within = f"{folder.relative_to(parent).as_posix()}/"
        for record in parent.glob("*.dist-info/RECORD"):
            metadata = record.with_name("METADATA")
            carries = any(line.startswith(within) for line in record.read_text(encoding="utf-8").splitlines())
            if not carries or not metadata.is_file():
                continue
            text = metadata.read_text(encoding="utf-8").partition("\n\n")[0]
            if found := re.search(r"^License(?:-Expression)?: (.+)$", text, re.MULTILINE):
                yield SPDX.get(found[1].lower(), found[1].lower())


def _card_licence(path: Path) -> Iterator[str]:
    """`license` in the front matter of the README.md of a folder, or beside a file."""
    readme = (path if path.is_dir() else path.parent) / CARD
    if not readme.is_file():
        return
    front = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        metadata = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        return
    licence = metadata.get("license") if isinstance(metadata, dict) else None
    if isinstance(licence, str) and licence != "unknown":
        yield licence


def _licence(licences: Mapping[str, str | None]) -> dict[str, Any]:
    """The hub knows one licence of a model: that of both, or 'other' with a name that says both."""
    teacher, data = licences["teacher"], licences["data"]
    if not teacher or not data:
        return {}
    if teacher == data:
        return {"license": teacher}
    name = re.sub(r"[^a-z0-9.]+", "-", f"{teacher} and {data}".lower()).strip("-")
    return {"license": "other", "license_name": name, "license_link": CARD}


def hub_names(specs: list[str]) -> list[str]:
    """OWNER/NAME of those specs that name a hub repository."""
    found = (re.match(r"hub:([^@#]+)", spec) for spec in specs)
    return [match[1] for match in found if match]


def shown(spec: str) -> str:
    """A spec as a stranger may read it: of a path of this machine the last name alone."""
    return spec if spec.startswith(("hub:", "wheel:")) else Path(spec).name
