"""The card (README.md) of an augmented dataset: how to load it, what it was made from, what is in it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_augment.diversity import WITHOUT_BLANKS, distinct, n_grams, self_bleu, words_of
from data_augment.variants import Row
from pipeline.report.templates import escape_markdown
from pipeline.tasks.augmented import word_diff

EXAMPLES = 10
SAMPLE = 50  # texts whose variety is measured, with all of their variants

TEMPLATE = """\
---
license: {licence}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---
# Augmented dataset

Each original text, and variants of it in which words are replaced: by what a masked language model puts there, or by
their neighbours among word vectors (TinyBERT, arXiv:1909.10351, Algorithm 1).

    datasets.load_dataset("PATH/OF/THIS/FOLDER")["train"]
    pandas.read_parquet("PATH/OF/THIS/FOLDER/data")

| column | what it holds |
|---|---|
| `source_id` | id of the original example in its task |
| {text_columns} | the text, or the texts of the pair: one of them varied, the other as it was |
| `variant` | 0 for the original, from 1 for its variants; a number that is missing was dropped |
| `replaced` | the replaced words: column, start and end in the original text, old and new word, source |

The other columns, the label among them, are those of the original example, whatever its variant says.

## What it was made from
```json
{provenance}
```

## Counts
| | |
|---|---|
| originals | {originals:,} |
| variants | {variants:,} |
| variants dropped: equal to their original or to another original text | {equal:,} |
| variants dropped: equal to an earlier variant of the same example | {repeated:,} |
{other}{shares}

## Variety
Of the first {sampled} texts with variants, words being what blanks part{each_character}:

| | originals | originals and variants |
|---|---|---|
| distinct-1 | {distinct[0]:.3f} | {distinct[1]:.3f} |
| distinct-2 | {distinct[2]:.3f} | {distinct[3]:.3f} |
| self-BLEU of a text among its original and variants | | {self_bleu:.3f} |

## Examples
The first variants in the dataset, each with what was there and **what stands there now**:

{examples}
"""
OTHER_ANSWER = "| variants dropped: the teacher answers otherwise than for the original"


@dataclass
class Sampled:
    """A text and its variants."""

    texts: list[str]
    """The original first."""
    replacements: list[list[str]]
    """Old and new word of each replacement in the variants."""


@dataclass
class Statistics:
    """Counted while the rows pass. Words are those of `words_of`; only the text that is varied counts."""

    originals: int = 0
    variants: int = 0
    words: int = 0
    """Of the original text, once for each of its variants."""
    replaced: Counter[str] = field(default_factory=Counter)
    """Replaced words by source."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Variants by reason."""
    examples: list[str] = field(default_factory=list)
    """The first variant of each of the first EXAMPLES texts, in Markdown."""
    sample: list[Sampled] = field(default_factory=list)
    """The first SAMPLE texts that have variants."""

    @classmethod
    def read(cls, text: str) -> "Statistics":
        """The statistics that `text` wrote."""
        found = json.loads(text)
        found["sample"] = [Sampled(**group) for group in found["sample"]]
        return cls(**{**found, "replaced": Counter(found["replaced"]), "dropped": Counter(found["dropped"])})

    def text(self) -> str:
        return json.dumps({**vars(self), "sample": [vars(group) for group in self.sample]})

    def __add__(self, later: "Statistics") -> "Statistics":
        """The statistics of a dataset whose rows are this one's, then the later one's."""
        return Statistics(
            originals=self.originals + later.originals,
            variants=self.variants + later.variants,
            words=self.words + later.words,
            replaced=self.replaced + later.replaced,
            dropped=self.dropped + later.dropped,
            examples=(self.examples + later.examples)[:EXAMPLES],
            sample=(self.sample + later.sample)[:SAMPLE],
        )

    def count(self, rows: Iterable[Row], text_columns: Sequence[str]) -> Iterator[Row]:
        """Pass the rows on, counted; each original stands before its variants."""
        original: Row = {}
        words: dict[str, int] = {}
        sampled: tuple[int, str] | None = None  # number of the original, and column, of the last text of the sample
        has_example = True
        for row in rows:
            if row["variant"] == 0:
                original, has_example = row, False
                words = {column: len(words_of(row[column])) for column in text_columns}
                self.originals += 1
                yield row
                continue
            replaced = row["replaced"] or ()
            column = varied_column(row, original, text_columns)
            self.variants += 1
            self.words += words[column]
            for replacement in replaced:
                self.replaced[replacement["source"]] += len(words_of(replacement["old"]))
            if sampled != (self.originals, column) and len(self.sample) < SAMPLE:
                sampled = (self.originals, column)
                self.sample.append(Sampled([original[column]], []))
            if sampled == (self.originals, column):
                self.sample[-1].texts.append(row[column])
                self.sample[-1].replacements += [[replacement["old"], replacement["new"]] for replacement in replaced]
            if not has_example and replaced and len(self.examples) < EXAMPLES:
                self.examples.append(mark_replaced(original[column], replaced))
                has_example = True
            yield row

    def metrics(self) -> dict[str, Any]:
        """The counts as stage.json keeps them and the report shows them.

        `variety` is that of the sample: the number of its texts and of the different replacements in it; different
        words, and different pairs of neighbouring words, in the originals and in originals and variants.
        """
        originals = [group.texts[0] for group in self.sample]
        everything = [text for group in self.sample for text in group.texts]
        replacements = {(old, new) for group in self.sample for old, new in group.replacements}
        return {
            "originals": self.originals,
            "variants": self.variants,
            "dropped": dict(self.dropped),
            "words": self.words,
            "replaced": dict(self.replaced),
            "variety": {
                "texts": len(self.sample),
                "replacements": len(replacements),
                "words": [len(set(n_grams(texts, 1))) for texts in (originals, everything)],
                "pairs": [len(set(n_grams(texts, 2))) for texts in (originals, everything)],
            },
        }


