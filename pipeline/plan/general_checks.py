"""A recipe without a task: it asks for nothing that needs one, and for text to learn from and to be measured on."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.config import Recipe
from pipeline.errors import require
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.saved_model import ModelShape

OF_TASKS = (  # sections, and single settings
    *("finetune_teacher", "propose_candidates", "augment_data", "annotate_data", "distill_layers"),
    *("distill_predictions", "student.start_from", "student.project_embedding", "prepare_corpus.task_text"),
)


def check_without_task(recipe: Recipe) -> None:
    """Raises UserError for a setting of tasks that the recipe changes, and where text is missing."""
    for name in OF_TASKS:
        section, _, setting = name.partition(".")
        owner: Any = getattr(recipe, section)
        for field in [setting] if setting else [field.name for field in dataclasses.fields(owner)]:
            require(
                getattr(owner, field) == getattr(type(owner), field),
                f"{section}.{field}: only a task needs it, and the recipe has none; leave it out, or say under task:"
                " which files hold the labelled rows",
            )
    corpus = recipe.prepare_corpus
    require(
        corpus.sources,
        "prepare_corpus.sources: empty, but a recipe without task: makes a general student from plain text; name files"
        " of text here, or labelled rows under task:",
    )
    require(
        corpus.held_out,
        "prepare_corpus.held_out: 0, but a student without a task is measured on documents that it did not learn from;"
        " leave it out",
    )


def check_head(recipe: Recipe, backbone: ModelShape, folder: Path) -> None:
    """Who proposes words, or is distilled into a masked LM or measured beside one, has a masked-LM head."""
    others = [name for name in backbone.architectures if not name.endswith(("ForMaskedLM", "ForPreTraining"))]
    if recipe.pretrain_teacher.epochs or not others:
        return
    lacks = f"{folder} is a {', '.join(others)}, without a masked-LM head; give it one (pretrain_teacher.epochs: 1)"
    require(
        not recipe.distill_general.needs_teacher_head,
        f"distill_general: {lacks}, or set masked_lm and soft_masked_lm to 0",
    )
    require(
        not recipe.has_task or recipe.augment_data.reuse or not recipe.augment_data.variants,
        f"propose_candidates: {lacks}, or go without augmentation (augment_data.variants: 0)",
    )


def describe_corpus(recipe: Recipe, inputs: RecipeInputs) -> list[str]:
    """What will be learnt from, as `tasks.data_summary.describe` says it of a task's rows."""
    megabytes = sum(path.stat().st_size for path in inputs.corpus) / 1e6
    share = recipe.prepare_corpus.held_out or 0.0
    return [
        f"no task: a general student, from plain text; files: {len(inputs.corpus)} ({megabytes:,.1f} MB);"
        f" {share:.1%} of their documents only measure"
    ]
