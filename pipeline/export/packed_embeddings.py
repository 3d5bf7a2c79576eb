"""Word embeddings of an ONNX file in 4 bits.

The embeddings are most of a small student. Standard operators unpack the rows of a text as they are read, so any client
that runs ONNX runs the file, and the table stays packed in memory too.
"""

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from pipeline.export.four_bits import pack_rows

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
