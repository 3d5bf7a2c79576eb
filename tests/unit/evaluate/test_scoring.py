"""Answers from outputs, and the loss against the labels."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from pipeline.evaluate.scoring import answers, supervised_loss
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.labelled_data import TaskData
from pipeline.tasks.tokenised import EncodedTexts
from pipeline.training.batches import BatchPlan
from tests.tiny import write_model

NAMES = ("bad", "fair", "good")


SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
}


BUILD: list[Callable[[], PreTrainedModel]] = [
    lambda: BertForSequenceClassification(BertConfig(**SIZE)),
    lambda: RobertaForSequenceClassification(RobertaConfig(**SIZE)),
    lambda: ElectraForSequenceClassification(ElectraConfig(**SIZE)),
    lambda: DistilBertForSequenceClassification(DistilBertConfig(**SIZE)),
]


def task(label_names: tuple[str, ...] = NAMES) -> TaskData:
    return TaskData(
        name="tiny",
        kind="classification" if label_names else "regression",
        text_columns=("text",),
        label_column="label",
        label_names=label_names,
        metric="accuracy",
        splits={},
        left_out={},
    )


def test_answers_are_label_numbers_or_scores() -> None:
    logits = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    split: Any = SimpleNamespace(texts=None, dataset=None)
    assert answers(task(), logits, split).tolist() == [1, 0]
    np.testing.assert_allclose(answers(task(()), logits[:, :1], split), [0.1, 0.8], rtol=1e-6)


def test_the_supervised_loss_is_a_mean_over_the_global_batch(tmp_path: Path) -> None:
    dataset = Dataset.from_dict({"text": ["good film"] * 8})
    texts = EncodedTexts(dataset, load_tokenizer(write_model(tmp_path)), text_columns=["text"], max_length=8)
    batch = BatchPlan(np.full(8, 6), batch_size=8, epochs=1, micro_batch_tokens=24, seed=0).at(0)
    model, ids, labels = BUILD[0]().eval(), torch.randint(5, 50, (8, 6)), torch.arange(8) % 3
    parts = [
        supervised_loss(texts)(model, {"input_ids": ids[rows], "labels": labels[rows]}, batch)["label"]
        for rows in (slice(0, 4), slice(4, 8))
    ]
    right = torch.nn.functional.cross_entropy(model(input_ids=ids).logits, labels)
    torch.testing.assert_close(sum(parts), right)
