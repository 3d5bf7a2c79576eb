"""Which words get candidates, and from where: the masked LM or the vectors."""

from tests.helpers.tiny_masked_lm import propose


def test_words_of_several_or_unknown_pieces_come_from_the_vectors(tokenizer, model, vectors):
    rows = propose(["a slow films zyx"], tokenizer, model, vectors=vectors)
    assert [(row["word"], row["source"]) for row in rows] == [
        ("slow", "masked_lm"),
        ("films", "vectors"),
        ("zyx", "vectors"),
    ]
    assert rows[1]["candidates"] == [word for word, _ in vectors.neighbours(["films"], 5)[0]]


def test_a_word_for_which_nothing_is_proposed_has_no_row(tokenizer, model, vectors):
    assert [row["word"] for row in propose(["a slow qqq films"], tokenizer, model)] == ["slow"]
    assert [row["word"] for row in propose(["a slow qqq films"], tokenizer, model, vectors=vectors)] == [
        "slow",
        "films",
    ]


def test_words_beyond_the_models_positions_come_from_the_vectors(tokenizer, model, vectors):
    rows = propose([" ".join(["film"] * 40)], tokenizer, model, vectors=vectors)
    assert [row["source"] for row in rows] == ["masked_lm"] * 30 + ["vectors"] * 10


def test_kept_and_stop_words_have_no_row(tokenizer, model):
    rows = propose(["the slow film"], tokenizer, model, protect="fi.*")
    assert [row["word"] for row in rows] == ["slow"]


def test_texts_without_words_give_an_empty_table(tokenizer, model):
    assert propose(["...", "", "the"], tokenizer, model) == propose([], tokenizer, model) == []
