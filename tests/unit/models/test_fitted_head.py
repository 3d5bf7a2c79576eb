"""A masked-LM head fitted to its teacher's."""

from typing import Any, cast

import torch
from transformers import BertConfig, BertForMaskedLM

from pipeline.models.collate import Batch, collate
from pipeline.models.fitted_head import fit_masked_lm_head

WORDS, WIDTH = 60, 16


def masked_lm(seed: int, width: int = WIDTH) -> Any:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * width}
    model = BertForMaskedLM(BertConfig(vocab_size=WORDS, hidden_size=width, max_position_embeddings=32, **sizes))
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return model.eval()


def batches(seed: int) -> list[Batch]:
    random = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(8):
        ids = torch.randint(5, WORDS, (16, 24), generator=random)
        batch = collate({"input_ids": ids.tolist()}, 0, packed=False)
        found.append(batch.with_targets(predicted=torch.rand(ids.shape, generator=random) < 0.3))
    return found


def divergence(student: Any, teacher: Any) -> float:
    """Mean KL divergence from the teacher's guesses at masked tokens of other texts."""
    gaps = []
    with torch.no_grad():
        for batch in batches(9):
            theirs, ours = (
                model(input_ids=batch.input_ids).logits[batch.targets["predicted"]].log_softmax(dim=-1)
                for model in (teacher, student)
            )
            gaps.append((theirs.exp() * (theirs - ours)).sum(dim=-1))
    return float(torch.cat(gaps).mean())


def test_a_student_with_the_teachers_encoder_gets_nearly_its_guesses() -> None:
    teacher = masked_lm(0)
    student = masked_lm(1)
    student.bert.load_state_dict(teacher.bert.state_dict())
    before = divergence(student, teacher)
    fit_masked_lm_head(student, teacher, batches(2))
    assert divergence(student, teacher) < 0.25 * before
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_a_head_over_states_that_say_nothing_gives_how_frequent_words_are() -> None:
    teacher, student = masked_lm(0), masked_lm(1)
    for parameter in cast(Any, student).bert.encoder.parameters():
        parameter.data.mul_(0.01)
    before = divergence(student, teacher)
    fit_masked_lm_head(student, teacher, batches(2))
    assert divergence(student, teacher) < before
