"""The int8 ONNX file of a student as a function from arrays to arrays; loads neither torch nor transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipeline.errors import UserError
from pipeline.export.onnx_session import INT8, open_session
from pipeline.predict.answers import Arrays


def load_model(folder: Path, config: dict[str, Any]) -> tuple[Callable[[Arrays], Arrays], Tokenizer]:
    """The int8 file, and the tokenizer beside it. Raises UserError where there is no such file."""
    if not (folder / INT8).is_file():
        raise UserError(f"{folder} has no {INT8}; run the stage export_student, or leave --onnx out")
    session = open_session(folder / INT8)
    input_names = [tensor.name for tensor in session.get_inputs()]
    output_names = [tensor.name for tensor in session.get_outputs()]

    def forward(inputs: Arrays) -> Arrays:
        outputs: list[Any] = list(session.run(output_names, {name: inputs[name] for name in input_names}))
        return dict(zip(output_names, outputs, strict=True))

    return forward, Tokenizer.from_file(str(folder / "tokenizer.json"))
