"""The dataset that holds variants, its card, and how varied they are."""

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_dataset

from data_augment.__main__ import main
from data_augment.card import Statistics, mark_replaced
from data_augment.dataset import augmented_features, read_counts, write_card, write_shard
from data_augment.diversity import distinct, self_bleu
from data_augment.variants import augment_rows
from tests.helpers.tiny_variants import PAIRS, PROPOSED, ROWS, TEXT, augment, occurrences_of

FEATURES = Features({"id": Value("int64"), "text": Value("string"), "label": ClassLabel(names=["rotten", "fresh"])})


def write(folder: Path, rows=ROWS, features=FEATURES, columns=("text",), *, shard_examples=2, only=None):
    """The dataset of the rows, in shards of so many examples; of some shards, those without a card."""
    occurrences = occurrences_of(rows, columns)

    def shard(first):
        part = slice(first, first + shard_examples)
        settings = {"candidates": PROPOSED, "variants": 20, "p": 0.4, "seed": 1, "originals": set()}
        return lambda dropped: augment_rows(
            rows[part], occurrences[part], text_columns=columns, dropped=dropped, **settings
        )

    shards = [shard(first) for first in range(0, len(rows), shard_examples)]
    for number in range(len(shards)) if only is None else only:
        write_shard(shards[number], folder, number=number, count=len(shards), features=features, text_columns=columns)
    if only is not None:
        return Statistics()
    found = read_counts(folder)
    write_card(folder, found, text_columns=columns, provenance={"seed": 1, "model": {"name": "tiny"}})
    return found


def load(folder: Path, cache: Path) -> Dataset:
    return load_dataset(str(folder), split="train", cache_dir=str(cache))


def test_load_dataset_reads_the_rows_with_the_names_of_the_labels(tmp_path: Path):
    write(tmp_path / "augmented")
    loaded = load(tmp_path / "augmented", tmp_path / "cache")
    assert loaded.to_list() == augment()
    assert loaded.features["label"] == FEATURES["label"]
    assert list(loaded.features) == ["source_id", "text", "label", "variant", "replaced"]


def test_load_dataset_reads_pairs_with_scores(tmp_path: Path):
    features = Features(
        {"id": Value("string"), "left": Value("string"), "right": Value("string"), "score": Value("float32")}
    )
    write(tmp_path / "augmented", PAIRS, features, ("left", "right"))
    assert load(tmp_path / "augmented", tmp_path / "cache").to_list() == augment(PAIRS, ("left", "right"))


def test_pandas_reads_the_rows(tmp_path: Path):
    write(tmp_path)
    frame = pd.read_parquet(tmp_path / "data")
    assert frame["text"].tolist() == [row["text"] for row in augment()]


def test_examples_go_into_shards_of_a_fixed_size(tmp_path: Path):
    write(tmp_path)
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [set(pd.read_parquet(tmp_path / "data" / name)["source_id"]) for name in names] == [{7, 8}, {9}]


def test_rows_and_counts_are_the_same_in_one_shard_and_in_many(tmp_path: Path):
    one, many = write(tmp_path / "one", shard_examples=3), write(tmp_path / "many", shard_examples=1)
    assert one == many
    assert pd.read_parquet(tmp_path / "one/data").equals(pd.read_parquet(tmp_path / "many/data"))
    assert (tmp_path / "one/README.md").read_bytes() == (tmp_path / "many/README.md").read_bytes()


@pytest.mark.parametrize("spoilt", ["data/train-00001-of-00002.parquet", "counts/00001.json"])
def test_a_shard_that_is_damaged_is_made_again(tmp_path: Path, spoilt: str):
    one = write(tmp_path / "one")
    write(tmp_path / "two", only=[1])
    (tmp_path / "two" / spoilt).write_bytes(b"")
    assert write(tmp_path / "two") == one
    for path in (tmp_path / "one/data").iterdir():
        assert (tmp_path / "two/data" / path.name).read_bytes() == path.read_bytes()


