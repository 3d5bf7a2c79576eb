"""Label the words of a text: named entities, with tags in IOB2. `pipeline.data.conll` reads the files."""

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import AugmentData, MetricName, Task
from pipeline.data import conll
from pipeline.data.examples import Columns, Example
from pipeline.data.splits import Splits
from pipeline.data.tags import BARE, OUTSIDE, PREFIXED, UNNAMED, are_bare, usual_names
from pipeline.data.word_lists import parse_tags
from pipeline.errors import UserError, nearest
from pipeline.tasks.base import Span, TaskKind, Tokenising
from pipeline.tasks.classification import balanced
from pipeline.tasks.words import Parting, word_spans, words_started

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import TokenisedTexts

NO_LABEL = -100  # what torch's cross-entropy leaves out


class TokenClassificationTask(TaskKind):
    """A tag for each word; a word's first token answers for it."""

    name = "token_classification"
    metrics = ("entity_f1",)
    head_class = "ForTokenClassification"
    label_values = "tags"
    per_token = True
    weighs_classes = True
    trivial_answer = "finding no entity"

    # ---- the rows

    def read(self, path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
        """CoNLL files, or tables with lists of words and tags."""
        return conll.read(path, columns, left_out)

    def parse_label(self, value: Any, columns: Columns) -> list[str]:
        """Tags as they are written; `conll.read` makes IOB2 of them."""
        return parse_tags(value, columns)

    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """O, then B- and I- of every type that occurs, sorted, or in the recipe's order."""
        found = [tag for examples in splits.values() for example in examples for tag in example.label or ()]
        types = {tag[2:] for tag in found if tag != OUTSIDE}
        if splits["train"] and not types:
            raise UserError(f"{splits['train'][0].location}: no word of the file has a tag other than {OUTSIDE}")
        tags = [tag for tag in usual_names(known) if tag != OUTSIDE]
        named = [match[2] if (match := PREFIXED.fullmatch(tag)) else tag for tag in tags]
        named = [UNNAMED] if are_bare(named) else named
        if not known and UNNAMED in types and (others := sorted(types & BARE)):
            raise UserError(
                "task.labels: one file's tags are prefixes alone, such as B, and another's are types, such as"
                f" {others[0]}; list all tags in task.labels"
            )
        if missing := sorted(types - set(named)):
            if known:
                raise UserError(
                    f"task.labels: lacks the tag '{missing[0]}', which occurs{nearest(missing[0], set(named))}"
                )
            named = missing
        return (OUTSIDE, *(f"{prefix}-{name}" for name in dict.fromkeys(named) for prefix in "BI"))

    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """A tag a word, with its name."""
        return {"feature": {"names": list(label_names), "_type": "ClassLabel"}, "_type": "List"}

    def column_value(self, label: tuple[str, ...] | None, numbers: Mapping[str, int]) -> list[int] | None:
        """Tags by number."""
        return None if label is None else [numbers[tag] for tag in label]

    def label_counts(self, examples: Sequence[Example]) -> Counter[str]:
        """Entities of each type."""
        tags = (tag for example in examples for tag in example.label or ())
        return Counter(tag[2:] for tag in tags if tag.startswith("B-"))

    def describe(self, splits: Splits) -> list[str]:
        """Words and tags a sentence."""
        tags = [example.label for example in splits["train"]]
        words, found = (sum(map(len, tags)), sum(tag != OUTSIDE for row in tags for tag in row))
        rows = max(len(tags), 1)
        return [f"words a sentence: {words / rows:.1f} in the mean; {found / rows:.1f} of them in entities"]

    # ---- augmentation

    def protected(self, row: Mapping[str, Any], column: str, label_column: str, settings: AugmentData) -> list[Span]:
        """The words in entities, where the recipe protects them."""
        if not settings.protect_entities or row[label_column] is None:
            return []
        spans = word_spans(row[column])
        return [span for span, tag in zip(spans, row[label_column], strict=True) if tag]  # 0 is O

    def realign(self, row: dict[str, Any], text_columns: Sequence[str], label_column: str) -> dict[str, Any]:
        """A variant has the words of its original, one for one, and so the same tags."""
        words, tags = row[text_columns[0]].split(" "), row[label_column]
        if tags is not None and len(words) != len(tags):
            raise ValueError(f"{len(words)} words for {len(tags)} tags: {row[text_columns[0]]!r}")
        return row

    # ---- tokens

    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """A text is one sequence. `word` is the number of the word that a token begins, or -1; `labels` its tag."""
        texts: list[str] = rows[how.text_columns[0]]
        encoded = tokenizer(texts, truncation=True, max_length=how.max_length, return_offsets_mapping=True)
        columns = {
            "input_ids": encoded["input_ids"],
            "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
            "word": [words_started(text, spans) for text, spans in zip(texts, encoded["offset_mapping"], strict=True)],
            "words": [text.count(" ") + 1 for text in texts],
        }
        columns["weight"] = [sum(word >= 0 for word in words) for words in columns["word"]]
        if how.label_column:
            columns["labels"] = [
                [tags[word] if word >= 0 else NO_LABEL for word in words]
                for words, tags in zip(columns["word"], rows[how.label_column], strict=True)
            ]
        return columns

    # ---- scores

    def balanced_weights(self, references: Sequence[Sequence[int]], label_count: int) -> np.ndarray:
        """Those of `balanced`, of words."""
        return balanced(np.bincount(np.concatenate(references), minlength=label_count))

    def references(self, dataset: "Dataset", label_column: str) -> list[list[int]]:
        """A tag number for each word of a row."""
        return dataset[label_column][:]

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> list[list[int]]:
        """A tag number for each word of a row; O where a word is beyond the cut, or has no token."""
        bounds, best = texts.bounds(np.arange(len(texts))), outputs.argmax(axis=1)
        found = []
        for number, (words, count) in enumerate(zip(texts.rows["word"], texts.rows["words"], strict=True)):
            first, tags = np.asarray(words), np.zeros(count, dtype=np.int64)
            tags[first[first >= 0]] = best[bounds[number] : bounds[number + 1]][first >= 0]
            found.append(tags.tolist())
        return found

    def prediction_columns(
        self, predictions: Sequence[Sequence[int]], outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """Tags by name."""
        return {"": [[label_names[tag] for tag in tags] for tags in predictions]}

    def statistics(self, predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> np.ndarray:
        """(R, 3): entities that are right (type, first and last word), that were predicted, and that there are."""
        counts = []
        for predicted, right in zip(predictions, references, strict=True):
            found, wanted = entities(predicted), entities(right)
            counts.append((len(found & wanted), len(found), len(wanted)))
        return np.array(counts, dtype=np.float64).reshape(-1, 3)

    def details(self, metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
        """F1 of entities over all rows; 0 where there is none to find or found."""
        right, predicted, wanted = statistics.sum(axis=0)
        return {metric: float(2 * right / (predicted + wanted)) if predicted + wanted else 0.0}

    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Whether any entity is found."""
        return bool(statistics[:, 0].sum() > 0)

    def agreement(self, theirs: Sequence[Sequence[int]], ours: Sequence[Sequence[int]]) -> float:
        """Share of the texts with the same tags."""
        return float(np.mean([a == b for a, b in zip(theirs, ours, strict=True)]))

    def student_config(self, splits: Splits, task: Task) -> dict[str, Any]:
        """How running text becomes words, as the training rows have them."""
        return Parting.of(example.texts[0] for example in splits["train"]).as_config()


def entities(tags: Sequence[int]) -> set[tuple[int, int, int]]:
    """Type, first and last word of each entity of a text, as conlleval (of the CoNLL-2000 shared task) finds them.

    An entity begins at a B-, or at an I- after O or another type, and goes on as long as I- of its type follow.

    Args: tags: by number: 0 is O, then B- and I- of each type in turn.
    """
    found: list[tuple[int, int, int]] = []
    last: int | None = None  # the type of the word before
    for index, tag in enumerate(tags):
        kind = (tag - 1) // 2 if tag else None
        if kind is not None:
            continues = tag % 2 == 0 and kind == last
            found.append((kind, found.pop()[1], index) if continues else (kind, index, index))
        last = kind
    return set(found)
