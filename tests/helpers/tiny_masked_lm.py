"""A masked LM with random weights over a handful of words, texts of them, and what it proposes for these."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, PreTrainedModel

from data_augment.proposer import Proposer
from pipeline.config.data import ProposeCandidates
from pipeline.data.languages import ENGLISH, Languages

Model = TypeVar("Model", bound=PreTrainedModel)
WORDS = "film movie drama story plot actor grand slow funny sad warm cold sharp dull charming clever"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "the", "a", "is", "and", ",", ".", "7", "!?"]
VOCAB += [*WORDS.split(), "##s", "##ing", "##ly", "Film", "cafe"]
TEXTS = [
    "the film is grand and the actor funny.",
    "a slow, sad story",
    "Charming!",
    "a sharp plot and a clever plot and a warm drama is a grand movie",
]
SIZE: dict[str, Any] = {"vocab_size": len(VOCAB), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL: dict[str, Any] = {**SIZE, "intermediate_size": 64, "max_position_embeddings": 32}
BERT = BertConfig(**SMALL)
ONLY_ENGLISH = Languages((ENGLISH,), guessed=False)


def load_tokenizer(folder: Path) -> BertTokenizer:
    """WordPiece over VOCAB."""
    (folder / "vocab.txt").write_text("\n".join(VOCAB))
    return BertTokenizer(vocab=str(folder / "vocab.txt"))


def load_model() -> BertForMaskedLM:
    """The same random weights each time."""
    torch.manual_seed(0)
    return spread(BertForMaskedLM(BERT))


def spread(model: Model) -> Model:
    """Random weights far enough apart that no two logits are nearly equal."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def propose_table(
    texts: Sequence[str], tokenizer, model, *, vectors=None, word_share=1.0, languages=ONLY_ENGLISH, k=5, **settings
) -> pa.Table:
    """What is proposed for texts, as it goes into a shard."""
    given: dict[str, Any] = {"decode_tokens": 64, "mask_share": 0} | settings
    proposer = Proposer(
        settings=ProposeCandidates(candidates=k, **given),
        tokenizer=tokenizer,
        model=model,
        vectors=vectors,
        languages=languages,
        word_share=word_share,
        precision="fp32",
    )
    return proposer.shard(texts)


def propose(texts: Sequence[str], tokenizer, model, **options: Any) -> list[dict[str, Any]]:
    """The same, as rows."""
    return propose_table(texts, tokenizer, model, **options).to_pylist()


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


def byte_level(**options) -> ByteLevelBPETokenizer:
    """A tokenizer that marks the blank before a word."""
    trained = ByteLevelBPETokenizer(**options)
    trained.train_from_iterator([" slow film, sad film, slow drama"] * 9, vocab_size=300, show_progress=False)
    return trained
