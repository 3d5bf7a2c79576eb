"""Everything that a recipe names, as files on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Recipe
from pipeline.inputs.resolver import Resolver, Split


@dataclass(frozen=True, kw_only=True)
class RecipeInputs:
    """Everything a recipe names, as local paths."""

    backbone: Path
    teacher: Path | None
    task: Mapping[str, tuple[Path, ...]]
    corpus: tuple[Path, ...]
    vectors: Path | None
    augmented: tuple[Path, ...]  # the files of an augmented dataset that is reused
    student: Path | None = None
    other_teacher: Path | None = None  # whose predictions are learnt, where it is not the fine-tuned backbone


def find_inputs(recipe: Recipe, resolver: Resolver) -> RecipeInputs:
    """Resolve what the recipe names: downloads wheels and hub repositories that are not here yet.

    Raises: UserError for whatever cannot be found.
    """
    task = recipe.task
    splits: tuple[Split, ...] = ("unlabelled",) if task.glue else ("train", "dev", "test", "unlabelled")
    files = {
        split: tuple(path for spec in getattr(task, split) for path in resolver.files(spec, split=split))
        for split in splits
        if getattr(task, split)
    }
    if task.glue and task.data:
        files["glue"] = (resolver.folder(task.data, pattern=f"{task.glue}/*"),)
    teacher, vectors = recipe.finetune_teacher.model, recipe.propose_candidates.vectors
    reuse, without = recipe.augment_data.reuse, recipe.propose_candidates.several_pieces == "masked_lm"
    return RecipeInputs(
        backbone=resolver.model(recipe.backbone, weights=not recipe.pretrain_teacher.from_scratch),
        teacher=resolver.model(teacher) if teacher else None,
        task=files,
        corpus=tuple(path for spec in recipe.prepare_corpus.sources for path in resolver.files(spec)),
        student=resolver.model(recipe.student.model) if recipe.student.model else None,
        other_teacher=resolver.model(recipe.annotate_data.teacher) if recipe.annotate_data.teacher else None,
        vectors=resolver.folder(vectors)
        if vectors and recipe.augment_data.variants and not (reuse or without)
        else None,
        augmented=resolver.files(reuse, split="train") if reuse else (),
    )
