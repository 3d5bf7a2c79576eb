"""A decoder as ONNX gives what PyTorch gives, all tokens at once or one after the other."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pipeline.export.decoder_onnx import OnnxDecoder, export_decoder, past_names, past_sizes
from pipeline.export.onnx import quantise
from tests.helpers.decoders import decoder


def test_the_layers_of_a_gpt2_are_int8(tmp_path: Path) -> None:
    model = decoder("gpt2", "eager")
    export_decoder(model, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    in_int8 = [node for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.op_type == "MatMulInteger"]
    assert len(in_int8) == 4 * model.config.n_layer + 1  # and the head


@pytest.mark.slow
def test_tokens_after_their_past_are_what_they_are_in_the_whole_text(tmp_path: Path) -> None:
    model = decoder("llama", "eager", num_hidden_layers=1)
    export_decoder(model, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    ids = np.random.default_rng(0).integers(5, 300, (3, 9))
    mask = np.ones_like(ids)
    with torch.no_grad():
        right = model(torch.from_numpy(ids)).logits.numpy()
    exact, small = (OnnxDecoder(tmp_path / name, model.config) for name in ("model.onnx", "int8.onnx"))
    np.testing.assert_allclose(exact(torch.from_numpy(ids)).logits.numpy(), right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        small(torch.from_numpy(ids)).logits.numpy(), right, rtol=0, atol=0.2 * np.abs(right).max()
    )
    heads, width = past_sizes(model.config)
    found, past = [], [np.zeros((3, heads, 0, width), dtype=np.float32)] * 2
    names = past_names(model.config, "past_key_values")
    for begin, end in ((0, 4), (4, 5), (5, 9)):
        inputs = {"input_ids": ids[:, begin:end], "attention_mask": mask[:, :end]}
        logits, *past = exact.session.run(None, inputs | dict(zip(names, past, strict=True)))
        found.append(logits)
    np.testing.assert_allclose(np.concatenate(found, axis=1), right, rtol=1e-4, atol=1e-5)
    padded = (torch.from_numpy(np.pad(array, ((0, 0), (2, 0)))) for array in (ids, mask))
    np.testing.assert_allclose(exact(*padded).logits[:, 2:].numpy(), right, rtol=1e-4, atol=1e-5)
