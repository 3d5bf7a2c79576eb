"""How fast a training goes: its figures are what they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from pipeline.distill.layers import ProjectedStudent, Teacher, layer_flops
from pipeline.training.batches import GlobalBatch
from pipeline.training.loop import train
from pipeline.training.throughput import Throughput, encoder_flops, matrix_rate, summary_line, training_flops
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import STEPS, job

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "attn_implementation": "eager",  # the counter sees its products
}
BATCH = GlobalBatch(step=0, epoch=0, micro_batches=(np.arange(3),), examples=3, tokens=3 * 24, pairs=3 * 24**2)


def bert(*, layers: int, width: int, feed_forward: int) -> BertModel:
    config = BertConfig(hidden_size=width, num_hidden_layers=layers, intermediate_size=feed_forward, **SIZE)
    return BertModel(config, add_pooling_layer=False)


def counted(model: BertModel, *, backward: bool) -> float:
    """What torch counts on three full rows of 24 tokens."""
    with FlopCounterMode(display=False) as counter:
        state = model(torch.randint(50, (3, 24))).last_hidden_state
        if backward:
            state.sum().backward()
    return counter.get_total_flops()


def test_flops_of_a_forward_pass_are_those_that_torch_counts() -> None:
    model = bert(layers=3, width=16, feed_forward=40)
    assert encoder_flops(model)(BATCH) == counted(model, backward=False)


def test_flops_of_a_training_are_those_that_torch_counts() -> None:
    model = bert(layers=3, width=16, feed_forward=40)
    assert training_flops(model)(BATCH) == counted(model, backward=True)


def test_distillation_counts_teacher_student_and_projections() -> None:
    teacher, encoder = bert(layers=4, width=16, feed_forward=40), bert(layers=2, width=8, feed_forward=20)
    student = ProjectedStudent(encoder, teacher_width=16)
    right = counted(teacher, backward=False) + counted(encoder, backward=True) + 3 * 2 * 3 * 8 * 16 * BATCH.tokens
    assert layer_flops(Teacher(model=teacher, encoder=teacher), student, echo=1)(BATCH) == right


def test_throughput_is_sums_over_steps_by_seconds() -> None:
    throughput = Throughput()
    throughput.add(BATCH, seconds=1.5, data_wait=0.3, flops=4e9)
    throughput.add(BATCH, seconds=0.5, data_wait=0.1, flops=2e9)
    summary = throughput.summary(6e9)
    assert summary == {
        "tokens_per_s": pytest.approx(72),
        "examples_per_s": pytest.approx(3),
        "data_wait_share": pytest.approx(0.2),
        "flops_per_s": pytest.approx(3e9),
        "share_of_peak": pytest.approx(0.5),
    }
    assert summary_line(summary) == (
        "72 tokens/s, 20.0% of the time waiting for data, 3 GFLOP/s (50% of this machine's peak)"
    )


def test_a_training_says_its_throughput(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = job(flops=lambda batch: float(batch.tokens))
    train(ours, make_stage(tmp_path))
    assert "tokens/s" in capsys.readouterr().err
    all_tokens = sum(ours.batches.at(step).tokens for step in range(STEPS))
    assert (ours.throughput.tokens, ours.throughput.flops) == (all_tokens, all_tokens)
    assert 0 <= ours.throughput.data_wait < ours.throughput.seconds


def test_a_device_multiplies_at_some_rate() -> None:
    assert matrix_rate(torch.device("cpu"), torch.float32) > 1e8
