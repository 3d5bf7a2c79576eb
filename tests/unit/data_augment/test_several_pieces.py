"""Candidates for words of several pieces: the beam against a slow loop over all fillings, and what a filling may be."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from data_augment.several_pieces import several_piece_candidates
from data_augment.vocabulary import BEGINS, CONTINUES, IDEOGRAPH, OTHER, kinds_of
from data_augment.words import find_words
from pipeline.data.languages import Languages
from tests.helpers.tiny_masked_lm import propose, spread

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENGLISH = [
    "the",
    "film",
    "un",
    "over",
    "self",
    "well",
    "made",
    "-",
    ".",
    "##watch",
    "##able",
    "##long",
    "##run",
    "overrun",
]
CHINESE = list("酒店宾馆饭很好不错差，的")
VOCAB = [*SPECIAL, *ENGLISH, *CHINESE]
TEXTS = ["the film overlong the film", "the unwatchable film.", "film over the film", "酒店很不错，宾馆的饭很差"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    path: Path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(VOCAB), encoding="utf-8")
    return BertTokenizer(vocab=str(path))


@pytest.fixture(scope="module")
def model() -> BertForMaskedLM:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCAB), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    return spread(BertForMaskedLM(config))


def candidates(texts: list[str], tokenizer: BertTokenizer, model: BertForMaskedLM, **options: Any) -> dict[str, Any]:
    """Word -> its candidates, of texts in which each word stands once."""
    settings: dict[str, Any] = {"k": 50, "beam": 50, "decode_tokens": 64, "precision": "fp32", "mask_share": 0}
    settings |= {"one_word": lambda text, candidate: True, **options}
    spans = [find_words(text, "zh") for text in texts]
    found = several_piece_candidates(texts, spans, model=model, tokenizer=tokenizer, **settings)
    return {texts[index][slice(*span)]: ranked for (index, span), ranked in found.items()}


def slowly(
    text: str, word: str, fillings: list[tuple[str, ...]], tokenizer: Any, model: Any
) -> list[tuple[str, float]]:
    """Every filling put in, each of its pieces masked in turn, one forward pass each."""
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    start = text.index(word)
    inside = [place for place, (first, last) in enumerate(encoded.pop("offset_mapping")[0].tolist())
              if start <= first < last <= start + len(word)]  # fmt: skip
    found = []
    for filling in fillings:
        numbers = tokenizer.convert_tokens_to_ids(list(filling))
        score = 0.0
        for place, number in zip(inside, numbers, strict=True):
            ids = encoded["input_ids"].clone()
            ids[0, inside] = torch.tensor(numbers)
            ids[0, place] = tokenizer.mask_token_id
            with torch.no_grad():
                score += model(input_ids=ids).logits[0, place].log_softmax(-1)[number].item()
        found.append(("".join(piece.removeprefix("##") for piece in filling), score))
    return sorted(found, key=lambda candidate: -candidate[1])


def test_fillings_are_those_of_a_slow_loop_over_all(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    begin, more = [word for word in ENGLISH if word.isalpha()], ["##watch", "##able", "##long", "##run"]
    pairs = [pair for pair in product(begin, more) if pair not in [("over", "##long"), ("over", "##run")]]
    expected = slowly(TEXTS[0], "overlong", pairs, tokenizer, model)  # 'overrun' is a piece of its own
    found = candidates(TEXTS[:1], tokenizer, model)["overlong"]
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)


def test_ideographs_are_filled_by_ideographs(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    letters = [letter for letter in CHINESE if letter != "，"]
    pairs = [pair for pair in product(letters, letters) if pair != ("酒", "店")]
    expected = slowly(TEXTS[3], "酒店", pairs, tokenizer, model)
    found = candidates(TEXTS[3:], tokenizer, model, beam=200, k=200)["酒店"]
    assert [word for word, _ in found] == [word for word, _ in expected]


def test_a_narrow_beam_keeps_so_many(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    whole, narrow = (candidates(TEXTS[3:], tokenizer, model, beam=beam)["酒店"] for beam in (200, 3))
    assert len(narrow) == 3
    assert {word for word, _ in narrow} <= {word for word, _ in whole} | {"酒店"}
    assert [score for _, score in narrow] == sorted((score for _, score in narrow), reverse=True)


def test_words_of_one_piece_are_left_to_one_mask(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    assert set(candidates(TEXTS[:3], tokenizer, model)) == {"overlong", "unwatchable"}


def test_signs_inside_a_word_stay(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    found = candidates(["the well-made film"], tokenizer, model)
    words = {word for word, _ in found["well-made"]}
    assert len(words) == 50 and all(set(word.split("-")) <= set(ENGLISH) and word.count("-") == 1 for word in words)


@pytest.mark.parametrize("mask_share", [0.0, 0.3, 0.9])
def test_other_texts_and_the_size_of_batches_change_no_candidate(
    tokenizer: BertTokenizer, model: BertForMaskedLM, mask_share: float
) -> None:
    options: dict[str, Any] = {"mask_share": mask_share, "beam": 4}
    together = candidates(TEXTS, tokenizer, model, decode_tokens=4096, **options)
    alone = {}
    for text in TEXTS:
        alone |= candidates([text], tokenizer, model, decode_tokens=1, **options)
    assert {word: [new for new, _ in ranked] for word, ranked in together.items()} == {
        word: [new for new, _ in ranked] for word, ranked in alone.items()
    }


def test_several_words_in_a_pass_take_fewer_rows(
    tokenizer: BertTokenizer, model: BertForMaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = model.bert.forward

    def counted(*args: Any, **given: Any) -> Any:
        rows.append(len(given.get("input_ids", args[:1] and args[0])))
        return forward(*args, **given)

    monkeypatch.setattr(model.bert, "forward", counted)
    counts = []
    for share in (0.0, 0.9):
        rows.clear()
        assert set(candidates(TEXTS[3:], tokenizer, model, mask_share=share, beam=4)) == {"酒店", "不错", "宾馆"}
        counts.append(sum(rows))
    assert counts[1] < counts[0] / 2


def test_pieces_have_kinds(tokenizer: BertTokenizer) -> None:
    kinds = kinds_of(tokenizer)
    found = [int(kinds.kind[VOCAB.index(piece)]) for piece in ("film", "##able", "酒", "-", "，", "[MASK]")]
    assert found == [BEGINS, CONTINUES, IDEOGRAPH, OTHER, OTHER, OTHER]
    assert kinds.text[VOCAB.index("##able")] == "able"


def test_a_filling_is_one_word_of_its_language(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    chinese = Languages(("zh",), guessed=False)
    rows = propose(TEXTS[3:], tokenizer, model, languages=chinese, several_pieces="masked_lm", k=20, beam=20)
    found = {row["word"]: row["candidates"] for row in rows}
    assert {"酒店", "宾馆"} <= found.keys()
    assert "饭店" in found["酒店"] and "差差" not in found["酒店"]


def test_both_takes_the_masked_lm_for_words_without_a_vector(tokenizer: BertTokenizer, model: BertForMaskedLM) -> None:
    from data_augment.vectors import WordVectors

    vectors = WordVectors(["overlong", "overrun", "film"], torch.eye(3).numpy())
    sources = {}
    for mode in ("vectors", "both", "masked_lm"):
        rows = propose(["film overlong unwatchable"], tokenizer, model, vectors=vectors, several_pieces=mode)
        sources[mode] = {row["word"]: row["source"] for row in rows}
    assert sources == {
        "vectors": {"film": "masked_lm", "overlong": "vectors"},
        "both": {"film": "masked_lm", "overlong": "vectors", "unwatchable": "masked_lm"},
        "masked_lm": {"film": "masked_lm", "overlong": "masked_lm", "unwatchable": "masked_lm"},
    }
