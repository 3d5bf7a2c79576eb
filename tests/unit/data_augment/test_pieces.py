"""Where the words of a text stand among its tokens, and how much of a text a masked LM reads."""

import pytest
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from data_augment.pieces import located, longest_input
from pipeline.errors import UserError
from tests.helpers.tiny_masked_lm import SMALL, byte_level, propose


def test_a_text_is_cut_at_the_tokenizers_limit(tokenizer, model):
    tokenizer.model_max_length = 5
    rows = propose(["film film film film film"], tokenizer, model)
    assert [row["start"] for row in rows] == [0, 5, 10]


def test_the_tokens_of_a_long_text_are_all_located(tokenizer):
    ((encoded, places),) = located(["film " * 20_000], tokenizer=tokenizer, longest=5000)
    assert len(encoded.ids) == 5000 and places[4998] == (24985, 24989)


def test_a_word_cut_in_the_middle_is_not_one_piece(tokenizer, model):
    tokenizer.model_max_length = 5
    assert propose(["a a films"], tokenizer, model) == []


def test_the_positions_that_roberta_reserves_for_padding_do_not_count():
    model = RobertaForMaskedLM(RobertaConfig(**SMALL, pad_token_id=1))
    assert longest_input(model, PreTrainedTokenizerFast(tokenizer_object=byte_level()._tokenizer)) == 30


def test_a_tokenizer_without_a_mask_is_an_error(model):
    plain = PreTrainedTokenizerFast(tokenizer_object=byte_level()._tokenizer)
    with pytest.raises(UserError, match="no mask token"):
        propose(["a film"], plain, model)
