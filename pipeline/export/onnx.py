"""Write a model as ONNX files, float32 by torch's exporter and int8 by dynamic quantisation, and run such a file.

The files hold standard operators only, take any batch and length, and name their outputs as the model does (`logits`,
or `start_logits` and `end_logits`, ...).
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from pipeline.export.onnx_session import open_session
from pipeline.export.packed_embeddings import pack_embeddings

OPSET = 20
QUANTISED = ("MatMul", "Gather")  # Gather: the embeddings


def export_onnx(model: PreTrainedModel, path: Path, *, inputs: Sequence[str]) -> None:
    """Write a model (in eval mode, on the CPU, with eager attention) as a float32 ONNX file.

    Args: inputs: their names, such as input_ids and attention_mask; each is (batch, length), int64.
    """
    example = {name: torch.ones((2, 8), dtype=torch.long) for name in inputs}  # a size of 1 would be exported as fixed
    with torch.inference_mode():
        outputs = list(model(**example))
    dynamic = {name: {0: "batch", 1: "length"} for name in inputs}
    export_graph(model, path, example, dynamic=dynamic, inputs=inputs, outputs=outputs)


def export_graph(
    model: nn.Module,
    path: Path,
    example: Mapping[str, Any],
    *,
    dynamic: Mapping[str, Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> None:
    """Write what a model does with an example as ONNX. Args: dynamic: the sizes that may be others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that text models do not need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (),
            str(path),
            kwargs=dict(example),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dict(dynamic),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    whole = onnx.load(path)
    graph = whole.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")  # the exporter's stack traces, which name paths of this machine
        part.ClearField("doc_string")
    _keep_layer_norms(graph)
    onnx.save(whole, path)


def _keep_layer_norms(graph: onnx.GraphProto) -> None:
    """Write the sum before a layer norm as Sum instead of Add, which computes the same.

    onnxruntime (1.31) would fuse Add and LayerNormalization into SkipLayerNormalization, several times slower on CPUs.
    """
    producer = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        before = producer.get(node.input[0]) if node.op_type == "LayerNormalization" else None
        if before is not None and before.op_type == "Add":
            before.op_type = "Sum"


def quantise(source: Path, target: Path, *, embedding_bits: int = 4) -> None:
    """Write a float32 ONNX file with int8 weights; activations are quantised at run time.

    Weights take 7 of the 8 bits: with all 8, sums overflow without an error on processors that lack VNNI. A
    pooler and a head that read one state a text stay in float32: they are small and quick, and lose most in int8,
    since a pooler's diagonal is far larger than its other weights.

    Args: embedding_bits: of the words' embeddings, 4 or 8.
    """
    whole = onnx.load(source)
    packed = pack_embeddings(whole) if embedding_bits == 4 else []
    # The exporter writes a linear layer over one state a text as Gemm with transB (GPT-2's layers over all states have
    # none); the quantiser splits that into this MatMul and an Add.
    of_texts = [
        f"{node.name}_MatMul"
        for node in whole.graph.node
        if node.op_type == "Gemm" and any(option.name == "transB" and option.i for option in node.attribute)
    ]
    constants = {tensor.name for tensor in whole.graph.initializer}
    described = [value for value in whole.graph.value_info if value.name not in constants]  # onnxruntime refuses others
    del whole.graph.value_info[:]
    whole.graph.value_info.extend(described)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preprocessing step that changes nothing here
    try:
        quantize_dynamic(
            whole,
            target,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=[*packed, *of_texts],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # products of activations (attention) are faster in float32
        )
    finally:
        logging.getLogger().setLevel(level)


class OnnxModel(nn.Module):
    """An ONNX file where a PyTorch model is expected: the same inputs, the same named outputs."""

    device = torch.device("cpu")

    def __init__(self, path: Path, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.session = open_session(path, threads=torch.get_num_threads())

    def forward(self, **inputs: Tensor) -> Any:
        """As of a PyTorch model; without an attention mask every token is a real one."""
        if any(wanted.name == "attention_mask" for wanted in self.session.get_inputs()):
            inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
        names = [output.name for output in self.session.get_outputs()]
        found = self.session.run(names, {name: np.asarray(tensor.cpu()) for name, tensor in inputs.items()})
        return ModelOutput(
            {name: torch.from_numpy(np.asarray(array)) for name, array in zip(names, found, strict=True)}
        )
