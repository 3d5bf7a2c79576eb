"""Label the words of a text: named entities, with tags in IOB2. `conll.py` reads the files."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import AugmentData, MetricName
from pipeline.config.training import DistillPredictions
from pipeline.data import conll
from pipeline.data.conll import OUTSIDE, PREFIXED
from pipeline.data.parquet import is_list
from pipeline.errors import UserError, nearest
from pipeline.tasks import sequence
from pipeline.tasks.base import Asked, Kind, Span, Splits

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import EncodedTexts

NO_LABEL = -100  # what torch's cross-entropy leaves out


# ---- the rows


def label_names(splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
    """O, then B- and I- of every type that occurs, sorted, or in the recipe's order."""
    found = [tag for examples in splits.values() for example in examples for tag in example.label or ()]
    types = {tag[2:] for tag in found if tag != OUTSIDE}
    if splits["train"] and not types:
        raise UserError(f"{splits['train'][0].location}: no word of the file has a tag other than {OUTSIDE}")
    named = [match[2] if (match := PREFIXED.fullmatch(tag)) else tag for tag in known if tag != OUTSIDE]
    named = [conll.UNNAMED] if named and set(named) <= conll.BARE else named
    if missing := sorted(types - set(named)):
        if known:
            raise UserError(f"task.labels: lacks the tag '{missing[0]}', which occurs{nearest(missing[0], named)}")
        named = missing
    return (OUTSIDE, *(f"{prefix}-{name}" for name in dict.fromkeys(named) for prefix in "BI"))


def feature(label_names: tuple[str, ...]) -> Any:
    """A tag a word, with its name."""
    from datasets import ClassLabel, List  # noqa: PLC0415

    return List(ClassLabel(names=list(label_names)))


def column_fits(column: "pa.DataType") -> bool:
    """Lists do."""
    return is_list(column)


def value(label: tuple[str, ...] | None, numbers: Mapping[str, int]) -> list[int] | None:
    """Tags by number."""
    return None if label is None else [numbers[tag] for tag in label]


# ---- augmentation


def protected(row: Mapping[str, Any], column: str, label_column: str, settings: AugmentData) -> list[Span]:
    """Where the asked for words of entities stand."""
    if not settings.protect_entities or row[label_column] is None:
        return []
    spans = word_spans(row[column])
    return [span for span, tag in zip(spans, row[label_column], strict=True) if tag]  # 0 is O


def realigned(row: dict[str, Any], text_columns: Sequence[str], label_column: str) -> dict[str, Any]:
    """A variant has the words of its original, one for one, and so the same tags."""
    words, tags = row[text_columns[0]].split(" "), row[label_column]
    if tags is not None and len(words) != len(tags):
        raise ValueError(f"{len(words)} words for {len(tags)} tags: {row[text_columns[0]]!r}")
    return row


def word_spans(text: str) -> list[Span]:
    """Where the words of a text stand: what single spaces part."""
    ends = [-1, *(place for place, character in enumerate(text) if character == " "), len(text)]
    return [(before + 1, end) for before, end in pairwise(ends)]


# ---- tokens


