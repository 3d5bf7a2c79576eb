"""What unit tests of several packages read."""

from pathlib import Path

import pytest

from tests import tiny
from tests.helpers.once import once


@pytest.fixture(scope="session")
def shipped(tiny_template: Path, shared: Path) -> Path:
    """The folder of a student that is ready to ship (random weights, labels rotten and fresh); for reading."""

    def make(folder: Path) -> None:
        from pipeline.export.onnx import export_onnx, quantise
        from pipeline.export.onnx_session import FLOAT32, INT8

        tiny.write_classifier(folder, tiny_template / "model")
        export_onnx(tiny.load_eager(folder), folder / FLOAT32, inputs=["input_ids", "attention_mask"])
        quantise(folder / FLOAT32, folder / INT8)

    return once(shared / "shipped", make)
