"""The corpus: documents cut into blocks of tokens, kept in memory-mapped shards.

For each shard a corpus folder holds `tokens-00000.npy` (the tokens of all its blocks, one after the other; uint16 where
the vocabulary allows, else uint32) and `lengths-00000.npy` (int32, the tokens of each block). Its folder
`held_out`, where there is one, is a corpus of its own, of documents that no stage trains on.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.atomic import link_or_copy
from pipeline.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZER = "tokenizer"  # the folder of one that was made from the texts
HELD_OUT_FOLDER = "held_out"  # the folder of the blocks that measure
SHORTEST = 16  # tokens of a block
BATCH_CHARACTERS = 1_000_000  # tokenised at once: enough for all cores, and it fits in memory
OPEN_SHARDS = 256  # each holds a file descriptor; the usual limit is 1024


def blocks_of(
    documents: Iterable[str],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    length: int,
    left_out: Counter[str] | None = None,
) -> Iterator[np.ndarray]:
    """Cut documents into blocks of [CLS] tokens [SEP]; a block never crosses documents.

    Text that looks like a special token ('[SEP]') is tokenised as ordinary text, or as the unknown token. A document's
    tail (or a whole document) of fewer than SHORTEST tokens is dropped.

    Args: left_out: counts, as `short`, the documents that are dropped.
    Yields: int64 arrays of SHORTEST to `length` tokens, special tokens included.
    """
    for tokens in _tokenised(documents, tokenizer):
        if left_out is not None:
            left_out["short"] += len(tokens) + 2 < SHORTEST
        for start in range(0, len(tokens), length - 2):
            piece = tokens[start : start + length - 2]
            if len(piece) + 2 >= SHORTEST:
                yield np.array([tokenizer.cls_token_id, *piece, tokenizer.sep_token_id], dtype=np.int64)


def causal_blocks_of(
    documents: Iterable[str],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    length: int,
    left_out: Counter[str] | None = None,
) -> Iterator[np.ndarray]:
    """Cut documents into blocks for a decoder: a token that begins a text, then tokens; the last block ends with [EOS].

    Each token of the text is predicted once, the first of a block from the token that begins it. Otherwise as
    `blocks_of`. Raises: UserError where the tokenizer has neither a token that begins a text nor one that ends it.
    """
    begin, end = begin_token(tokenizer), tokenizer.eos_token_id
    for tokens in _tokenised(documents, tokenizer):
        ended = tokens if end is None else [*tokens, end]
        if left_out is not None:
            left_out["short"] += len(ended) + 1 < SHORTEST
        for start in range(0, len(ended), length - 1):
            piece = ended[start : start + length - 1]
            if len(piece) + 1 >= SHORTEST:
                yield np.array([begin, *piece], dtype=np.int64)


def begin_token(tokenizer: "PreTrainedTokenizerFast") -> int:
    """What a decoder reads before a text: the token that begins one, or as in GPT-2 the one that ends the text before.

    Raises: UserError where there is none.
    """
    found = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    begin = next((number for number in found if isinstance(number, int)), None)
    require(
        begin is not None, f"{tokenizer.name_or_path}: the tokenizer of a decoder needs a bos_token or an eos_token"
    )
    assert begin is not None
    return begin


def text_bytes(tokenizer: "PreTrainedTokenizerFast", ids: np.ndarray) -> int:
    """Bytes in UTF-8 of the text that tokens stand for, special tokens left out."""

    special = set(tokenizer.all_special_ids)
    ordinary = [int(number) for number in ids if int(number) not in special]
    if type(tokenizer.backend_tokenizer.decoder).__name__ == "ByteLevel":  # a character of its pieces is a byte
        return sum(map(len, tokenizer.convert_ids_to_tokens(ordinary)))
    return len(str(tokenizer.decode(ordinary, clean_up_tokenization_spaces=False)).encode())


def _tokenised(documents: Iterable[str], tokenizer: "PreTrainedTokenizerFast") -> Iterator[list[int]]:
    """The tokens of each document, none of them special but the unknown one."""
    from tokenizers.models import Unigram  # noqa: PLC0415 (who reads a corpus needs none)

    unknown: Any = tokenizer.unk_token_id
    special = set(tokenizer.all_special_ids) - {unknown}
    reads_special = isinstance(tokenizer.backend_tokenizer.model, Unigram)  # '</s>' is one of its pieces
    for batch in _batches(documents):
        encoded = tokenizer(
            batch,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,
            verbose=False,  # no warning about documents longer than the model's input: they are cut here
        )
        for tokens in encoded["input_ids"]:
            yield [unknown if one in special else one for one in tokens] if reads_special else tokens


def is_held_out(document: str, share: float) -> bool:
    """Whether a document is among those that measure: its hash decides, so that copies of it stay together."""
    digest = hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_shards(blocks: Iterable[np.ndarray], folder: Path, *, shard_blocks: int, vocab_size: int) -> None:
    """Write blocks in their order, `shard_blocks` to a shard, with one shard in memory; same blocks, same bytes."""
    dtype = np.uint16 if vocab_size <= np.iinfo(np.uint16).max + 1 else np.uint32
    folder.mkdir(parents=True, exist_ok=True)
    blocks = iter(blocks)
    number = 0
    while shard := [block.astype(dtype) for block in islice(blocks, shard_blocks)]:
        lengths = np.array([len(block) for block in shard], dtype=np.int32)
        np.save(folder / f"tokens-{number:05d}.npy", np.concatenate(shard), allow_pickle=False)
        np.save(folder / f"lengths-{number:05d}.npy", lengths, allow_pickle=False)
        number += 1


def join_corpora(parts: Iterable[Path], folder: Path) -> bool:
    """The shards of several corpora as one corpus, numbered on; whether there are any."""
    shards = [path for part in parts for path in sorted(part.glob("tokens-*.npy"))]
    for number, tokens in enumerate(shards):
        link_or_copy(tokens, folder / f"tokens-{number:05d}.npy")
        link_or_copy(_lengths_of(tokens), folder / f"lengths-{number:05d}.npy")
    return bool(shards)


def _lengths_of(tokens: Path) -> Path:
    return tokens.with_name(tokens.name.replace("tokens", "lengths"))


class Corpus(Sequence[np.ndarray]):
    """Blocks by number, read from memory-mapped shards: int64 arrays; `lengths` holds the tokens of each, int32."""

    def __init__(self, folder: Path) -> None:
        """Raises: UserError where the folder holds no corpus."""
        self._tokens = sorted(folder.glob("tokens-*.npy"))
        require(self._tokens, f"{folder} holds no corpus: no block was long enough, or this is another folder")
        lengths = [_load(_lengths_of(path)) for path in self._tokens]
        self.lengths = np.concatenate(lengths)
        self._first_block = np.cumsum([0, *map(len, lengths)])
        self._ends = np.concatenate([np.cumsum(shard, dtype=np.int64) for shard in lengths])  # in the block's own shard

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride] - no slices
        if not 0 <= index < len(self):
            raise IndexError(f"block {index} of a corpus of {len(self)}")
        shard = int(np.searchsorted(self._first_block, index, side="right")) - 1
        end = int(self._ends[index])
        tokens = _load(self._tokens[shard])
        return tokens[end - int(self.lengths[index]) : end].astype(np.int64)


@lru_cache(maxsize=OPEN_SHARDS)
def _load(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
