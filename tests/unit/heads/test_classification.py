"""The loss of labels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification

from pipeline.heads.base import total_weight
from pipeline.heads.classification import ClassificationHead
from pipeline.models.collate import Batch
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import BatchPlan
from tests.tiny import write_model

HEAD = ClassificationHead()
SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
}


def test_the_supervised_loss_is_a_mean_over_the_global_batch(tmp_path: Path) -> None:
    dataset = Dataset.from_dict({"text": ["good film"] * 8})
    texts = TokenisedTexts(dataset, load_tokenizer(write_model(tmp_path)), text_columns=["text"], max_length=8)
    global_batch = BatchPlan(np.full(8, 6), batch_size=8, epochs=1, micro_batch_tokens=24, seed=0).at(0)
    weight = total_weight(texts, global_batch.micro_batches)
    model = BertForSequenceClassification(BertConfig(**SIZE)).eval()
    ids, labels = torch.randint(5, 50, (8, 6)), torch.arange(8) % 3
    parts = []
    for rows in (slice(0, 4), slice(4, 8)):
        ones = torch.ones_like(ids[rows])
        batch = Batch(input_ids=ids[rows], attention_mask=ones, targets={"labels": labels[rows]})
        parts.append(HEAD.supervised_loss(HEAD.outputs(model, batch), batch, weight=weight)["label"])
    right = torch.nn.functional.cross_entropy(model(input_ids=ids).logits, labels)
    torch.testing.assert_close(sum(parts), right)


def test_soft_labels_of_a_batch_are_learnt_in_the_place_of_labels() -> None:
    logits, soft = torch.randn(2, 3), torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    ones = torch.ones(2, 4, dtype=torch.long)
    targets = HEAD.targets({"labels": [2, 2], "soft": soft.tolist()})
    batch = Batch(input_ids=ones, attention_mask=ones, targets=targets)
    right = -(soft * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
    torch.testing.assert_close(HEAD.supervised_loss(logits, batch, weight=2)["label"], right)
