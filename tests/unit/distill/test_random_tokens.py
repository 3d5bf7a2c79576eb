"""Random tokens: which, how many, and the same ones in every process."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.distill.random_tokens import RandomTokens
from pipeline.models.loading import load_tokenizer
from tests import tiny


@pytest.fixture
def random_tokens(tmp_path: Path) -> RandomTokens:
    tiny.write_model(tmp_path)
    return RandomTokens(load_tokenizer(tmp_path), share=0.25, seed=1)


def text(random_tokens: RandomTokens, length: int = 4000) -> np.ndarray:
    """[CLS], the same ordinary token again and again, [SEP]."""
    cls, sep = np.flatnonzero(random_tokens.is_special)[[2, 3]]
    return np.array([cls, *[random_tokens.ordinary[0]] * (length - 2), sep])


def test_a_share_of_the_tokens_is_replaced_by_any_others_but_special_ones(random_tokens: RandomTokens) -> None:
    ids = text(random_tokens)
    found = random_tokens.replaced(ids, row=0, epoch=0)
    assert (found[0], found[-1]) == (ids[0], ids[-1])
    assert not random_tokens.is_special[found[1:-1]].any()
    assert np.mean(found != ids) == pytest.approx(0.25, abs=0.03)
    assert set(found[1:-1]) == set(random_tokens.ordinary)


def test_every_ordinary_piece_may_be_read(random_tokens: RandomTokens) -> None:
    cls = np.flatnonzero(random_tokens.is_special)[2]
    counts = np.zeros(len(random_tokens.is_special) - 3, dtype=np.int64)
    counts[[cls, random_tokens.ordinary[0]]] = 7, 4
    read = random_tokens.read_counts(counts)
    assert (read[cls], read[random_tokens.ordinary[0]]) == (7, 5)
    assert set(np.flatnonzero(read)) == {cls, *random_tokens.ordinary}


def test_a_row_has_the_same_tokens_wherever_it_is_read_and_others_in_each_epoch(random_tokens: RandomTokens) -> None:
    ids = text(random_tokens, 40)
    columns = {"input_ids": [ids.tolist(), ids.tolist()], "token_type_ids": [[0] * 40, [0] * 40]}
    both = random_tokens.put_into(columns, np.array([5, 7]), 2)
    assert both["token_type_ids"] is columns["token_type_ids"]
    assert np.array_equal(both["input_ids"][1], random_tokens.replaced(ids, row=7, epoch=2))
    assert not np.array_equal(both["input_ids"][0], both["input_ids"][1])
    assert not np.array_equal(both["input_ids"][1], random_tokens.replaced(ids, row=7, epoch=3))
