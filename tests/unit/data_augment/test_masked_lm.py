"""What is proposed for a word: the batched masked LM against a literal loop, and what may never be proposed."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from data_augment.masked_lm import masked_copies, masked_lm_candidates
from data_augment.pieces import BEGINS, CONTINUES, Encoded, SinglePiece, kinds_of, longest_input, proposable
from data_augment.vectors import WordVectors
from data_augment.words import drawn_words, find_words, replaceable_words
from pipeline.errors import UserError
from pipeline.models.loading import separate_head
from tests.helpers.tiny_masked_lm import BERT, SIZE, TEXTS, VOCAB, WORDS, load_model, load_tokenizer, propose, spread


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    return load_tokenizer(tmp_path)


@pytest.fixture
def model() -> BertForMaskedLM:
    return load_model()


def literal(
    text: str, span: tuple[int, int], tokenizer, model, k: int, *, second: str | None = None, beside: Sequence = ()
) -> list[str]:
    """Algorithm 1 to the letter: one word masked, one forward pass, all logits, the K best words.

    beside: spans of words that are masked too.
    """
    encoded = tokenizer(text, second, return_offsets_mapping=True, return_tensors="pt")
    offsets = [tuple(offsets) for offsets in encoded.pop("offset_mapping")[0].tolist()]
    position = offsets.index(span)
    for masked in (span, *beside):
        encoded["input_ids"][0, offsets.index(masked)] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(**encoded).logits[0, position]
    allowed = [i for i, token in enumerate(VOCAB) if token.isalpha() and token.lower() != text[slice(*span)].lower()]
    return [VOCAB[i] for i in sorted(allowed, key=lambda i: (-logits[i].item(), i))[:k]]


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
    encoded = [Encoded(list(range(20)), None), Encoded([0, 1, 2], None)]
    pieces = [SinglePiece(0, (place, place + 1), place) for place in range(9)] + [SinglePiece(1, (0, 1), 1)]
    *first, second = masked_copies(pieces, encoded, share)
    assert len(first) == copies
    assert sorted(piece for copy in first for piece in copy) == pieces[:9]
    assert all(b.position - a.position > 1 for copy in first for a, b in itertools.pairwise(copy))
    assert second == pieces[9:]


@pytest.mark.parametrize(("places", "copies"), [((1, 3, 5), 1), ((1, 3, 4), 2)])
def test_words_that_fit_into_one_copy_share_it_unless_two_follow_each_other(places, copies):
    pieces = [SinglePiece(0, (place, place + 1), place) for place in places]
    assert len(masked_copies(pieces, [Encoded(list(range(20)), None)], 0.15)) == copies


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


def test_many_masks_go_through_the_head_in_parts(tokenizer, model, monkeypatch):
    whole = propose(TEXTS, tokenizer, model, decode_tokens=4096)
    monkeypatch.setattr("data_augment.mask_predictor.HEAD_POSITIONS", 2)
    parts = propose(TEXTS, tokenizer, model, decode_tokens=4096)
    assert [row["candidates"] for row in parts] == [row["candidates"] for row in whole]


def test_bf16_proposes_nearly_the_same_words(tokenizer, model):
    options = {"model": model, "tokenizer": tokenizer, "k": 5, "decode_tokens": 64}
    spans = [replaceable_words(text) for text in TEXTS]
    exact = masked_lm_candidates(TEXTS, spans, precision="fp32", **options)
    rough = masked_lm_candidates(TEXTS, spans, precision="bf16", **options)
    agree = [len({w for w, _ in exact[place]} & {w for w, _ in rough[place]}) / 5 for place in exact]
    assert np.mean(agree) > 0.8


SMALL: dict[str, Any] = {**SIZE, "intermediate_size": 64, "max_position_embeddings": 32}
MODELS = [
    (BertForMaskedLM, BERT, True),
    (RobertaForMaskedLM, RobertaConfig(**SMALL, pad_token_id=0), True),
    (AlbertForMaskedLM, AlbertConfig(**SMALL, embedding_size=16), True),
    (ElectraForMaskedLM, ElectraConfig(**SMALL, embedding_size=16), False),
    (
        DistilBertForMaskedLM,
        DistilBertConfig(vocab_size=len(VOCAB), dim=32, n_layers=2, n_heads=2, hidden_dim=64),
        False,
    ),
]


@pytest.mark.parametrize(("kind", "config", "separate"), MODELS, ids=lambda value: getattr(value, "__name__", None))
def test_the_head_on_masked_positions_gives_the_models_own_candidates(tokenizer, kind, config, separate):
    torch.manual_seed(0)
    model = spread(kind(config))
    assert (separate_head(model) is not None) == separate
    for row in propose(TEXTS, tokenizer, model):
        assert row["candidates"] == literal(row["text"], (row["start"], row["end"]), tokenizer, model, 5)


def test_a_model_that_changes_its_logits_after_the_head_is_run_whole(tokenizer):
    class Scaled(BertForMaskedLM):
        def forward(self, *args, **kwargs):
            outputs: Any = super().forward(*args, **kwargs)
            outputs.logits = -outputs.logits
            return outputs

    torch.manual_seed(0)
    model = spread(Scaled(BERT))
    for row in propose(TEXTS, tokenizer, model):
        assert row["candidates"] == literal(row["text"], (row["start"], row["end"]), tokenizer, model, 5)


# --- words that are not one known piece, and long texts


@pytest.fixture
def vectors() -> WordVectors:
    words = ["films", "slowly", "stories", "zyx", "films-like", "movie", "film"]
    table = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    return WordVectors(words, table / np.linalg.norm(table, axis=1, keepdims=True))


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


def test_a_text_is_cut_at_the_tokenizers_limit(tokenizer, model):
    tokenizer.model_max_length = 5
    rows = propose(["film film film film film"], tokenizer, model)
    assert [row["start"] for row in rows] == [0, 5, 10]


def test_a_word_cut_in_the_middle_is_not_one_piece(tokenizer, model):
    tokenizer.model_max_length = 5
    assert propose(["a a films"], tokenizer, model) == []


def test_the_positions_that_roberta_reserves_for_padding_do_not_count():
    model = RobertaForMaskedLM(RobertaConfig(**SMALL, pad_token_id=1))
    assert longest_input(model, PreTrainedTokenizerFast(tokenizer_object=byte_level()._tokenizer)) == 30


def test_kept_and_stop_words_have_no_row(tokenizer, model):
    rows = propose(["the slow film"], tokenizer, model, protect=re.compile("fi.*"))
    assert [row["word"] for row in rows] == ["slow"]


def test_texts_without_words_give_an_empty_table(tokenizer, model):
    assert propose(["...", "", "the"], tokenizer, model) == propose([], tokenizer, model) == []


def test_a_tokenizer_without_a_mask_is_an_error(model):
    plain = PreTrainedTokenizerFast(tokenizer_object=byte_level()._tokenizer)
    with pytest.raises(UserError, match="no mask token"):
        propose(["a film"], plain, model)


# --- other tokenizers


def test_a_cased_tokenizer_proposes_words_in_both_cases(model):
    cased = BertTokenizer(vocab={token: i for i, token in enumerate(VOCAB)}, do_lower_case=False)
    rows = propose(["Film", "film", "Movie"], cased, model, k=50)
    assert [row["word"] for row in rows] == ["Film", "film"]  # 'Movie' is no piece of it
    assert all(not {"Film", "film"} & set(row["candidates"]) for row in rows)


def byte_level(**options) -> ByteLevelBPETokenizer:
    trained = ByteLevelBPETokenizer(**options)
    trained.train_from_iterator([" slow film, sad film, slow drama"] * 9, vocab_size=300, show_progress=False)
    return trained


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_a_byte_level_tokenizer_proposes_whole_words_without_their_blank(trim_offsets: bool):
    inner = byte_level(trim_offsets=trim_offsets)
    inner.add_special_tokens(["<mask>", "<unk>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, mask_token="<mask>", unk_token="<unk>")
    torch.manual_seed(0)
    model = spread(BertForMaskedLM(BertConfig(**{**SMALL, "vocab_size": len(tokenizer)})))
    text = "see the sad film (slow) 日 drama"
    rows = propose([text], tokenizer, model, k=50)
    assert {"film", "slow", "sad", "drama"} <= set(proposable(tokenizer).words)
    assert all(word.isalpha() for word in proposable(tokenizer).words)
    assert [row["word"] for row in rows if row["source"] == "masked_lm"] == ["sad", "film", "drama"]
    assert all(row["word"] not in row["candidates"] for row in rows)
    assert "日" in [text[start:end] for start, end in find_words(text)]  # three tokens of one character: not one piece


def trained(model: Any, trainer: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of words between blanks."""
    inner = Tokenizer(model)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.train_from_iterator(["slow film, sad film, slow drama"] * 9, trainer)
    inner.decoder = decoders.BPEDecoder(suffix="</w>") if isinstance(model, BPE) else None
    return PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="<mask>", unk_token="<unk>")


