"""The augmented dataset as the stages that train or run on it see it.

Legend: U units, what has an output: sequences, or where a kind of task is `per_token`, their tokens; C outputs of each.
"""

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from transformers import PreTrainedModel

from pipeline.artifacts.shards import write_once
from pipeline.artifacts.store import published_files
from pipeline.config.distillation import TaskDistillation
from pipeline.evaluate.inference import predict
from pipeline.evaluate.other_teacher import OtherTeacher, by_our_tokens, load_other_teacher
from pipeline.heads import head_of
from pipeline.models.loading import freeze, load_tokenizer
from pipeline.models.vocabulary import cut_to, kept_pieces, save_tokenizer
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import BatchPlan, Groups, planned

NOT_TEXT = ("source_id", "variant", "replaced")
SHARD = 8192  # rows
LOOKED_AT = 10_000  # rows whose labels say in which order the outputs of another teacher stand
IN_MEMORY = 200_000  # rows whose tokens are kept in memory; more go to a file


@dataclass(frozen=True, kw_only=True)
class AugmentedTexts:
    """Tokenised rows, and what goes with them."""

    texts: TokenisedTexts
    groups: Groups  # which of them belong together
    label_names: tuple[str, ...]  # none: a regression
    tokenizer: Path  # the folder of the tokenizer that cut them


def read_augmented(stage: Stage, folder: Path) -> Dataset:
    """The rows of an augmented dataset, memory-mapped; each process has a cache of its own."""
    # `datasets` takes a name for a pattern: [1] in the path of a folder would be 1.
    files: list[Any] = [glob.escape(str(path)) for path in published_files(folder, "data/*.parquet")]
    cache = stage.work / f"arrow-{stage.accelerator.process_index}"
    return Dataset.from_parquet(files, cache_dir=str(cache))


def augmented_texts(
    stage: Stage,
    folder: Path | None = None,
    *,
    labels: bool = False,
    tokenizer: Path | None = None,
    reader: OtherTeacher | None = None,
) -> AugmentedTexts:
    """Tokenise the augmented dataset.

    Args:
        folder: another dataset than the published one.
        labels: whether they are targets too; a variant has its original's.
        tokenizer: the folder of the tokenizer; None: the teacher's.
        reader: tokenise as this teacher does.
    """
    tokenizer = reader.folder if reader else tokenizer or stage.upstream["finetune_teacher"]
    dataset = read_augmented(stage, folder or stage.upstream["augment_data"])
    label = _label_column(dataset)
    cache = stage.work / f"tokens-{tokenizer.name}-{stage.accelerator.process_index}.arrow"
    texts = TokenisedTexts(
        dataset,
        reader.tokenizer if reader else load_tokenizer(tokenizer),
        text_columns=[name for name in dataset.column_names if name not in NOT_TEXT and _is_text(dataset, name)],
        max_length=reader.max_length if reader else stage.recipe.task.max_length,
        task=stage.recipe.task,
        label_column=label if labels else None,
        cache=cache if len(dataset) > IN_MEMORY else None,
    )
    source_id = np.asarray(dataset.with_format("numpy")["source_id"][:])
    feature = dataset.features[label]
    feature = getattr(feature, "feature", feature)  # of each item, where the label is a list
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    groups = Groups.of(source_id[texts.row], texts.part)
    return AugmentedTexts(texts=texts, groups=groups, label_names=names, tokenizer=tokenizer)


def in_students_vocabulary(stage: Stage, data: AugmentedTexts) -> AugmentedTexts:
    """The same rows, cut into the pieces that occur in them most (`distill_layers.pieces`)."""
    pieces = stage.recipe.distill_layers.pieces
    if not pieces:
        return data
    whole, folder = load_tokenizer(data.tokenizer), stage.work / f"vocabulary-{stage.accelerator.process_index}"
    kept = kept_pieces(whole, data.texts.piece_counts(), pieces=pieces)
    save_tokenizer(whole, folder, kept=kept)
    stage.say(f"the student's vocabulary: {len(kept):,} of the teacher's {len(whole):,} pieces")
    return augmented_texts(stage, tokenizer=folder)


def augmented_batches(stage: Stage, data: AugmentedTexts, settings: TaskDistillation, *, packed: bool) -> BatchPlan:
    """One variant of each original an epoch, in turn; or every row, as the recipe says.

    Args: packed: whether the models can take packed batches.
    """
    groups = data.groups if settings.epoch_covers == "originals" else None
    return planned(data.texts.lengths, settings, seed=stage.recipe.seed, packed=packed, groups=groups)


def load_task_teacher(stage: Stage, data: AugmentedTexts) -> PreTrainedModel:
    """The fine-tuned teacher of the task; it reads the tokens of these rows."""
    folder = stage.upstream["finetune_teacher"]
    teacher = head_of(data.texts.kind).load(folder, label_names=data.label_names, new_head=False)
    cut_to(teacher, data.tokenizer, old_tokenizer=folder)
    return teacher


def teacher_logits(stage: Stage, data: AugmentedTexts) -> np.ndarray:
    """The fine-tuned teacher's logits on all rows, (U, C) float32."""
    teacher = freeze(load_task_teacher(stage, data), precision=stage.precision).to(stage.accelerator.device)
    tokens = stage.recipe.annotate_data.tokens_at_once
    return _by_shards(stage, data.texts, lambda rows: predict(teacher, data.texts, stage, rows=rows, tokens=tokens))


