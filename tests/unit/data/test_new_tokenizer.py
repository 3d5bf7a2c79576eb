"""A tokenizer made from texts: BERT's own, every frequent character in it, the same from the same texts."""

import random
from pathlib import Path

import pytest

from pipeline.data.new_tokenizer import SPECIAL, write_tokenizer
from pipeline.models.loading import load_tokenizer

TEXTS = ["这家酒店很好，下次还来！", "The unwatchable film, overlong.", "酒店的服务很好 café", "The film was fine."] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(lambda: TEXTS, folder, pieces=200)
    return folder


def test_transformers_loads_it(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    found = tokenizer("The film", "酒店")
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == ["[CLS]", "The", "film", "[SEP]", "酒", "店", "[SEP]"]
    assert found["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert set(tokenizer.all_special_tokens) == set(SPECIAL.values())
    assert (tokenizer.pad_token_id, tokenizer.mask_token) == (0, "[MASK]")
    assert tokenizer.decode(tokenizer("overlong")["input_ids"], skip_special_tokens=True) == "overlong"


def test_every_character_of_the_texts_is_known(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert all(tokenizer.unk_token_id not in tokenizer(text)["input_ids"] for text in TEXTS)
    assert tokenizer.tokenize("鬱") == ["[UNK]"]


def test_the_order_of_the_texts_changes_no_byte(folder: Path, tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(TEXTS, len(TEXTS))
    write_tokenizer(lambda: shuffled, tmp_path, pieces=200)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_it_has_about_as_many_pieces_as_asked_for(tmp_path: Path) -> None:
    write_tokenizer(lambda: TEXTS, tmp_path, pieces=80)
    assert len(load_tokenizer(tmp_path)) == 80
