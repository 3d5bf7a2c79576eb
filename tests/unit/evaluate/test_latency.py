"""Latencies are of each model, and those that are compared are of the same minutes."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluate import latency
from pipeline.evaluate.latency import latencies_in_turn, latencies_ms
from pipeline.export.onnx_session import INT8
from pipeline.models.loading import load_classifier
from tests.tiny import write_model


def test_latencies_are_of_each_model(tmp_path: Path) -> None:
    model = load_classifier(write_model(tmp_path, layers=1), label_names=("a", "b"), new_head=True).eval()
    for inputs in (["input_ids", "attention_mask"], ["input_ids", "attention_mask", "token_type_ids"]):
        first, second = latencies_ms([model, model], rounds=2, inputs=inputs)
        assert first > 0 and second > 0


@pytest.mark.parametrize(("seconds", "turns"), [(3600.0, 25), (0.0, 5)])
def test_the_teacher_s_latency_is_measured_in_turn_with_each_form_s(
    monkeypatch: pytest.MonkeyPatch, seconds: float, turns: int
) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []
    speed = iter([4.0, 1.0] * 2 + [40.0, 10.0] * 23)  # the machine is ten times as slow from the third turn on

    def measured(models: list[str], *, rounds: int, inputs: tuple[str, ...] = ("input_ids",)) -> list[float]:
        asked.append((models[0], inputs))
        return [next(speed)]

    monkeypatch.setattr(latency, "latencies_ms", measured)
    monkeypatch.setattr(latency, "TURNS_SECONDS", seconds)
    teacher: Any = "the teacher"
    found = latencies_in_turn(teacher, {INT8: "its file"}, ("input_ids", "token_type_ids"))
    assert found == (40.0, {INT8: 10.0})
    assert asked == [("the teacher", ("input_ids",)), ("its file", ("input_ids", "token_type_ids"))] * turns