def other_teacher_logits(stage: Stage, data: AugmentedTexts) -> np.ndarray:
    """The same of the teacher that `annotate_data.teacher` names, in the task's order, for our tokens."""
    texts, tokens = data.texts, stage.recipe.annotate_data.tokens_at_once
    teacher = load_other_teacher(stage, texts.kind, data.label_names)
    theirs = augmented_texts(stage, reader=teacher).texts
    if cut := theirs.share_cut():
        stage.say(f"{cut:.1%} of the texts are longer than the {teacher.max_length} tokens that it reads")

    def outputs(rows: np.ndarray) -> np.ndarray:
        found = teacher.in_order(predict(teacher.model, theirs, stage, rows=rows, tokens=tokens))
        return by_our_tokens(found, theirs, texts, rows) if texts.kind.per_token else found

    logits = _by_shards(stage, texts, outputs)
    if data.label_names and not texts.kind.has_thresholds:
        units, labels = _known_labels(read_augmented(stage, stage.upstream["augment_data"]), texts)
        teacher.check_order(logits[units], labels, are_tags=texts.kind.per_token)
    return logits


def _known_labels(dataset: Any, texts: TokenisedTexts) -> tuple[np.ndarray, np.ndarray]:
    """Which of the outputs are of a text, or of a word, with a label, and its number; of the first rows."""
    numbers = np.arange(min(len(texts), LOOKED_AT))
    labels, bounds = dataset[: len(numbers)][_label_column(dataset)], texts.bounds(numbers)
    known = [(unit, label) for unit, label in zip(bounds[:-1], labels, strict=True) if label is not None]
    if texts.kind.per_token:
        words = texts.columns(numbers)["word"]
        known = [
            (begin + token, tags[word])
            for begin, tags, row in zip(bounds[:-1], labels, words, strict=True)
            for token, word in enumerate(row)
            if tags is not None and word >= 0
        ]
    units, found = np.array(known, dtype=np.int64).reshape(-1, 2).T
    return units, found


def _by_shards(stage: Stage, texts: TokenisedTexts, outputs: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What a function gives for all rows, some at a time.

    A fixed shard of rows is a unit of work: processes take shards by number, and what lies in `stage.work` is not done
    again after a crash.
    """
    rows = np.arange(len(texts))
    parts = [rows[start : start + SHARD] for start in range(0, len(rows), SHARD)]
    paths = [stage.work / f"logits-{number:05d}.npy" for number in range(len(parts))]

    def write(rows: np.ndarray, path: Path) -> None:
        logits = outputs(rows)
        with path.open("wb") as file:
            np.save(file, logits, allow_pickle=False)

    stage.work_through(
        lambda number: write_once(partial(write, parts[number]), paths[number]),
        results=paths,
        sizes=[len(part) for part in parts],
        unit="text",
    )
    return _joined(paths)


def _joined(paths: Sequence[Path]) -> np.ndarray:
    """The arrays (U, C) of some files one after another. No more than one file is in memory beside them."""
    first = np.load(paths[0], mmap_mode="r", allow_pickle=False)
    counts = [len(np.load(path, mmap_mode="r", allow_pickle=False)) for path in paths]
    joined, begin = np.empty((sum(counts), first.shape[1]), first.dtype), 0
    for path, count in zip(paths, counts, strict=True):
        joined[begin : begin + count] = np.load(path, allow_pickle=False)
        begin += count
    return joined


def with_soft_labels(stage: Stage, texts: TokenisedTexts, logits: np.ndarray) -> np.ndarray:
    """The teacher's logits, where an original has soft labels replaced by these, in place; its variants keep theirs.

    Rows of a dataset that is reused are found by their texts, others by their numbers.

    Args: logits: (U, C); a unit is a sequence, as only such kinds of task take soft labels.
    """
    task = read_task(stage.recipe.task, stage.inputs.task)
    dataset: Any = read_augmented(stage, stage.upstream["augment_data"])
    rows = [row for split in ("train", "unlabelled") for row in task.splits.get(split, ())]
    by_text = {row.texts: row.soft for row in rows if row.soft is not None} if stage.inputs.augmented else {}
    given: dict[int, Any] = {}
    for number, row in enumerate(dataset.select_columns(["source_id", "variant", *task.text_columns])):
        if row["variant"] == 0:
            key = tuple(row[column] for column in task.text_columns)
            given[number] = by_text.get(key) if stage.inputs.augmented else rows[row["source_id"]].soft
    replaced, width = 0, logits.shape[1]
    for number, (row, part) in enumerate(zip(texts.row.tolist(), texts.part.tolist(), strict=True)):
        if given.get(row) is not None:
            logits[number] = given[row][part * width : (part + 1) * width]  # a vector a text, or all
            replaced += 1
    stage.say(f"{replaced:,} of {len(logits):,} rows have the given soft labels, the others the teacher's logits")
    return logits


def _label_column(dataset: Dataset) -> str:
    return next(name for name in dataset.column_names if name not in NOT_TEXT and not _is_text(dataset, name))


def _is_text(dataset: Dataset, column: str) -> bool:
    return getattr(dataset.features[column], "dtype", None) == "string"
