"""Word embeddings of an ONNX file in 4 bits: a scale for each row, chosen by least squares, two numbers in a byte.

The embeddings are most of a small student. Source: Guan et al. 2019, "Post-Training 4-bit Quantization on Embedding
Tables" (arXiv:1911.02079), here with scales of both signs instead of ranges. Standard operators unpack the rows of a
text as they are read, so any client that runs ONNX runs the file, and the table stays packed in memory too.
"""

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

LARGEST = 7  # of the whole numbers -7 to 7, stored as 1 to 15
CLIPS = np.linspace(1.0, 0.5, 11, dtype=np.float32)  # where a row is cut off, as a share of its largest number
TEXT = "input_ids"  # the rows that it names are those of words
UNPACKING = """
{rows}_bytes = Gather ({rows}_packed, input_ids)
{rows}_floats = Cast <to: int = 1> ({rows}_bytes)
{rows}_shifted = Mul ({rows}_floats, {rows}_sixteenth)
{rows}_high = Floor ({rows}_shifted)
{rows}_above = Mul ({rows}_high, {rows}_sixteen)
{rows}_low = Sub ({rows}_floats, {rows}_above)
{rows}_both = Concat <axis: int = -1> ({rows}_low, {rows}_high)
{rows}_numbers = Sub ({rows}_both, {rows}_eight)
{rows}_row_scale = Gather ({rows}_scales, input_ids)
{rows} = Mul ({rows}_numbers, {rows}_row_scale)
"""  # type 1: float32


def pack_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows in 4 bits, each with the scale (of `CLIPS`) that has the least squared error.

    Args: table: (V, W), W even.
    Returns: bytes (V, W / 2), the first half of a row in their low 4 bits and the second in the high ones, each
        number plus 8; scales (V, 1), float32.
    """
    largest = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-30)  # a row of zeros
    best, least = np.zeros_like(table), np.full((len(table), 1), np.inf)
    scales = np.zeros_like(largest)
    for clip in CLIPS:
        scale = (largest * clip / LARGEST).astype(np.float32)
        numbers = np.clip(np.rint(table / scale), -LARGEST, LARGEST)
        error = np.square(numbers * scale - table).sum(axis=1, keepdims=True, dtype=np.float64)
        better = error < least
        best, scales, least = np.where(better, numbers, best), np.where(better, scale, scales), np.minimum(error, least)
    low, high = np.split((best + 8).astype(np.uint8), 2, axis=1)
    return low | high << 4, scales.astype(np.float32)


def pack_embeddings(whole: onnx.ModelProto) -> list[str]:
    """Pack the tables that the token ids name, in place; a table of odd width stays as it is.

    Returns: the names of the new nodes that read a table, which no quantiser may touch.
    """
    graph, reads = whole.graph, []
    tables = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Gather" and node.input[1] == TEXT]:
        table = tables.get(node.input[0])
        if table is None or table.data_type != onnx.TensorProto.FLOAT or table.dims[1] % 2:
            continue
        rows = node.output[0]
        packed, scales = pack_rows(numpy_helper.to_array(table))
        numbers = {"sixteenth": np.float32(1 / 16), "sixteen": np.float32(16), "eight": np.float32(8)}
        for name, array in {"packed": packed, "scales": scales, **numbers}.items():
            graph.initializer.append(numpy_helper.from_array(array, f"{rows}_{name}"))
        position = list(graph.node).index(node)
        graph.node.remove(node)
        for new in reversed(unpacking(rows)):
            graph.node.insert(position, new)
            reads += [new.name] if new.op_type == "Gather" else []
        if not any(table.name in other.input for other in graph.node):  # a head may share it
            graph.initializer.remove(table)
    return reads


def unpacking(rows: str) -> list[onnx.NodeProto]:
    """The nodes that make the rows of the token ids from the table that `pack_rows` packed.

    Args: rows: the name of what they make, (batch, length, W).
    """
    nodes = [onnx.parser.parse_node(line) for line in UNPACKING.format(rows=rows).strip().splitlines()]
    for node in nodes:
        node.name = f"node_{node.output[0]}"
    return nodes
