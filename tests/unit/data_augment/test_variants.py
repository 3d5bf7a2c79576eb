"""Variants of texts, and the rows made of them."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_augment.variants import KnownTexts, count_occurrences, sample_variant
from tests.helpers.tiny_variants import CANDIDATES, MANY, MANY_CANDIDATES, PAIRS, ROWS, TEXT, augment


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
        "from data_augment.variants import sample_variant\n"
        f"print(sample_variant({MANY!r}, {[tuple(c) for c in MANY_CANDIDATES]!r}, "
        "seed=1, occurrence=0, column='text', variant=1, p=0.5)[0])"
    )
    root = Path(__file__).parents[3]
    there = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == variant_of(MANY, MANY_CANDIDATES)[0]


# --- rows


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


def test_occurrences_count_how_often_a_text_stood_in_its_column_before():
    rows = [("a", "b"), ("b", "a"), ("a", "b"), ("a", "c")]
    assert count_occurrences(rows, columns=2).tolist() == [[0, 0], [0, 0], [1, 1], [2, 0]]
    assert count_occurrences([("a", "a")], columns=2).tolist() == [[0, 0]]


def known_texts(texts: set[tuple[str, ...]]) -> KnownTexts:
    known = KnownTexts()
    for each in texts:
        known.add(each)
    return known


def test_known_texts_are_told_from_others_by_their_digests():
    known = known_texts({("a film",), ("left", "right")})
    assert ("a film",) in known and ("left", "right") in known
    assert ("a film", "") not in known and ("right", "left") not in known and ("leftright",) not in known


def test_originals_known_by_digest_are_never_produced_either():
    leaked = {(row["text"],) for row in augment() if row["variant"]}
    assert augment(originals=known_texts(leaked)) == augment(originals=leaked)
