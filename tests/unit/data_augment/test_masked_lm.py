"""What is proposed for a word: the batched masked LM against a literal loop, and what may never be proposed."""

import itertools

import numpy as np
import pytest
import torch

from data_augment.masked_lm import masked_copies, masked_lm_candidates
from data_augment.pieces import Encoded, SinglePiece, single_pieces
from data_augment.words import drawn_words, replaceable_words
from tests.helpers.tiny_masked_lm import (
    TEXTS,
    VOCAB,
    WORDS,
    literal,
    propose,
)


def test_batched_candidates_are_those_of_one_mask_at_a_time(tokenizer, model):
    rows = propose(TEXTS, tokenizer, model)
    assert len(rows) == sum(len(replaceable_words(text)) for text in TEXTS)
    for row in rows:
        assert row["candidates"] == literal(row["text"], (row["start"], row["end"]), tokenizer, model, 5)


def test_in_context_pair_the_unmasked_text_is_the_second_segment(tokenizer, model):
    rows = propose(TEXTS[1:3], tokenizer, model, context="pair")
    for row in rows:
        span = row["start"], row["end"]
        assert row["candidates"] == literal(row["text"], span, tokenizer, model, 5, second=row["text"])
    assert [row["scores"] for row in rows] != [row["scores"] for row in propose(TEXTS[1:3], tokenizer, model)]


def test_words_masked_in_one_copy_are_proposed_as_by_a_literal_pass_with_the_same_masks(tokenizer, model):
    text = TEXTS[3]
    spans = replaceable_words(text)
    rows = propose([text], tokenizer, model, mask_share=0.15)  # 16 tokens: two of the 8 words in each of 4 copies
    assert len(rows) == len(spans) == 8
    for number, row in enumerate(rows):
        beside = [spans[other] for other in range(number % 4, 8, 4) if other != number]
        assert row["candidates"] == literal(text, spans[number], tokenizer, model, 5, beside=beside)
    assert rows != propose([text], tokenizer, model)


@pytest.mark.parametrize(("share", "copies"), [(0, 9), (0.1, 5), (0.15, 3), (0.99, 2)])
def test_a_copy_has_a_share_of_its_tokens_masked_and_no_two_words_that_follow_each_other(share, copies):
    encoded = [Encoded(list(range(20)), None, 20), Encoded([0, 1, 2], None, 3)]
    pieces = [SinglePiece(0, (place, place + 1), place) for place in range(9)] + [SinglePiece(1, (0, 1), 1)]
    *first, second = masked_copies(pieces, encoded, share)
    assert len(first) == copies
    assert sorted(piece for copy in first for piece in copy) == pieces[:9]
    assert all(b.position - a.position > 1 for copy in first for a, b in itertools.pairwise(copy))
    assert second == pieces[9:]


@pytest.mark.parametrize(("places", "copies"), [((1, 3, 5), 1), ((1, 3, 4), 2)])
def test_words_that_fit_into_one_copy_share_it_unless_two_follow_each_other(places, copies):
    pieces = [SinglePiece(0, (place, place + 1), place) for place in places]
    assert len(masked_copies(pieces, [Encoded(list(range(20)), None, 20)], 0.15)) == copies


def test_the_unmasked_text_behind_a_text_does_not_count_for_the_share(tokenizer, model):
    spans = [replaceable_words(TEXTS[3])]
    shares = []
    for context in ("single", "pair"):
        encoded, pieces = single_pieces([TEXTS[3]], spans, tokenizer=tokenizer, longest=99, context=context)
        shares.append([[word.span for word in copy] for copy in masked_copies(pieces, encoded, 0.15)])
    assert shares[0] == shares[1] and len(shares[0]) == 4


def test_words_that_are_not_drawn_get_no_candidates(tokenizer, model):
    some = propose(TEXTS, tokenizer, model, word_share=0.5)
    spans = [(text, *span) for text in TEXTS for span in drawn_words(text, replaceable_words(text), 0.5)]
    assert [(row["text"], row["start"], row["end"]) for row in some] == spans
    assert 0 < len(some) < len(propose(TEXTS, tokenizer, model))


def test_where_a_pair_is_too_long_the_unmasked_text_is_cut_first(tokenizer, model, vectors):
    rows = propose([" ".join(["film"] * 20)], tokenizer, model, vectors=vectors, context="pair")
    assert [row["source"] for row in rows] == ["masked_lm"] * 20
    rows = propose([" ".join(["film"] * 40)], tokenizer, model, vectors=vectors, context="pair")
    assert [row["source"] for row in rows] == ["masked_lm"] * 30 + ["vectors"] * 10


def test_other_texts_and_the_batch_size_change_no_candidate(tokenizer, model):
    alone = [row for text in TEXTS for row in propose([text], tokenizer, model, decode_tokens=1)]
    together = propose(TEXTS, tokenizer, model, decode_tokens=4096)
    assert [row["candidates"] for row in together] == [row["candidates"] for row in alone]
    assert [row["scores"] for row in together] == [pytest.approx(row["scores"], abs=1e-4) for row in alone]


def test_scores_are_log_probabilities_best_first(tokenizer, model):
    rows = propose(TEXTS, tokenizer, model, k=50)
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in rows)
    assert all(0 < np.exp(row["scores"]).sum() <= 1 for row in rows)


def test_a_row_says_where_its_word_stands(tokenizer, model):
    rows = propose(TEXTS, tokenizer, model)
    assert all(row["text"][row["start"] : row["end"]] == row["word"] for row in rows)
    assert {row["source"] for row in rows} == {"masked_lm"}


def test_special_tokens_pieces_punctuation_and_the_word_itself_are_never_proposed(tokenizer, model):
    rows = propose(TEXTS, tokenizer, model, k=len(VOCAB))
    for row in rows:
        assert set(row["candidates"]) <= {"the", "a", "is", "and", *WORDS.split(), "Film", "cafe"}
        assert row["word"].lower() not in [candidate.lower() for candidate in row["candidates"]]


def test_a_word_whose_accents_the_tokenizer_strips_is_not_proposed_for_itself(tokenizer, model):
    [row] = propose(["the café"], tokenizer, model, k=len(VOCAB))
    assert "cafe" not in row["candidates"]


def test_equal_scores_go_by_id(tokenizer, model):
    for parameter in model.cls.parameters():
        torch.nn.init.zeros_(parameter)
    [row] = propose(["a film"], tokenizer, model, k=4)
    assert row["candidates"] == ["the", "a", "is", "and"]


def test_bf16_proposes_nearly_the_same_words(tokenizer, model):
    options = {"model": model, "tokenizer": tokenizer, "k": 5, "decode_tokens": 64}
    options |= {"context": "single", "mask_share": 0}
    spans = [replaceable_words(text) for text in TEXTS]
    exact = masked_lm_candidates(TEXTS, spans, precision="fp32", **options)
    rough = masked_lm_candidates(TEXTS, spans, precision="bf16", **options)
    agree = [len({w for w, _ in exact[place]} & {w for w, _ in rough[place]}) / 5 for place in exact]
    assert np.mean(agree) > 0.8
