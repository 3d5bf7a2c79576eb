"""Tiny classifiers of other architectures, with a byte-level BPE of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
)

SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_tokenizer(folder: Path, texts: Sequence[str], *, pieces: int = 90, pad: bool = True) -> int:
    """A tokenizer as RoBERTa has it; returns how many pieces it knows. Where that may be many, a word is one piece."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=pieces, special_tokens=SPECIAL))
    if pad:  # a decoder's puts no signs around a text
        inner.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=True)
    known = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | ({"pad_token": "<pad>"} if pad else {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **known)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def write_other_teacher(
    folder: Path, texts: Sequence[str], *, labels: Sequence[str], kind: str = "roberta", tags: bool = False
) -> Path:
    """A classifier with random weights, large enough that its answers differ by text."""
    pieces = write_tokenizer(folder, texts, pieces=1000 if tags else 90, pad=kind != "gpt2")
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}
    size = {**SMALL, "vocab_size": pieces, "max_position_embeddings": 66, "pad_token_id": 1, **names}
    torch.manual_seed(5)
    match kind:
        case "gpt2":
            config = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=64, vocab_size=pieces, **names)
            model: Any = GPT2ForSequenceClassification(config)
        case "deberta":
            model = DebertaV2ForSequenceClassification(DebertaV2Config(**size))
        case "modernbert":
            ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
            model = ModernBertForSequenceClassification(ModernBertConfig(**size, **ids))
        case _ if tags:
            model = RobertaForTokenClassification(RobertaConfig(**size))
        case _:
            model = RobertaForSequenceClassification(RobertaConfig(**size))
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    model.save_pretrained(folder)
    return folder


def teach(folder: Path, texts: Sequence[str], labels: Sequence[str], *, steps: int = 60) -> None:
    """Train the classifier on a task, all rows in each step, so that it scores better than the majority."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = tokenizer(list(texts), padding=True, return_tensors="pt")
    numbers = torch.tensor([model.config.label2id[label] for label in labels])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(steps):
        torch.nn.functional.cross_entropy(model(**rows).logits, numbers).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
