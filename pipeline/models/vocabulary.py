"""Cut a vocabulary, of tokenizer and embeddings, to the pieces that a task uses most; save a tokenizer.

A word whose piece is gone is split into smaller pieces. Pieces of one character stay, so no word becomes unknown. It
works for WordPiece and for SentencePiece's Unigram: a text of kept pieces is cut as before, for the best way to cut it
is still there. The pieces of BPE are made of each other.
"""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.errors import require
from pipeline.models.architectures import rows_before_text
from pipeline.models.loading import load_tokenizer

# Settings of the tokenizer that was loaded, which do not hold for the saved one.
STALE_SETTINGS = {
    *("name_or_path", "vocab_file", "is_local", "local_files_only"),
    *("max_length", "stride", "added_tokens_decoder"),
}
CONTINUES = "##"  # how WordPiece marks a piece that does not begin a word
BEGINS = "▁"  # how SentencePiece marks one that does


def kept_pieces(tokenizer: PreTrainedTokenizerFast, counts: np.ndarray, *, pieces: int) -> np.ndarray:
    """The ids to keep, ascending: special tokens and pieces of one character, then the most frequent ones; of those
    that are as frequent the first, since a vocabulary begins with the pieces that are frequent everywhere.

    Args: counts: how often each id occurs, 0 for those beyond its end. pieces: how many to keep, if that is more than
        the special ones and those of one character.
    """
    kept = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    others = []
    for piece, number in tokenizer.get_vocab().items():
        if len(piece.removeprefix(CONTINUES).removeprefix(BEGINS)) <= 1:
            kept.add(number)
        elif number not in kept:
            others.append(number)
    others.sort(key=lambda number: (-int(counts[number]) if number < len(counts) else 0, number))
    return np.asarray(sorted(kept.union(others[: max(0, pieces - len(kept))])))


def save_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    max_length: int | None = None,
    kept: np.ndarray | None = None,
) -> None:
    """Save a tokenizer that pads to no fixed length.

    Args:
        max_length: where it cuts texts, if nobody says otherwise; None: as before.
        kept: the old ids to keep, ascending; the index of each is its new id. WordPiece and Unigram only.
    """
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if max_length:
        backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    backend.no_padding()
    whole: dict[str, Any] = json.loads(backend.to_str())
    if kept is not None:
        _renumber(whole, {int(old): new for new, old in enumerate(kept)})
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    settings = {name: value for name, value in settings.items() if name not in STALE_SETTINGS}
    settings["model_max_length"] = max_length or tokenizer.model_max_length
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _renumber(whole: dict[str, Any], new: dict[int, int]) -> None:
    """Cut and renumber a tokenizer.json: its pieces, its added tokens, and the special tokens put around a text."""
    model = whole["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [scored for number, scored in enumerate(model["vocab"]) if number in new]
        model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[number] for piece, number in model["vocab"].items() if number in new}
    for token in whole["added_tokens"]:
        token["id"] = new[token["id"]]
    processor = whole["post_processor"] or {}
    for around in processor.get("processors", [processor]):  # a Sequence has several
        for token in around.get("special_tokens", {}).values():
            token["ids"] = [new[number] for number in token["ids"]]
        for name in ("cls", "sep"):  # the post-processor BertProcessing
            if name in around:
                piece, number = around[name]
                around[name] = [piece, new[number]]


def cut_to(model: PreTrainedModel, new_tokenizer: Path, *, old_tokenizer: Path) -> None:
    """Keep those embeddings of a model whose pieces are in a vocabulary that was cut from its own.

    Args: new_tokenizer, old_tokenizer: folders, of a tokenizer with that vocabulary and of the model's own.
    """
    kept, before = pieces_kept(new_tokenizer, old_tokenizer=old_tokenizer)
    if len(kept) < before:
        trim_embeddings(model, kept)


def pieces_kept(new_tokenizer: Path, *, old_tokenizer: Path) -> tuple[np.ndarray, int]:
    """The ids that the pieces of a cut vocabulary had before it was cut, by their ids now; and how many pieces were
    there before.

    Args: new_tokenizer, old_tokenizer: folders, of the cut tokenizer and of the whole one.
    """
    old, new = (load_tokenizer(folder).get_vocab() for folder in (old_tokenizer, new_tokenizer))
    return np.array([old[piece] for piece in sorted(new, key=new.__getitem__)]), len(old)


def trim_embeddings(model: PreTrainedModel, kept: np.ndarray) -> None:
    """Keep the embeddings of these ids, in this order.

    Raises: UserError where the padding token gets another id, and the model numbers its positions from it.
    """
    old = cast(nn.Embedding, model.get_input_embeddings())
    new_ids = {int(number): index for index, number in enumerate(kept)}
    padding = new_ids.get(old.padding_idx) if old.padding_idx is not None else None
    require(
        not rows_before_text(model.config.to_dict()) or padding == old.padding_idx,
        "distill_layers.pieces: the vocabulary cannot be cut, because ordinary pieces stand before the padding token,"
        f" and a {model.config.model_type} numbers its positions from that one; set it to 0",
    )
    weight = old.weight.detach()[torch.from_numpy(kept)].clone()
    model.set_input_embeddings(nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=padding))
    model.config.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if isinstance(number := getattr(model.config, name, None), int):
            setattr(model.config, name, new_ids.get(number))
