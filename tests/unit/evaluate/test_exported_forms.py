"""Forms of a student that lose too much, or are not the student, are errors."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import ExportStudent
from pipeline.errors import WorkFailed
from pipeline.evaluate import exported_forms
from pipeline.evaluate.exported_forms import WEIGHTS, ExportedForm, ExportedForms, checked_forms
from pipeline.export.onnx_session import FLOAT32, INT8


def forms_of(*, int8_score: float = 0.9, gap: float = 0.0) -> ExportedForms:
    """Of a student that scores 0.9, whose outputs are at most 1."""
    scores = {WEIGHTS: 0.9, FLOAT32: 0.9, INT8: int8_score}
    gaps = {WEIGHTS: 0.0, FLOAT32: gap, INT8: 0.0}
    rest: dict[str, Any] = {"test_score": 0.9, "bytes": 0, "parameters": 0, "latency_ms": 0.0, "examples_per_s": 0.0}
    forms = {name: ExportedForm(score=score, largest_difference=gaps[name], **rest) for name, score in scores.items()}
    return ExportedForms(forms=forms, test_statistics={}, student_score=0.9, teacher_latency_ms=1.0, largest_output=1.0)


def test_a_form_that_loses_more_than_the_recipe_allows_is_an_error() -> None:
    forms = forms_of(int8_score=0.885)
    forms.check(largest_loss=0.02)
    with pytest.raises(WorkFailed, match=r"onnx/model_int8.onnx scores 0.8850 on dev, the student 0.9000.*0.01, below"):
        forms.check(largest_loss=0.01)


@pytest.mark.parametrize(("bits", "has_task", "written"), [(4, False, [8]), (8, False, []), (4, True, [])])
def test_the_int8_file_of_a_general_student_that_loses_too_much_is_written_again_with_8_bits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bits: int, has_task: bool, written: list[int]
) -> None:
    made: list[int] = []
    monkeypatch.setattr(exported_forms, "write_int8", lambda folder, embedding_bits: made.append(embedding_bits))
    measured = iter([forms_of(int8_score=0.8), forms_of(int8_score=0.899)])
    settings = ExportStudent(largest_loss=0.01, embedding_bits=4 if bits == 4 else 8)
    said: list[str] = []
    stage: Any = SimpleNamespace(
        is_main=True,
        say=said.append,
        recipe=SimpleNamespace(export_student=settings, has_task=has_task),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None),
    )
    measure = partial(checked_forms, stage, tmp_path, "accuracy", lambda: next(measured))
    if written:
        assert measure().forms[INT8].score == 0.899
        assert "with the words' embeddings in 4 bits accuracy on dev is 0.8000" in said[0]
    else:
        with pytest.raises(WorkFailed, match=r"scores 0\.8000"):
            measure()
    assert made == written


def test_an_onnx_file_that_is_not_the_model_is_an_error() -> None:
    with pytest.raises(WorkFailed, match=r"its outputs differ by 0\.2 from those of PyTorch"):
        forms_of(gap=0.2).check(largest_loss=0.02)


@pytest.mark.parametrize("forms", [forms_of(gap=math.nan), forms_of(int8_score=math.nan)])
def test_a_form_that_gives_no_number_is_an_error(forms: ExportedForms) -> None:
    with pytest.raises(WorkFailed, match="nan"):
        forms.check(largest_loss=0.02)
