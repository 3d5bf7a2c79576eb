"""The ONNX files of a student: their paths in its folder, and how to open one. Needs no torch."""

from pathlib import Path

import onnxruntime

from pipeline.errors import UserError

FLOAT32 = "onnx/model.onnx"
INT8 = "onnx/model_int8.onnx"
QUANTIZED = "onnx/model_quantized.onnx"  # the same file by the name that Transformers.js looks for
SIDE_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")  # what an ONNX file needs beside it


def open_session(path: Path, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args: threads: how many work on one operator; 0 means all cores.
    Raises: UserError for a file that is no ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{path} cannot be read as an ONNX model: {error}") from None
