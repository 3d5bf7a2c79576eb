"""Variants of texts, the rows made of them, and the dataset that holds the rows."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from data_augment.candidates_folder import WordCandidates
from data_augment.card import mark_replaced
from data_augment.dataset import write_dataset
from data_augment.diversity import distinct, self_bleu
from data_augment.samples import KnownTexts, augment_rows, sample_variant

TEXT = "  A grand film, they SAY --  with Actors!"
CANDIDATES = [
    WordCandidates(4, 9, ("great", "fine", "big"), "masked_lm"),
    WordCandidates(10, 14, ("movie", "drama", "story"), "masked_lm"),
    WordCandidates(21, 24, ("tell",), "vectors"),
    WordCandidates(34, 40, ("players",), "vectors"),
]
MANY = " ".join(["film"] * 50)
MANY_CANDIDATES = [WordCandidates(5 * i, 5 * i + 4, tuple("abcdefghij"), "masked_lm") for i in range(50)]


def variant_of(text: str = TEXT, candidates=CANDIDATES, **changes):
    settings = {"seed": 1, "occurrence": 0, "column": "text", "variant": 1, "p": 0.5, **changes}
    return sample_variant(text, candidates, **settings)


# --- one variant


def test_the_replacements_say_what_was_done():
    text, replaced = variant_of(p=1.0)
    at, parts = 0, []
    for change in replaced:
        assert TEXT[change["start"] : change["end"]] == change["old"]
        parts += [TEXT[at : change["start"]], change["new"]]
        at = change["end"]
    assert text == "".join(parts) + TEXT[at:]
    assert [change["source"] for change in replaced] == ["masked_lm", "masked_lm", "vectors", "vectors"]
    assert {change["column"] for change in replaced} == {"text"}


def test_spacing_punctuation_and_case_stay():
    only = [candidate._replace(candidates=candidate.candidates[:1]) for candidate in CANDIDATES]
    assert variant_of(candidates=only, p=1.0)[0] == "  A great movie, they TELL --  with Players!"


def test_with_probability_zero_nothing_is_replaced():
    assert variant_of(p=0.0) == (TEXT, [])


def test_words_are_replaced_with_probability_p_by_each_candidate_alike():
    drawn = [
        change
        for variant in range(400)
        for change in variant_of(MANY, MANY_CANDIDATES, variant=variant, p=0.4)[1]
    ]  # fmt: skip
    assert len(drawn) / (400 * 50) == pytest.approx(0.4, abs=0.02)
    shares = Counter(change["new"] for change in drawn)
    assert all(count / len(drawn) == pytest.approx(0.1, abs=0.02) for count in shares.values())
    places = Counter(change["start"] for change in drawn)
    assert len(places) == 50 and all(count / 400 == pytest.approx(0.4, abs=0.12) for count in places.values())


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"occurrence": 1}, {"column": "other"}, {"variant": 2}, {"text": MANY + " "}]
)
def test_each_argument_changes_the_variant(change: dict):
    text = change.pop("text", MANY)
    assert variant_of(text, MANY_CANDIDATES, **change)[0].strip() != variant_of(MANY, MANY_CANDIDATES)[0]


def test_a_variant_is_the_same_in_another_process():
    code = (
        "from data_augment.samples import sample_variant\n"
        f"print(sample_variant({MANY!r}, {[tuple(c) for c in MANY_CANDIDATES]!r}, "
        "seed=1, occurrence=0, column='text', variant=1, p=0.5)[0])"
    )
    root = Path(__file__).parents[1]
    there = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == variant_of(MANY, MANY_CANDIDATES)[0]


# --- rows

ROWS = [
    {"id": 7, "text": TEXT, "label": 1},
    {"id": 8, "text": "nothing to say", "label": 0},
    {"id": 9, "text": TEXT, "label": 0},
]
PAIRS = [{"id": "p", "left": TEXT, "right": MANY, "score": 2.5}]
PROPOSED = {TEXT: CANDIDATES, MANY: MANY_CANDIDATES}


def augment(rows=ROWS, columns=("text",), **changes):
    settings = {"candidates": PROPOSED, "variants": 20, "p": 0.4, "seed": 1, "originals": set(), **changes}
    return list(augment_rows(rows, text_columns=columns, **settings))


def test_each_original_comes_first_and_unchanged():
    originals = [row for row in augment() if row["variant"] == 0]
    assert originals == [
        {"source_id": row["id"], "text": row["text"], "label": row["label"], "variant": 0, "replaced": []}
        for row in ROWS
    ]


def test_variants_carry_the_label_of_their_example():
    assert {(row["source_id"], row["label"]) for row in augment()} == {(7, 1), (8, 0), (9, 0)}


def test_forty_variants_begin_with_the_same_twenty():
    few = augment()
    many = augment(variants=40)
    assert [row for row in many if row["variant"] <= 20] == few
    assert len(many) > len(few)


def test_a_text_that_occurs_again_gets_variants_of_its_own():
    first, second = ([row["text"] for row in augment() if row["source_id"] == source] for source in (7, 9))
    assert first != second


def test_a_text_without_candidates_has_no_variants():
    assert [row["variant"] for row in augment() if row["source_id"] == 8] == [0]


def test_every_row_of_an_example_is_different_and_what_is_dropped_is_counted():
    dropped = Counter()
    rows = augment(variants=100, dropped=dropped)
    texts = [row["text"] for row in rows if row["source_id"] == 7]
    assert len(texts) == len(set(texts))
    assert dropped["repeated"] > 0 and dropped["equal_to_original"] > 100  # 100 of the text without candidates
    assert len(rows) - len(ROWS) + dropped.total() == 3 * 100


def test_no_variant_equals_an_original_of_any_split():
    leaked = {(row["text"],) for row in augment() if row["variant"]}
    dropped = Counter()
    assert all(row["variant"] == 0 for row in augment(originals=leaked, dropped=dropped))
    assert dropped["equal_to_original"] == 60


def test_each_side_of_a_pair_is_varied_with_the_other_original():
    rows = augment(PAIRS, ("left", "right"))
    assert {row["right"] for row in rows if row["variant"] <= 20} == {MANY}
    assert {row["left"] for row in rows if row["variant"] > 20} == {TEXT}
    assert {change["column"] for row in rows for change in row["replaced"] if row["variant"] > 20} == {"right"}
    assert max(row["variant"] for row in rows) == 40
    assert {row["score"] for row in rows} == {2.5}


def test_a_pair_is_dropped_only_where_both_texts_are_original():
    [varied] = [row for row in augment(PAIRS, ("left", "right")) if row["variant"] == 21]
    kept = augment(PAIRS, ("left", "right"), originals={("another", varied["right"])})
    gone = augment(PAIRS, ("left", "right"), originals={(TEXT, varied["right"])})
    assert 21 in [row["variant"] for row in kept]
    assert 21 not in [row["variant"] for row in gone]


def test_without_variants_there_are_the_originals_alone():
    assert [row["variant"] for row in augment(variants=0)] == [0, 0, 0]


# --- the dataset

FEATURES = Features({"id": Value("int64"), "text": Value("string"), "label": ClassLabel(names=["rotten", "fresh"])})


def write(folder: Path, rows=ROWS, features=FEATURES, columns=("text",), shard_rows=15):
    dropped = Counter()
    augmented = augment_rows(
        rows,
        text_columns=columns,
        candidates=PROPOSED,
        variants=20,
        p=0.4,
        seed=1,
        originals=set(),
        dropped=dropped,
    )
    return write_dataset(
        augmented,
        folder,
        features=features,
        text_columns=columns,
        provenance={"seed": 1, "model": {"name": "tiny"}},
        dropped=dropped,
        shard_rows=shard_rows,
    )


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


def test_rows_go_into_shards_of_a_fixed_size(tmp_path: Path):
    write(tmp_path)
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == [f"train-{index:05d}-of-00003.parquet" for index in range(3)]
    assert [len(pd.read_parquet(tmp_path / "data" / name)) for name in names] == [15, 15, len(augment()) - 30]


def test_the_same_rows_give_the_same_bytes_even_over_a_killed_write(tmp_path: Path):
    write(tmp_path / "one")
    write(tmp_path / "two", shard_rows=7)
    (tmp_path / "two/data/train-00009.part").write_text("cut off")
    write(tmp_path / "two")
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
    assert (statistics.rows, statistics.variants) == (len(rows), len(variants))
    assert f"| variants | {len(variants)} |" in card
    assert "| originals | 3 |" in card
    assert '"name": "tiny"' in card
    by_model = sum(change["source"] == "masked_lm" for row in variants for change in row["replaced"])
    assert f"| words replaced, by masked_lm | {by_model / (len(variants) * len(TEXT.split())):.1%} |" in card
    assert "- " + mark_replaced(TEXT, variants[0]["replaced"]) in card


def test_examples_mark_the_replaced_words_and_escape_the_rest():
    replaced = [{"start": 2, "end": 6, "old": "film", "new": "movie"}]
    assert mark_replaced("a film* <b>", replaced) == r"a ~~film~~ **movie**\* \<b\>"


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


def test_distinct_is_the_share_of_different_n_grams():
    assert distinct(["a film", "A film and a film"], 1) == 3 / 7
    assert distinct(["a film", "A film and a film"], 2) == 3 / 5
    assert distinct([], 2) == distinct(["film"], 2) == 0


def test_self_bleu_is_one_for_equal_texts_and_compares_within_a_group_alone():
    same = ["a film to see again"] * 2
    assert self_bleu([same]) == pytest.approx(1)
    assert self_bleu([same, ["nothing here is like the others", "quite another text stands there"]]) < 0.6
    assert self_bleu([["a film"], ["a film"]]) == self_bleu([]) == 0


def test_known_texts_are_told_from_others_by_their_digests():
    known = KnownTexts([("a film",), ("left", "right")])
    assert ("a film",) in known and ("left", "right") in known
    assert ("a film", "") not in known and ("right", "left") not in known and ("leftright",) not in known
    assert len(known) == 2


def test_originals_known_by_digest_are_never_produced_either():
    leaked = {(row["text"],) for row in augment() if row["variant"]}
    assert augment(originals=KnownTexts(leaked)) == augment(originals=leaked)
