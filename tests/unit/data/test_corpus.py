"""From documents to blocks, from blocks to shards and back."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from pipeline.data.corpus import Corpus, blocks_of, is_held_out, join_corpora, write_shards
from pipeline.errors import UserError

CLS, SEP = 1, 2


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """A word a token: 'w0' is 4, 'w1' is 5, ..."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(100))]
    model = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=model, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )


def words(first: int, count: int) -> str:
    return " ".join(f"w{i}" for i in range(first, first + count))


def test_blocks_never_cross_documents(tokenizer: PreTrainedTokenizerFast) -> None:
    blocks = list(blocks_of([words(0, 36), words(50, 15)], tokenizer, length=20))
    assert [block.tolist() for block in blocks] == [
        [CLS, *range(4, 22), SEP],
        [CLS, *range(22, 40), SEP],
        [CLS, *range(54, 69), SEP],
    ]


def test_a_tail_under_sixteen_tokens_is_dropped(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [words(0, 30 + 14), words(0, 30 + 13), words(0, 13)]
    assert [len(block) for block in blocks_of(texts, tokenizer, length=32)] == [32, 16, 32]


def test_documents_without_a_block_are_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    left_out: Counter[str] = Counter()
    texts = [words(0, 14), words(0, 13), words(0, 5), words(0, 30 + 5)]
    assert len(list(blocks_of(texts, tokenizer, length=32, left_out=left_out))) == 2
    assert left_out["short"] == 2


def test_a_special_token_in_the_text_is_only_text(tokenizer: PreTrainedTokenizerFast) -> None:
    (block,) = blocks_of(["w0 [SEP] " + words(1, 20)], tokenizer, length=32)
    assert np.count_nonzero(block == SEP) == 1


def test_a_special_token_that_is_a_piece_of_a_unigram_is_unknown_in_a_text() -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁see", "▁", "here", "▁w"]
    inner = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    named = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **named)
    (block,) = blocks_of(["see</s>here " * 5], tokenizer, length=32)
    assert [np.count_nonzero(block == number) for number in (0, 1, 2)] == [1, 0, 1]
    assert np.count_nonzero(block == 3) == 5


def test_documents_are_read_as_blocks_are_taken(tokenizer: PreTrainedTokenizerFast) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "w0 " * 300_000

    assert next(blocks_of(endless(), tokenizer, length=32)).tolist() == [CLS, *[4] * 30, SEP]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_shards_give_back_every_block(tmp_path: Path, vocab_size: int, dtype: type) -> None:
    random = np.random.default_rng(0)
    blocks = [random.integers(vocab_size, size=length) for length in random.integers(16, 33, size=10)]
    write_shards(iter(blocks), tmp_path, shard_blocks=4, vocab_size=vocab_size)
    corpus = Corpus(tmp_path)
    assert len(list(tmp_path.glob("tokens-*.npy"))) == 3
    assert np.load(tmp_path / "tokens-00000.npy").dtype == dtype
    assert len(corpus) == 10
    assert corpus.lengths.tolist() == [len(block) for block in blocks]
    assert all(np.array_equal(corpus[i], block) and corpus[i].dtype == np.int64 for i, block in enumerate(blocks))
    with pytest.raises(IndexError):
        corpus[10]


def test_the_same_blocks_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_shards((np.arange(16 + i) for i in range(5)), tmp_path / folder, shard_blocks=2, vocab_size=100)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("a", "b")]
    assert len(contents[0]) == 6
    assert contents[0] == contents[1]


def test_corpora_are_joined_in_their_order(tmp_path: Path) -> None:
    blocks = [np.full(16 + number, number) for number in range(5)]
    write_shards(blocks[:3], tmp_path / "first", shard_blocks=2, vocab_size=9)
    write_shards([], tmp_path / "empty", shard_blocks=2, vocab_size=9)
    write_shards(blocks[3:], tmp_path / "last", shard_blocks=2, vocab_size=9)
    (tmp_path / "whole").mkdir()
    assert not join_corpora([tmp_path / "empty"], tmp_path / "whole")
    assert join_corpora([tmp_path / name for name in ("first", "empty", "last")], tmp_path / "whole")
    assert [block.tolist() for block in Corpus(tmp_path / "whole")] == [block.tolist() for block in blocks]


def test_a_folder_without_blocks_is_no_corpus(tmp_path: Path) -> None:
    write_shards([], tmp_path, shard_blocks=4, vocab_size=100)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="holds no corpus"):
        Corpus(tmp_path)


def test_a_share_of_the_documents_is_held_out_and_copies_stay_together() -> None:
    documents = [words(number, 3) for number in range(2000)]
    held_out = [is_held_out(document, 0.1) for document in documents]
    assert 150 < sum(held_out) < 250
    assert held_out == [is_held_out(document, 0.1) for document in documents]
    assert not any(is_held_out(document, 0.0) for document in documents)
    assert all(is_held_out(document, 0.3) for document, out in zip(documents, held_out, strict=True) if out)
