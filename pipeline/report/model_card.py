"""The student's model card: README.md with the metadata that the hub reads."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pipeline.artifacts.store import MANIFEST
from pipeline.config import Recipe
from pipeline.config.data import LINEAR_CKA, MASKED_ACCURACY, NEXT_TOKEN_ACCURACY
from pipeline.config.objectives import CAUSAL_LM, LAYER_OBJECTIVES, MASKED_LM, chosen
from pipeline.data.languages import AUTO
from pipeline.inputs.licences import Licences, find_licences, learns_from_corpus
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.architectures import start_of
from pipeline.models.saved_model import is_decoder, model_shape
from pipeline.plan.run_folder import RESULTS
from pipeline.report.run_summary import MEASURES, machine_of_latencies
from pipeline.report.templates import render
from pipeline.tasks.task_columns import task_columns

CARD = "README.md"
HERE = "PATH/OF/THIS/FOLDER"  # the student's name in the card, until it has one on the hub
UNKNOWN = "not known: ask before you publish it"
PIPELINE_TAGS = {
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "embedding": "sentence-similarity",
}
GENERAL_OBJECTIVES = (*LAYER_OBJECTIVES, *MASKED_LM, *CAUSAL_LM)


def model_card(recipe: Recipe, inputs: RecipeInputs, *, evaluation: Path, exported: Mapping[str, Any]) -> str:
    """README.md of the student.

    Args:
        evaluation: the folder that evaluate_student published.
        exported: the metrics of export_student; empty where it did not run.
    """
    results = json.loads((evaluation / RESULTS).read_text(encoding="utf-8"))
    manifest = json.loads((evaluation / MANIFEST).read_text(encoding="utf-8"))
    task_data = [recipe.task.data] if recipe.task.data else list(recipe.task.train)
    more_text = [*recipe.task.unlabelled, *recipe.prepare_corpus.sources]
    learnt_text = more_text if learns_from_corpus(recipe) else list(recipe.task.unlabelled)
    reused = [recipe.augment_data.reuse] if recipe.augment_data.reuse else []
    teacher = recipe.finetune_teacher.model or recipe.backbone
    licences = find_licences(recipe, inputs)
    general = recipe.distill_general
    return render(
        "card.md.jinja" if recipe.has_task else "general_card.md.jinja",
        metadata=_metadata(recipe, results, teacher=teacher, task_data=task_data, licences=licences),
        with_head=bool(general.masked_lm_head),
        decoder=is_decoder(inputs.backbone),
        objectives=", ".join(f"{name} {getattr(general, name):g}" for name in chosen(general, GENERAL_OBJECTIVES)),
        recipe=recipe,
        start=start_of(recipe.student, model_shape(inputs.backbone, "backbone").model_type),
        results=results,
        manifest=manifest,
        exported=exported,
        machine=machine_of_latencies(exported, manifest),
        are_pairs=recipe.has_task and len(task_columns(recipe.task).texts) == 2,
        teacher=without_folders(teacher),
        other_teacher=without_folders(recipe.annotate_data.teacher or ""),
        task_data=[without_folders(spec) for spec in task_data],
        more_text=[without_folders(spec) for spec in more_text],
        reused=without_folders(recipe.augment_data.reuse or ""),
        all_data=[without_folders(spec) for spec in (*task_data, *learnt_text, *reused)],
        student_model=without_folders(recipe.student.model or ""),
        licences=licences,
        measures=MEASURES,
        here=HERE,
        unknown=UNKNOWN,
    )


def _metadata(
    recipe: Recipe,
    results: Mapping[str, Any],
    *,
    teacher: str,
    task_data: list[str],
    licences: Licences,
) -> ModelCardData:
    """What the hub reads of a model."""
    if not recipe.has_task:
        return _general_metadata(recipe, teacher=teacher, licences=licences, metric=results["metric"])
    tag = PIPELINE_TAGS.get(recipe.task.kind, "text-classification")
    data_names, teacher_names = hub_names(task_data), hub_names([teacher])
    score = EvalResult(
        task_type=tag,
        dataset_type=data_names[0] if data_names else results["task"],
        dataset_name=results["task"],
        dataset_split=results["split"],
        metric_type=results["metric"],
        metric_value=round(results["student"]["score"], 4),
    )
    return ModelCardData(
        language=_language(recipe),
        **_licence(licences),
        library_name="sentence-transformers" if recipe.task.kind == "embedding" else "transformers",
        pipeline_tag=tag,
        base_model=teacher_names[0] if teacher_names else None,
        datasets=data_names or None,
        metrics=[results["metric"]],
        tags=["distillation", "tinybert"],
        model_name=results["task"],
        eval_results=[score],
    )


def _general_metadata(recipe: Recipe, *, teacher: str, licences: Licences, metric: str) -> ModelCardData:
    """The same of a general student."""
    tags = {MASKED_ACCURACY: "fill-mask", NEXT_TOKEN_ACCURACY: "text-generation", LINEAR_CKA: "feature-extraction"}
    teacher_names = hub_names([teacher])
    return ModelCardData(
        language=_language(recipe),
        **_licence(licences),
        library_name="transformers",
        pipeline_tag=tags[metric],
        base_model=teacher_names[0] if teacher_names else None,
        datasets=hub_names(list(recipe.prepare_corpus.sources)) or None,
        tags=["distillation", "tinybert"],
    )


def _language(recipe: Recipe) -> str | None:
    """The language that the recipe names. A guess is none: it knows the script, and takes German for English."""
    named = recipe.task.language
    return recipe.card.language or (named if named != AUTO else None)


def _licence(licences: Licences) -> dict[str, Any]:
    """The licence as the hub wants it, which knows one a model: where they differ, 'other' with all as its name."""
    if not all(licences.values()):
        return {}
    different = list(dict.fromkeys(licence for names in licences.values() for licence in names))
    if len(different) == 1:
        return {"license": different[0]}
    name = re.sub(r"[^a-z0-9.]+", "-", " and ".join(different).lower()).strip("-")
    return {"license": "other", "license_name": name, "license_link": CARD}


def hub_names(specs: list[str]) -> list[str]:
    """OWNER/NAME of each input that the recipe takes from the hub."""
    found = (re.match(r"hub:([^@#]+)", spec) for spec in specs)
    return [match[1] for match in found if match]


def without_folders(spec: str) -> str:
    """An input as the recipe names it; of a path only the last name, for its folders are this machine's."""
    return spec if spec.startswith(("hub:", "wheel:")) else Path(spec).name
