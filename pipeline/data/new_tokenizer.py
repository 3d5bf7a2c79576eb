"""A tokenizer made from texts, for a teacher that is trained from scratch: BERT's WordPiece, cased, or GPT-2's BPE.

The trainer of WordPiece in the `tokenizers` library numbers the characters in an order that differs from run to run,
and breaks ties by these numbers. So they are given to it, in a fixed order: the same texts give the same tokenizer.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
END = "<|endoftext|>"  # GPT-2's only special token, which also begins a text
CONTINUES = "##"
LEAST = 2  # a character, or a pair of pieces, that occurs less often makes no piece


def write_tokenizer(documents: Callable[[], Iterable[str]], folder: Path, *, pieces: int) -> None:
    """Make a tokenizer of at most about `pieces` pieces and write it as transformers reads it.

    Args: documents: gives the texts; they are read twice. Every character that occurs twice is a piece, however many
        that makes.
    """
    tokenizer = Tokenizer(WordPiece(unk_token=SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = _alphabet(tokenizer, documents())
    fixed = [*SPECIAL.values(), *alphabet]
    trainer = WordPieceTrainer(
        vocab_size=max(pieces, len(fixed)), min_frequency=LEAST, special_tokens=fixed, show_progress=False
    )
    tokenizer.train_from_iterator(documents(), trainer)
    numbers = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    vocabulary = {piece: number for number, (piece, _) in enumerate(numbers)}
    whole = Tokenizer(WordPiece(vocabulary, unk_token=SPECIAL["unk"]))  # the fixed pieces are no special tokens in it
    whole.normalizer, whole.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    whole.add_special_tokens(list(SPECIAL.values()))
    sep, cls = ((SPECIAL[name], vocabulary[SPECIAL[name]]) for name in ("sep", "cls"))
    whole.post_processor = processors.BertProcessing(sep, cls)
    whole.decoder = decoders.WordPiece()
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    special = {f"{name}_token": token for name, token in SPECIAL.items()}
    _save(whole, folder, {**special, "model_input_names": inputs})


def write_bpe_tokenizer(documents: Callable[[], Iterable[str]], folder: Path, *, pieces: int) -> None:
    """Make a byte-level BPE tokenizer of at most `pieces` pieces (256 bytes and END at least) and write it.

    Args: documents: gives the texts; they are read once.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=max(pieces, len(alphabet) + 1),
        min_frequency=LEAST,
        special_tokens=[END],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(), trainer)
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END)
    _save(tokenizer, folder, {**special, "model_input_names": ["input_ids", "attention_mask"]})


def _save(tokenizer: Tokenizer, folder: Path, settings: dict[str, Any]) -> None:
    """As transformers reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    fixed = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": False,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(fixed | settings, indent=1), encoding="utf-8")


def _alphabet(tokenizer: Tokenizer, documents: Iterable[str]) -> list[str]:
    """The characters that begin words, then those inside words, each sorted."""
    first: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for document in documents:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(document)):
            first.update(word[:1])
            inside.update(word[1:])
    both = first + inside
    characters = sorted(character for character, count in both.items() if count >= LEAST)
    return characters + [f"{CONTINUES}{character}" for character in characters if inside[character]]
