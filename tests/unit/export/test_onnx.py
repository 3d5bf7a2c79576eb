"""ONNX files say what the student says."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForTokenClassification,
    PreTrainedModel,
)

from pipeline.export.onnx import OnnxModel, export_onnx, quantise
from pipeline.export.onnx_session import FLOAT32, INT8
from tests import tiny

RANDOM = torch.Generator().manual_seed(0)


def batch(rows: int, length: int, *, pieces: int = 40) -> dict[str, torch.Tensor]:
    """Random texts, each row padded a little more than the one before."""
    mask = torch.ones((rows, length), dtype=torch.long)
    for row in range(1, rows):
        mask[row, max(1, length - row) :] = 0
    return {"input_ids": torch.randint(5, pieces, (rows, length), generator=RANDOM) * mask, "attention_mask": mask}


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 32), (5, 7)])
def test_the_onnx_file_says_what_the_model_says_at_any_size(shipped: Path, rows: int, length: int) -> None:
    model, inputs = tiny.load_eager(shipped), batch(rows, length)
    ours, theirs = tiny.outputs(OnnxModel(shipped / FLOAT32, model.config), inputs), tiny.outputs(model, inputs)
    assert ours["logits"] == pytest.approx(theirs["logits"], abs=1e-5)


def test_the_int8_file_says_nearly_the_same_in_fewer_bytes(shipped: Path) -> None:
    model, inputs = tiny.load_eager(shipped), batch(16, 24)
    ours, theirs = (
        tiny.outputs(OnnxModel(shipped / INT8, model.config), inputs)["logits"],
        tiny.outputs(model, inputs)["logits"],
    )
    assert np.abs(ours - theirs).max() < 0.1 * np.ptp(theirs)
    tables = [tensor for tensor in onnx.load(shipped / INT8).graph.initializer if len(tensor.dims) > 1]
    kinds = {tensor.name: tensor.data_type for tensor in tables if tensor.dims[1] > 1}  # not the scales of rows
    assert onnx.TensorProto.INT8 in kinds.values()
    floats = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}
    assert floats == {"bert.pooler.dense.weight", "classifier.weight"}  # of one state a text


def test_the_files_hold_standard_operators_and_nothing_of_this_machine(shipped: Path) -> None:
    for name in (FLOAT32, INT8):
        assert {node.domain for node in onnx.load(shipped / name).graph.node} <= {"", "ai.onnx"}
        assert b"site-packages" not in (shipped / name).read_bytes()


def test_without_a_mask_every_token_is_real(shipped: Path) -> None:
    model = tiny.load_eager(shipped)
    ids = {"input_ids": torch.tensor([[2, 7, 9, 3], [2, 8, 11, 3]])}
    ours = tiny.outputs(OnnxModel(shipped / FLOAT32, model.config), ids)
    assert ours["logits"] == pytest.approx(tiny.outputs(model, ids)["logits"], abs=1e-5)


@pytest.mark.parametrize(
    ("head", "names"),
    [(BertForTokenClassification, ["logits"]), (BertForQuestionAnswering, ["start_logits", "end_logits"])],
)
def test_outputs_keep_their_names_whatever_the_head(tmp_path: Path, head: Any, names: list[str]) -> None:
    sizes: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 32,
    }
    config = BertConfig(vocab_size=40, hidden_size=8, **sizes)
    config._attn_implementation = "eager"
    model: PreTrainedModel = head(config).eval()
    inputs = batch(3, 9) | {"token_type_ids": torch.randint(0, 2, (3, 9), generator=RANDOM)}
    export_onnx(model, tmp_path / "model.onnx", inputs=list(inputs))
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    theirs = tiny.outputs(model, inputs)
    for name, gap in (("model.onnx", 1e-5), ("int8.onnx", 0.05)):
        ours = tiny.outputs(OnnxModel(tmp_path / name, config), inputs)
        assert list(ours) == names
        for output in names:
            assert ours[output] == pytest.approx(theirs[output], abs=gap)