def test_after_a_kill_what_is_there_stays_and_the_bytes_are_the_same(tmp_path: Path):
    write(tmp_path / "one")
    write(tmp_path / "two", only=[1])
    (tmp_path / "two/data/train-00000-of-00002.part").write_text("cut off")
    kept = tmp_path / "two/data/train-00001-of-00002.parquet"
    written = kept.stat().st_mtime_ns
    write(tmp_path / "two")
    assert kept.stat().st_mtime_ns == written
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*"))
    assert files == sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*"))
    assert all(
        (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        for file in files
        if file.suffix
    )


def test_the_card_says_what_is_in_the_dataset(tmp_path: Path):
    statistics = write(tmp_path)
    card = (tmp_path / "README.md").read_text()
    rows = augment()
    variants = [row for row in rows if row["variant"]]
    assert (statistics.originals, statistics.variants) == (len(rows) - len(variants), len(variants))
    assert f"| variants | {len(variants)} |" in card
    assert "| originals | 3 |" in card
    assert '"name": "tiny"' in card
    by_model = sum(change["source"] == "masked_lm" for row in variants for change in row["replaced"])
    assert f"| words replaced, by masked_lm | {by_model / (len(variants) * len(TEXT.split())):.1%} |" in card
    assert "- " + mark_replaced(TEXT, variants[0]["replaced"]) in card


def test_examples_mark_the_replaced_words_and_escape_the_rest():
    replaced = [{"start": 2, "end": 6, "old": "film", "new": "movie"}]
    assert mark_replaced("a film* <b>", replaced) == r"a ~~film~~ **movie**\* \<b\>"


def test_texts_that_were_rewritten_as_a_whole_are_counted_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    original = {"source_id": 7, "text": TEXT, "variant": 0, "replaced": []}
    rewritten = original | {"text": "something else", "variant": 1}
    (tmp_path / "data").mkdir()
    schema = augmented_features(Features({"id": Value("int64"), "text": Value("string")})).arrow_schema
    rows = list((statistics := Statistics()).count([original, rewritten], ["text"]))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "data/train-00000-of-00001.parquet")
    write_card(tmp_path, statistics, text_columns=["text"], provenance={})
    assert "| variants | 1 |" in (tmp_path / "README.md").read_text()
    assert main(["show", str(tmp_path), "--example", "7"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "variant 1  text: something else"


def test_labels_are_shown_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = ClassLabel(names=["rotten", "fresh"])
    columns = {"id": Value("int64"), "text": Value("string"), "label": names, "all": List(names)}
    row = {"text": TEXT, "variant": 0, "replaced": [], "all": [1, 0]}
    rows = [row | {"source_id": 0, "label": 1}, row | {"source_id": 1, "label": None}]
    (tmp_path / "data").mkdir()
    table = pa.Table.from_pylist(rows, schema=augmented_features(Features(columns)).arrow_schema)
    pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    assert [main(["show", str(tmp_path), "--example", str(number)]) for number in (0, 1)] == [0, 0]
    shown = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    named = "all: ['fresh', 'rotten']"
    assert shown == [f"text: {TEXT}", "label: fresh", named, f"text: {TEXT}", "label: None", named]


def test_a_dataset_of_originals_alone_has_a_card(tmp_path: Path):
    write(tmp_path, ROWS[1:2])
    assert "| variants | 0 |" in (tmp_path / "README.md").read_text()


def test_the_card_measures_how_varied_a_sample_is(tmp_path: Path):
    write(tmp_path)
    card = (tmp_path / "README.md").read_text()
    rows = augment()
    groups = [[row["text"] for row in rows if row["source_id"] == source] for source in (7, 9)]
    originals, everything = [TEXT, TEXT], [text for group in groups for text in group]
    assert "Of the first 2 texts with variants" in card
    assert f"| distinct-2 | {distinct(originals, 2):.3f} | {distinct(everything, 2):.3f} |" in card
    assert f"| self-BLEU of a text among its original and variants | | {self_bleu(groups):.3f} |" in card


def test_the_metrics_count_what_the_rows_hold(tmp_path: Path):
    metrics = write(tmp_path, shard_examples=1).metrics()
    variants = [row for row in augment() if row["variant"]]
    replaced = [replacement for row in variants for replacement in row["replaced"]]
    by_model = sum(replacement["source"] == "masked_lm" for replacement in replaced)
    assert (metrics["originals"], metrics["variants"]) == (3, len(variants))
    assert metrics["words"] == len(variants) * len(TEXT.split())
    assert metrics["replaced"]["masked_lm"] == by_model
    assert sum(metrics["replaced"].values()) == len(replaced)
    words, texts = set(TEXT.lower().split()), [row["text"].lower().split() for row in variants]
    pairs = set(pairwise(TEXT.lower().split()))
    assert metrics["variety"] == {
        "texts": 2,
        "replacements": len({(replacement["old"], replacement["new"]) for replacement in replaced}),
        "words": [len(words), len(words.union(*texts))],
        "pairs": [len(pairs), len(pairs.union(*map(pairwise, texts)))],
    }


def test_distinct_is_the_share_of_different_n_grams():
    assert distinct(["a film", "A film and a film"], 1) == 3 / 7
    assert distinct(["a film", "A film and a film"], 2) == 3 / 5
    assert distinct([], 2) == distinct(["film"], 2) == 0


def test_self_bleu_is_one_for_equal_texts_and_compares_within_a_group_alone():
    same = ["a film to see again"] * 2
    assert self_bleu([same]) == pytest.approx(1)
    assert self_bleu([same, ["nothing here is like the others", "quite another text stands there"]]) < 0.6
    assert self_bleu([["a film"], ["a film"]]) == self_bleu([]) == 0