SPECIAL = {"special_tokens": ["<unk>", "<mask>"], "vocab_size": 200, "show_progress": False}


def test_a_tokenizer_that_marks_where_words_end_proposes_whole_words():
    tokenizer = trained(
        BPE(unk_token="<unk>", end_of_word_suffix="</w>"), BpeTrainer(end_of_word_suffix="</w>", **SPECIAL)
    )
    words = proposable(tokenizer).words
    assert {"film", "slow", "sad", "drama"} <= set(words) and "sl" not in words
    with pytest.raises(UserError, match=r"several_pieces: the tokenizer .* does not mark where words begin"):
        kinds_of(tokenizer)
    model = spread(BertForMaskedLM(BertConfig(**{**SMALL, "vocab_size": len(tokenizer)})))
    rows = propose(["see the sad film"], tokenizer, model, k=3)
    assert [row["word"] for row in rows if row["source"] == "masked_lm"] == ["sad", "film"]


def test_every_piece_of_a_vocabulary_of_words_is_a_whole_word():
    tokenizer = trained(WordLevel(unk_token="<unk>"), WordLevelTrainer(**SPECIAL))
    assert set(proposable(tokenizer).words) == {"film", "slow", "sad", "drama"}
    assert BEGINS in kinds_of(tokenizer).kind and CONTINUES not in kinds_of(tokenizer).kind


def test_a_tokenizer_that_marks_no_words_is_one_sentence():
    tokenizer = trained(BPE(unk_token="<unk>"), BpeTrainer(**SPECIAL))
    with pytest.raises(UserError, match="marks neither where words begin nor where they end"):
        proposable(tokenizer)
