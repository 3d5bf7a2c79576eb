"""A head by least squares: nearer to the teacher's outputs than a random one, and exact where it can be."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from pipeline.heads.base import Head
from pipeline.heads.classification import ClassificationHead
from pipeline.heads.embedding import EmbeddingHead, SentenceEncoder
from pipeline.heads.fit import fit_head
from pipeline.heads.question_answering import QuestionAnsweringHead
from pipeline.heads.token_classification import TokenClassificationHead
from pipeline.models.collate import Batch, collate

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 32,
}
KINDS: dict[str, tuple[Head, Any]] = {
    "classification": (ClassificationHead(), BertForSequenceClassification),
    "tokens": (TokenClassificationHead(), BertForTokenClassification),
    "questions": (QuestionAnsweringHead(), BertForQuestionAnswering),
}


def make(architecture: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    labels = 2 if architecture is BertForQuestionAnswering else 3
    model = architecture(BertConfig.from_dict({**SIZE, "num_labels": labels})).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def batches(count: int = 40, rows: int = 16) -> list[Batch]:
    """Batches whose every second token begins a word, and whose first half may be an answer."""
    source, found = np.random.default_rng(0), []
    for _ in range(count):
        ids = [source.integers(5, 50, source.integers(4, 12)) for _ in range(rows)]
        batch = collate({"input_ids": ids}, 0, packed=False)
        numbers = torch.arange(batch.input_ids.shape[1]).expand_as(batch.input_ids)
        begins = (numbers % 2 == 0).long() * batch.attention_mask
        allowed = (numbers < 6).long() * batch.attention_mask
        found.append(batch.with_targets(begins=begins, allowed=allowed))
    return found


@torch.no_grad()
def taught(head: Head, teacher: Any, given: list[Batch]) -> list[Batch]:
    return [batch.with_targets(teacher_outputs=head.outputs(teacher, batch)) for batch in given]


@torch.no_grad()
def gap(head: Head, model: Any, given: list[Batch]) -> float:
    def answers(batch: Batch, outputs: Tensor) -> Tensor:
        answering = head.answering(batch)
        return outputs if answering is None else outputs[answering]

    pairs = [(answers(b, head.outputs(model, b)), answers(b, b.targets["teacher_outputs"])) for b in given]
    return float(torch.cat([(ours - theirs).square().flatten() for ours, theirs in pairs]).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_head_on_the_teacher_s_own_states_gives_nearly_the_teacher_s_outputs(kind: str) -> None:
    head, architecture = KINDS[kind]
    teacher, student = make(architecture, 0), make(architecture, 0)
    given = taught(head, teacher, batches(160))
    spread = float(torch.cat([batch.targets["teacher_outputs"].flatten() for batch in given]).var())
    for module in student.children():
        if module is not student.base_model:
            for parameter in module.parameters():
                parameter.data.normal_(std=0.02)
    random = gap(head, student, given)
    fit_head(head, student, given, new_head=True)
    assert gap(head, student, given) < min(random, spread) / 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_is_right_stays(kind: str) -> None:
    head, architecture = KINDS[kind]
    teacher, student = make(architecture, 0), make(architecture, 0)
    fit_head(head, student, taught(head, teacher, batches()), new_head=False)
    for ours, theirs in zip(student.parameters(), teacher.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_embedding_s_projection_aims_at_the_teacher_s_vectors() -> None:
    head = EmbeddingHead()
    teacher = SentenceEncoder(make(BertModel, 0), None)
    student = SentenceEncoder(make(BertModel, 0), torch.nn.Linear(16, 16, bias=False))
    given = taught(head, teacher, batches(160))
    random = gap(head, student, given)
    fit_head(head, student, given, new_head=True)
    assert gap(head, student, given) < random / 10
    without = SentenceEncoder(make(BertModel, 1), None)
    before = [parameter.clone() for parameter in without.parameters()]
    fit_head(head, without, given, new_head=True)
    assert all(torch.equal(ours, was) for ours, was in zip(without.parameters(), before, strict=True))
