"""Does `torch.compile` pay? A student's layers, forward and backward, as they are and compiled, alternating in one run.

    python -m benchmarks.compiled [--rounds 15] [--json FILE]

The layers of two students, bf16 autocast, the lengths of the batches changing as in training (compiled once for all of
them), on the GPU where there is one. The recipes have no setting for it: it would have to pay here first.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config as inductor
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLayer

STUDENTS = {"3 x 192": (3, 192, 720), "TinyBERT4": (4, 312, 1200)}  # layers, width, feed-forward
TOKENS = 2048  # a micro-batch
LENGTHS = (40, 64, 128)


class Layers(nn.Module):
    """A student without its embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_BTD = layer(hidden_BTD)
        return hidden_BTD


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compiled", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    inductor.force_disable_caches = True  # of an earlier run
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = {}
    print(f"{'student':<12}{'tokens':>8}{'as it is, ms':>14}{'compiled, ms':>14}{'ratio':>8}{'to compile, s':>15}")
    for name, sizes in STUDENTS.items():
        figures[name] = compare(*sizes, device=device, rounds=given.rounds)
        for length, (plain, compiled) in figures[name]["ms"].items():
            first = f"{figures[name]['compile_s']:>15.1f}" if length == LENGTHS[0] else ""
            print(f"{name:<12}{length:>8}{plain:>14.2f}{compiled:>14.2f}{plain / compiled:>8.2f}{first}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"device": str(device), **figures}, indent=1), encoding="utf-8")


def compare(layers: int, width: int, feed_forward: int, *, device: torch.device, rounds: int) -> dict[str, Any]:
    """Median milliseconds of (as it is, compiled) by length, and the seconds that compiling took."""
    torch.manual_seed(0)
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_attention_heads=12,
        attention_probs_dropout_prob=0.0,
    )
    config._attn_implementation = "sdpa"
    plain, compiled = Layers(config).to(device), Layers(config).to(device)
    compiled.load_state_dict(plain.state_dict())
    compiled.compile(dynamic=True)
    began = time.perf_counter()
    for length in LENGTHS:
        milliseconds(compiled, length, width)
    compile_s = time.perf_counter() - began
    found = {}
    for length in LENGTHS:
        both = [(milliseconds(plain, length, width), milliseconds(compiled, length, width)) for _ in range(rounds)]
        found[length] = tuple(map(statistics.median, zip(*both, strict=True)))
    return {"ms": found, "compile_s": compile_s}


def milliseconds(model: nn.Module, length: int, width: int) -> float:
    """Of one forward and backward pass."""
    device = next(model.parameters()).device
    hidden_BTD = torch.randn(TOKENS // length, length, width, device=device)
    _wait(device)
    began = time.perf_counter()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = model(hidden_BTD)
    output.float().square().mean().backward()
    _wait(device)
    seconds = time.perf_counter() - began
    model.zero_grad()
    return 1000 * seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
