"""The augmented dataset as the stages that train or run on it see it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from datasets import ClassLabel, Dataset
from transformers import PreTrainedModel

from pipeline.batches import BatchPlan, Groups, planned
from pipeline.config.training import LayerObjectives, TaskDistillation
from pipeline.distillation import Distilled, Loss, More, layer_terms, mapped_layers
from pipeline.encoding import EncodedTexts
from pipeline.files import is_sealed, seal
from pipeline.initial import begin_with_layers, copy_head
from pipeline.models import load_tokenizer, new_student, save_model
from pipeline.prediction import predict
from pipeline.stage import Stage
from pipeline.traces import freeze

NOT_TEXT = ("source_id", "variant", "replaced")
SHARD = 8192  # rows
IN_MEMORY = 200_000  # rows whose tokens are kept in memory; more go to a file


@dataclass(frozen=True, kw_only=True)
class AugmentedTexts:
    """Tokenised rows, which of them belong together, and the task's label names (none: a regression)."""

    texts: EncodedTexts
    groups: Groups
    label_names: tuple[str, ...]


def read_augmented(stage: Stage, folder: Path) -> Dataset:
    """The rows of an augmented dataset, memory-mapped; each process has a cache of its own."""
    files: list[Any] = sorted(str(path) for path in (folder / "data").glob("*.parquet"))
    cache = stage.work / f"arrow-{stage.accelerator.process_index}"
    return Dataset.from_parquet(files, cache_dir=str(cache))


def augmented_texts(stage: Stage, folder: Path | None = None, *, labels: bool = False) -> AugmentedTexts:
    """Tokenise the augmented dataset with the backbone's tokenizer.

    Args:
        folder: another dataset than the published one.
        labels: whether they are targets too; a variant has its original's.
    """
    dataset = read_augmented(stage, folder or stage.upstream["augment_data"])
    label = next(name for name in dataset.column_names if name not in NOT_TEXT and not _is_text(dataset, name))
    cache = stage.work / f"tokens-{stage.accelerator.process_index}.arrow"
    texts = EncodedTexts(
        dataset,
        load_tokenizer(stage.upstream["finetune_teacher"]),
        text_columns=[name for name in dataset.column_names if name not in NOT_TEXT and _is_text(dataset, name)],
        max_length=stage.recipe.task.max_length,
        task=stage.recipe.task,
        label_column=label if labels else None,
        cache=cache if len(dataset) > IN_MEMORY else None,
    )
    source_id = np.asarray(dataset.with_format("numpy")["source_id"][:])
    feature = dataset.features[label]
    feature = getattr(feature, "feature", feature)  # of each item, where the label is a list
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    groups = Groups.of(source_id[texts.row], texts.place)
    return AugmentedTexts(texts=texts, groups=groups, label_names=names)


def augmented_batches(stage: Stage, data: AugmentedTexts, settings: TaskDistillation) -> BatchPlan:
    """One variant of each original an epoch, in turn; or every row, as the recipe says."""
    groups = data.groups if settings.epoch_covers == "originals" else None
    return planned(data.texts.lengths, settings, seed=stage.recipe.seed, groups=groups)


def teacher_logits(stage: Stage, data: AugmentedTexts) -> np.ndarray:
    """The teacher's logits on all rows, (rows, classes) float32.

    A fixed shard of rows is a unit of work: processes take shards by number, and what lies in `stage.work` is not done
    again after a crash.
    """
    teacher = data.texts.kind.load(stage.upstream["finetune_teacher"], label_names=data.label_names, new_head=False)
    teacher = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    rows = np.arange(len(data.texts))
    parts = [rows[start : start + SHARD] for start in range(0, len(rows), SHARD)]
    paths = [stage.work / f"logits-{number:05d}.npy" for number in range(len(parts))]
    tokens = stage.recipe.annotate_data.decode_tokens
    with stage.bar(total=len(rows), unit="text") as bar:
        for number in stage.shares(len(parts)):
            if not is_sealed(paths[number]):
                _save(predict(teacher, data.texts, stage, rows=parts[number], tokens=tokens), paths[number])
            bar.update(len(parts[number]) * stage.accelerator.num_processes)
            stage.stop_if_asked_here(f"shard {number} of {len(parts)}")
    stage.accelerator.wait_for_everyone()
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths])


def _save(array: np.ndarray, path: Path) -> None:
    """Write a .npy file that is whole or not there."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    seal(temporary, path)


def beside_teacher(
    stage: Stage, student: PreTrainedModel, data: AugmentedTexts, settings: LayerObjectives, more: More | None = None
) -> tuple[Distilled, Loss, PreTrainedModel]:
    """The task's student with its projections, the loss of copying the task's teacher's layers, and that teacher.

    Args:
        student: whose trace the objectives compare, as a whole or its encoder alone.
        more: further terms, from both models' own outputs.
    """
    folder = stage.upstream["finetune_teacher"]
    teacher = data.texts.kind.load(folder, label_names=data.label_names, new_head=False)
    frozen = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    model = Distilled(
        student,
        student_width=student.config.hidden_size,
        teacher_width=teacher.config.hidden_size,
        layers=student.config.num_hidden_layers,
    )
    layers = mapped_layers(stage, settings, teacher=teacher.config, student=student.config)
    encoder = cast(PreTrainedModel, frozen.base_model)
    return model, layer_terms(encoder, layers, settings, more=more), encoder


def copied_student(stage: Stage, data: AugmentedTexts) -> Path:
    """A student of some layers of the task's teacher, with its head; in a folder such as distill_general publishes."""
    source, folder = stage.upstream["finetune_teacher"], stage.work / f"copied-{stage.accelerator.process_index}"
    kind, settings = data.texts.kind, stage.recipe.student
    assert settings.copy_layers is not None, "check_start looks"
    teacher = kind.load(source, label_names=data.label_names, new_head=False)
    trunk = cast(PreTrainedModel, teacher.base_model)
    encoder = new_student(settings, trunk)
    known = begin_with_layers(encoder, trunk, settings.copy_layers)
    save_model(encoder, folder / "student", tokenizer_of=source)
    student = kind.load(folder / "student", label_names=data.label_names, new_head=True)
    copy_head(student, teacher)
    kind.save(student, folder / "student", tokenizer_of=source)
    model = Distilled(
        encoder, student_width=settings.width, teacher_width=trunk.config.hidden_size, layers=settings.layers
    )
    model.begin_projections(known)
    model.save_projections(folder)
    return folder


def _is_text(dataset: Dataset, column: str) -> bool:
    return getattr(dataset.features[column], "dtype", None) == "string"
