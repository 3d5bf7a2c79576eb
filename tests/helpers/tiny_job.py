"""A training of a few steps: a random BERT, random rows, their parity as labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from pipeline.config.training import Training
from pipeline.losses.tinybert import label_loss
from pipeline.models.collate import Batch, Rows
from pipeline.models.collate import collate as collate_ids
from pipeline.training.batches import GlobalBatch, planned
from pipeline.training.loop import Job

ROWS = 21
LENGTHS = np.random.default_rng(0).integers(3, 12, ROWS)
SETTINGS = Training(epochs=2, batch_size=8, learning_rate=3e-3, micro_batch_tokens=30)
STEPS, MICRO_BATCHES = 6, 16  # that these settings give


def classifier(dropout: float = 0.1) -> BertForSequenceClassification:
    torch.manual_seed(1)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def collate(rows: Rows, epoch: int) -> Batch:
    ids = [np.random.default_rng(row).integers(1, 40, LENGTHS[row]) for row in rows]
    return collate_ids({"input_ids": ids}, 0, packed=False).with_targets(labels=torch.from_numpy(rows % 2))


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits


def loss(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
    return {"label": label_loss(logits_of(model, batch), batch.targets["labels"], examples=global_batch.examples)}


def job(*, dropout: float = 0.1, settings: Training = SETTINGS, seed: int = 0, **changes: Any) -> Job:
    batches = planned(LENGTHS, settings, seed=seed, packed=True)
    plain = Job(model=classifier(dropout), batches=batches, collate=collate, loss=loss, settings=settings)
    return replace(plain, **changes)


def same(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