def varied_column(row: Row, original: Row, text_columns: Sequence[str]) -> str:
    """The column of the text that a variant varies: the one of its replacements, or the one that is rewritten."""
    if row["replaced"]:
        return row["replaced"][0]["column"]
    rewritten = (column for column in text_columns if row[column] != original[column])
    return next(rewritten, text_columns[0])


def mark_replaced(text: str, replaced: Sequence[Row]) -> str:
    """The original text in Markdown, each replaced word struck out and followed by the new one in bold."""
    markup = {"same": "{}", "old": "~~{}~~ ", "new": "**{}**"}
    return "".join(markup[what].format(escape_markdown(part)) for what, part in word_diff(text, replaced))


def dataset_card(
    statistics: Statistics, *, text_columns: Sequence[str], provenance: Mapping[str, Any], licence: str
) -> str:
    """README.md of the dataset: front matter that `load_dataset` reads, and the card itself."""
    shares = [
        f"| words replaced, by {source} | {count / statistics.words:.1%} |"
        for source, count in sorted(statistics.replaced.items())
    ]
    dropped = statistics.dropped
    groups = [group.texts for group in statistics.sample]
    originals, everything = [texts[0] for texts in groups], [text for texts in groups for text in texts]
    return TEMPLATE.format(
        licence=licence,
        text_columns=", ".join(f"`{column}`" for column in text_columns),
        provenance=json.dumps(provenance, indent=2, sort_keys=True, ensure_ascii=False),
        originals=statistics.originals,
        variants=statistics.variants,
        equal=dropped.get("equal_to_original", 0),
        repeated=dropped.get("repeated", 0),
        other=f"{OTHER_ANSWER} | {dropped['another_answer']:,} |\n" if "another_answer" in dropped else "",
        sampled=len(groups),
        each_character=", and each character of a script without blanks"
        if WITHOUT_BLANKS.search("".join(originals))
        else "",
        distinct=[distinct(texts, n) for n in (1, 2) for texts in (originals, everything)],
        self_bleu=self_bleu(groups),
        shares="\n".join(shares) or "| words replaced | none |",
        examples="\n".join(f"- {example}" for example in statistics.examples) or "- none",
    )