def encode(batch: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", asked: Asked) -> dict[str, Any]:
    """A text is one sequence. `word` is the number of the word that a token begins, or -1; `labels` its tag."""
    column: list[str] = batch[asked.text_columns[0]]
    encoded = tokenizer(column, truncation=True, max_length=asked.max_length, return_offsets_mapping=True)
    columns = {
        "input_ids": encoded["input_ids"],
        "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
        "word": [begun_words(text, offsets) for text, offsets in zip(column, encoded["offset_mapping"], strict=True)],
    }
    columns["words"] = [text.count(" ") + 1 for text in column]
    columns["weight"] = [sum(word >= 0 for word in words) for words in columns["word"]]
    if asked.label_column:
        columns["labels"] = [
            [tags[word] if word >= 0 else NO_LABEL for word in words]
            for words, tags in zip(columns["word"], batch[asked.label_column], strict=True)
        ]
    return columns


def begun_words(text: str, offsets: Sequence[Span]) -> list[int]:
    """For each token the number of the word whose first token it is, else -1."""
    starts = np.array([start for start, _ in word_spans(text)])
    words, last = [], -1
    for start, end in offsets:
        inside = end - len(text[start:end].lstrip(" "))  # some tokenizers take the space along
        word = int(np.searchsorted(starts, inside, side="right")) - 1 if inside < end else -1
        words.append(word if word > last else -1)
        last = max(last, word)
    return words


def targets(columns: Mapping[str, Any]) -> "dict[str, Tensor]":
    """`begins` (B, T), 1 on the first token of each word; `labels` (B, T), its tag, elsewhere -100."""
    from pipeline.models.collate import pad  # noqa: PLC0415

    found = {"begins": pad([[int(word >= 0) for word in words] for words in columns["word"]], 0)}
    return found | ({"labels": pad(columns["labels"], NO_LABEL)} if "labels" in columns else {})


# ---- the model


def load(*args: Any, **settings: Any) -> "PreTrainedModel":
    """A token classifier."""
    from transformers import AutoModelForTokenClassification  # noqa: PLC0415

    from pipeline.models.loading import load_classifier  # noqa: PLC0415

    return load_classifier(*args, head=AutoModelForTokenClassification, **settings)


def supervised(outputs: "Tensor", inputs: "dict[str, Tensor]", weight: int) -> "dict[str, Tensor]":
    """Cross-entropy of the tags, a mean over words."""
    from pipeline.losses.tinybert import label_loss  # noqa: PLC0415

    begins = inputs["begins"].bool()
    return {"label": label_loss(outputs[begins], inputs["labels"][begins], examples=max(weight, 1))}


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Soft cross-entropy of the logits (TinyBERT eq. 10), a mean over words."""
    from pipeline.losses.tinybert import prediction_loss  # noqa: PLC0415

    begins = inputs["begins"].bool()
    return prediction_loss(student[begins], teacher[begins], temperature=settings.temperature, examples=max(weight, 1))


# ---- scores


def answers(outputs: np.ndarray, encoded: "EncodedTexts", dataset: "Dataset") -> list[list[int]]:
    """A tag number for each word of a row; O where a word is beyond the cut, or has no token."""
    bounds, best = encoded.bounds(np.arange(len(encoded))), outputs.argmax(axis=1)
    found = []
    for number, (words, count) in enumerate(zip(encoded.rows["word"], encoded.rows["words"], strict=True)):
        begun, row = np.asarray(words), np.zeros(count, dtype=np.int64)
        row[begun[begun >= 0]] = best[bounds[number] : bounds[number + 1]][begun >= 0]
        found.append(row.tolist())
    return found


def statistics(answers: Sequence[Sequence[int]], gold: Sequence[Sequence[int]]) -> np.ndarray:
    """(R, 3): entities that are right (type, first and last word), that were answered, and that there are."""
    figures = []
    for answered, right in zip(answers, gold, strict=True):
        found, wanted = entities(answered), entities(right)
        figures.append((len(found & wanted), len(found), len(wanted)))
    return np.array(figures, dtype=np.float64).reshape(-1, 3)


def entities(tags: Sequence[int]) -> set[tuple[str, int, int]]:
    """Type, first and last word of each entity of a text, as seqeval (and conlleval) finds them.

    Args: tags: by number: 0 is O, then B- and I- of each type in turn.
    """
    from seqeval.metrics.sequence_labeling import get_entities  # noqa: PLC0415

    return set(get_entities([f"{'BI'[(tag - 1) % 2]}-{(tag - 1) // 2}" if tag else OUTSIDE for tag in tags]))


def details(metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
    """F1 of entities over all rows, as seqeval's `f1_score` has it; 0 where there is none to find or found."""
    right, answered, wanted = statistics.sum(axis=0)
    return {metric: float(2 * right / (answered + wanted)) if answered + wanted else 0.0}


def written(answers: Sequence[Sequence[int]], outputs: np.ndarray, label_names: tuple[str, ...]) -> dict[str, list]:
    """Tags by name."""
    return {"": [[label_names[tag] for tag in tags] for tags in answers]}


def agreement(theirs: Sequence[Sequence[int]], ours: Sequence[Sequence[int]]) -> float:
    """Share of the texts with the same tags."""
    return float(np.mean([a == b for a, b in zip(theirs, ours, strict=True)]))


KIND = Kind(
    metrics=("entity_f1",),
    answer=conll.parse_tags,
    read=conll.read,
    label_names=label_names,
    feature=feature,
    value=value,
    column_fits=column_fits,
    column_needs="a list of tags is needed, one a word",
    protected=protected,
    realigned=realigned,
    encode=encode,
    targets=targets,
    load=load,
    save=sequence.save,
    head="ForTokenClassification",
    per_token=True,
    supervised=supervised,
    distilled=distilled,
    gold=lambda dataset, label_column: dataset[label_column][:],
    answers=answers,
    written=written,
    statistics=statistics,
    details=details,
    beats_trivial=lambda metric, statistics: statistics[:, 0].sum() > 0,
    agreement=agreement,
)
