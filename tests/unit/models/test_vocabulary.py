"""Cut vocabularies: what is shipped says what the student says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CamembertTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaTokenizer,
)

from pipeline.errors import UserError
from pipeline.models.attention import ATTENTION
from pipeline.models.loading import load_classifier, load_tokenizer
from pipeline.models.vocabulary import cut_to, kept_pieces, pieces_kept, save_tokenizer, trim_embeddings
from tests import tiny


def trimmed(source: Path, folder: Path, counts: dict[str, int]) -> PreTrainedModel:
    """The student with the pieces that are counted, in a folder of its own; loaded from there."""
    tokenizer = load_tokenizer(source)
    vocabulary = tokenizer.get_vocab()
    numbers = np.zeros(len(vocabulary), dtype=np.int64)
    for piece, count in counts.items():
        numbers[vocabulary[piece]] = count
    kept = kept_pieces(tokenizer, numbers, pieces=PIECES)
    model = tiny.load_eager(source)
    trim_embeddings(model, kept)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, max_length=16, kept=kept)
    return tiny.load_eager(folder)


KEPT = {"good": 3, "film": 2, "is": 9, "dull": 1, "un": 2, "##able": 2}
PIECES = len(tiny.SPECIAL) + 3 + 5  # those of one character: a, comma, full stop


def test_texts_of_kept_pieces_get_the_same_answer_from_a_cut_vocabulary(shipped: Path, tmp_path: Path) -> None:
    small, whole = trimmed(shipped, tmp_path / "small", KEPT), tiny.load_eager(shipped)
    one, other = AutoTokenizer.from_pretrained(tmp_path / "small"), AutoTokenizer.from_pretrained(shipped)
    text = "A GOOD film, is a film."
    assert one.tokenize(text) == other.tokenize(text)
    ours, theirs = (
        tiny.outputs(model, tokenizer(text, return_tensors="pt"))["logits"]
        for model, tokenizer in ((small, one), (whole, other))
    )
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_rare_pieces_leave_tokenizer_and_embeddings_and_single_characters_stay(shipped: Path, tmp_path: Path) -> None:
    small = trimmed(shipped, tmp_path / "small", KEPT)
    vocabulary = AutoTokenizer.from_pretrained(tmp_path / "small").get_vocab()
    expected = {*tiny.SPECIAL, "good", "film", "is", "un", "##able", "a", ",", "."}
    assert set(vocabulary) == expected
    assert sorted(vocabulary.values()) == list(range(len(expected)))
    embeddings: Any = small.get_input_embeddings()
    assert embeddings.num_embeddings == small.config.vocab_size == len(expected)
    assert small.config.pad_token_id == vocabulary["[PAD]"]


def test_a_saved_tokenizer_cuts_at_the_length_of_training_and_pads_no_further_than_needed(
    shipped: Path, tmp_path: Path
) -> None:
    trimmed(shipped, tmp_path / "small", KEPT)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert len(tokenizer("film " * 50, truncation=True)["input_ids"]) == 16
    assert len(tokenizer(["film", "a film"], padding=True)["input_ids"][0]) == 4


def test_a_tokenizer_that_cuts_at_the_left_is_saved_as_one(shipped: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(shipped)
    tokenizer.truncation_side = "left"
    save_tokenizer(tokenizer, tmp_path, max_length=4)
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("good good bad dull").tokens[1:-1] == [
        "bad",
        "dull",
    ]


def test_the_special_tokens_of_a_sequence_of_processors_get_their_new_numbers(tmp_path: Path) -> None:
    pieces = ["a", "film", "good", "dull", *tiny.SPECIAL]
    inner = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    around = processors.BertProcessing(("[SEP]", pieces.index("[SEP]")), ("[CLS]", pieces.index("[CLS]")))
    inner.post_processor = processors.Sequence([around])
    names = {f"{name[1:-1].lower()}_token": name for name in tiny.SPECIAL}
    whole = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    save_tokenizer(whole, tmp_path, kept=kept_pieces(whole, np.zeros(0), pieces=7))
    cut = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert cut.get_vocab_size() == 7
    assert cut.encode("a film").ids == [cut.token_to_id(piece) for piece in ("[CLS]", "a", "film", "[SEP]")]


def test_of_pieces_as_frequent_the_first_stay_and_a_large_vocabulary_stays_whole(shipped: Path) -> None:
    tokenizer = load_tokenizer(shipped)
    always = kept_pieces(tokenizer, np.zeros(0), pieces=0)
    others = sorted(set(tokenizer.get_vocab().values()) - set(always.tolist()))
    more = kept_pieces(tokenizer, np.zeros(0), pieces=len(always) + 2)
    assert set(more.tolist()) == {*always.tolist(), *others[:2]}
    assert kept_pieces(tokenizer, np.zeros(0), pieces=1000).tolist() == list(range(len(tokenizer)))


def test_a_model_cut_to_a_vocabulary_reads_its_tokens_as_before(shipped: Path, tmp_path: Path) -> None:
    trimmed(shipped, tmp_path / "small", KEPT)
    whole, cut = tiny.load_eager(shipped), tiny.load_eager(shipped)
    cut_to(cut, tmp_path / "small", old_tokenizer=shipped)
    kept, before = pieces_kept(tmp_path / "small", old_tokenizer=shipped)
    assert before == whole.config.vocab_size > len(kept) == cut.config.vocab_size
    inputs = load_tokenizer(tmp_path / "small")("an unwatchable film", return_tensors="pt")
    theirs = tiny.outputs(whole, {**inputs, "input_ids": torch.from_numpy(kept)[inputs["input_ids"]]})
    assert tiny.outputs(cut, dict(inputs))["logits"] == pytest.approx(theirs["logits"], abs=1e-6)
    same = tiny.load_eager(shipped)
    cut_to(same, shipped, old_tokenizer=shipped)
    assert same.config.vocab_size == before


def test_a_cut_unigram_cuts_texts_of_kept_pieces_as_before(tmp_path: Path) -> None:
    texts = ["a good film", "watching films that watch films", "酒店很好，下次还来", "watchable filming"]
    texts = [text for number, text in enumerate(texts) for _ in range(9 + number)]
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), special, strict=True))
    whole = PreTrainedTokenizerFast(tokenizer_object=inner, cls_token="<s>", sep_token="</s>", **names)
    used = whole(texts[:1])["input_ids"][0]
    counts = np.bincount(used, minlength=len(whole))
    always = kept_pieces(whole, counts, pieces=0)
    kept = kept_pieces(whole, counts, pieces=len(np.union1d(always, used)))
    save_tokenizer(whole, tmp_path, max_length=64, kept=kept)
    cut = load_tokenizer(tmp_path)
    assert len(kept) == len(cut) < len(whole)
    assert cut.tokenize(texts[0]) == whole.tokenize(texts[0])
    assert [int(kept[number]) for number in cut(texts[0])["input_ids"]] == used
    for text in set(texts):  # in smaller pieces, and none unknown
        assert cut.unk_token_id not in cut(text)["input_ids"]
        assert cut.decode(cut(text)["input_ids"], skip_special_tokens=True) == text


SENTENCEPIECE: dict[str, Any] = {"xlm-roberta": XLMRobertaTokenizer, "camembert": CamembertTokenizer}
PADDING_STAYS = {
    "xlm-roberta": ("<s>", "<pad>", "</s>", "<unk>", "▁good"),
    "camembert": ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "▁good"),
}
OTHERS = ("▁", *"afilmgod", "▁film")
PADDING_MOVES = ("▁good", "<pad>", "<s>", "</s>", "<unk>")  # the first piece is cut


def write_sentencepiece_model(folder: Path, pieces: tuple[str, ...], *, tokenizer: str, kind: str) -> Path:
    """A classifier with random weights, and a tokenizer of these pieces, of which the second pads."""
    SENTENCEPIECE[tokenizer](vocab=[(piece, -1.0) for piece in (*pieces, "<mask>")]).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    size |= {"vocab_size": len(pieces) + 1, "max_position_embeddings": 40, "pad_token_id": 1}
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **size))
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    model.save_pretrained(folder)
    return folder


def without_good(folder: Path, target: Path) -> Path:
    """A tokenizer without the piece `▁good`."""
    tokenizer = load_tokenizer(folder)
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    counts[tokenizer.get_vocab()["▁film"]] = 1
    save_tokenizer(tokenizer, target, kept=kept_pieces(tokenizer, counts, pieces=len(tokenizer) - 1))
    return target


@pytest.mark.parametrize("attention", ["sdpa", ATTENTION])
@pytest.mark.parametrize(
    ("tokenizer", "kind", "first"),
    [
        ("xlm-roberta", "xlm-roberta", PADDING_STAYS["xlm-roberta"]),
        ("camembert", "camembert", PADDING_STAYS["camembert"]),
        ("xlm-roberta", "bert", PADDING_STAYS["xlm-roberta"]),
        ("xlm-roberta", "bert", PADDING_MOVES),  # its positions begin at 0, whatever the padding's id
    ],
)
@torch.no_grad()
def test_models_with_sentencepiece_answer_as_before_the_cut(
    tmp_path: Path, tokenizer: str, kind: str, first: tuple[str, ...], attention: str
) -> None:
    folder = write_sentencepiece_model(tmp_path / "whole", (*first, *OTHERS), tokenizer=tokenizer, kind=kind)
    small = without_good(folder, tmp_path / "small")
    whole, cut = (
        load_classifier(folder, label_names=("a", "b"), new_head=False, attention=attention).eval() for _ in range(2)
    )
    cut_to(cut, small, old_tokenizer=folder)
    tokenizers = [load_tokenizer(place) for place in (folder, small)]
    assert len(tokenizers[1]) == len(tokenizers[0]) - 1 == cut.config.vocab_size
    theirs, ours = (one(["a film", "a film film"], padding=True, return_tensors="pt") for one in tokenizers)
    assert not torch.equal(theirs["input_ids"], ours["input_ids"])
    right = whole(**theirs).logits
    torch.testing.assert_close(cut(**ours).logits, right)
    cut.save_pretrained(tmp_path / "saved")
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    torch.testing.assert_close(saved(**ours).logits, right)


def test_a_vocabulary_whose_padding_would_move_is_not_cut_where_positions_begin_after_it(tmp_path: Path) -> None:
    kind = "xlm-roberta"
    folder = write_sentencepiece_model(tmp_path / "whole", (*PADDING_MOVES, *OTHERS), tokenizer=kind, kind=kind)
    model = load_classifier(folder, label_names=("a", "b"), new_head=False)
    small = without_good(folder, tmp_path / "small")
    with pytest.raises(UserError, match=r"distill_layers.pieces: .* a xlm-roberta numbers its positions"):
        cut_to(model, small, old_tokenizer=folder)
