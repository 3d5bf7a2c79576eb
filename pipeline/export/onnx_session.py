"""ONNX files of a student: where they lie in its folder, and how they are opened. Needs no torch."""

from pathlib import Path

import onnxruntime

from pipeline.errors import UserError

FLOAT32 = "onnx/model.onnx"
INT8 = "onnx/model_int8.onnx"


def open_session(path: Path, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args: threads: 0 takes all cores.
    Raises: UserError for a file that is no ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own share no class
        raise UserError(f"{path} cannot be read as an ONNX model: {error}") from None
