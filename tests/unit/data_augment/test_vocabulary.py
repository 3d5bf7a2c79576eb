"""Which pieces of a vocabulary are whole words, and which continue a word."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, PreTrainedTokenizerFast

from data_augment.vocabulary import BEGINS, CONTINUES, kinds_of, proposable
from data_augment.words import find_words
from pipeline.errors import UserError
from tests.helpers.tiny_masked_lm import SMALL, VOCAB, byte_level, propose, spread


def test_a_cased_tokenizer_proposes_words_in_both_cases(model):
    cased = BertTokenizer(vocab={token: i for i, token in enumerate(VOCAB)}, do_lower_case=False)
    rows = propose(["Film", "film", "Movie"], cased, model, k=50)
    assert [row["word"] for row in rows] == ["Film", "film"]  # 'Movie' is no piece of it
    assert all(not {"Film", "film"} & set(row["candidates"]) for row in rows)


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
