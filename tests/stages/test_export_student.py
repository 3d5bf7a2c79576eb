"""The forms of the exported student that are refused."""

from typing import Any

import pytest

from pipeline.errors import WorkFailed
from pipeline.export.onnx_session import INT8
from stages.export_student import FLOAT32 as ONNX
from stages.export_student import WEIGHTS, check


def form(score: float, gap: float = 0.0) -> dict[str, Any]:
    return {"score": score, "largest_difference": gap}


def test_a_form_that_loses_more_than_the_recipe_allows_is_an_error() -> None:
    forms = {WEIGHTS: form(0.9), ONNX: form(0.9), INT8: form(0.885)}
    check(forms, base_score=0.9, largest_loss=0.02, scale=1.0)
    with pytest.raises(WorkFailed, match=r"onnx/model_int8.onnx scores 0.8850 on dev, the student 0.9000.*0.01, below"):
        check(forms, base_score=0.9, largest_loss=0.01, scale=1.0)


def test_an_onnx_file_that_is_not_the_model_is_an_error() -> None:
    forms = {WEIGHTS: form(0.9), ONNX: form(0.9, gap=0.2), INT8: form(0.9)}
    with pytest.raises(WorkFailed, match=r"its outputs differ by 0\.2 from those of PyTorch"):
        check(forms, base_score=0.9, largest_loss=0.02, scale=1.0)
