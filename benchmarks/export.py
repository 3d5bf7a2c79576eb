"""How much faster and smaller the exported student is than its teacher, and what the export costs in quality.

    python -m benchmarks.export [--recipe R] [--rounds N] [--json FILE] [--section.field value ...]

Of the run with this recipe and these settings: the teacher in PyTorch against the student's int8 ONNX file, and the
scores of student and file on the test rows. Then BERT-base against TinyBERT4, with random weights and the whole
vocabulary: speed and size need no training. One thread, batch 1, 32 tokens; the models take turns of ten passes in one
process. The clock counts the thread's own processor time, so that other work on the machine disturbs less; figures are
medians over the turns.

Where openvino is installed, it runs the student's files too, beside ONNX Runtime, with one thread each. It has threads
of its own, so that clock is the wall's.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from benchmarks.quality import test_score
from benchmarks.runs import published
from pipeline.errors import status_of
from pipeline.evaluate.latency import LATENCY_TOKENS
from pipeline.export.onnx import OnnxModel, export_onnx, quantise
from pipeline.export.onnx_session import FLOAT32, INT8, SIDE_FILES, open_session
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.models.loading import LOAD
from pipeline.models.saved_model import MODEL_FILES
from pipeline.plan.plan import Plan, make_plan
from pipeline.runtime.processes import quiet_libraries

PASSES = 10  # a turn
TINYBERT4: dict[str, Any] = {"num_hidden_layers": 4, "hidden_size": 312, "intermediate_size": 1200}
Pass = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    quiet_libraries()
    plan = make_plan(given.recipe, overrides, checked=False)
    figures = {"recipe": of_recipe(plan, given.rounds), "tinybert4": of_tinybert4(given.rounds)}
    if find_spec("openvino"):
        figures |= of_openvino(published(plan, "export_student"), given.rounds)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def of_recipe(plan: Plan, rounds: int) -> dict[str, float]:
    """Teacher against student as int8 ONNX: speed, bytes, and the student's score on test before and after.

    Raises: UserError where the plan's own artifacts are not there.
    """
    stages = ("finetune_teacher", "distill_predictions", "export_student")
    teacher, student, exported = (published(plan, stage) for stage in stages)
    model = AutoModelForSequenceClassification.from_pretrained(teacher, **LOAD).eval()
    int8: Any = OnnxModel(exported / INT8, AutoConfig.from_pretrained(exported, local_files_only=True))
    figures = {
        **speed(torch_pass(model), onnx_pass(exported / INT8), rounds),
        **sizes(on_disk(teacher, MODEL_FILES), on_disk(exported, (INT8, *SIDE_FILES))),
        "score_before": test_score(plan, student),
        "score_after": test_score(plan, exported, int8),
    }
    show("teacher in PyTorch and student in int8 ONNX", figures)
    print(f"  student on test {figures['score_before']:.4f} before export, {figures['score_after']:.4f} in int8 ONNX")
    return figures


def of_tinybert4(rounds: int) -> dict[str, float]:
    """BERT-base in PyTorch against TinyBERT4 in int8 ONNX, both random: speed, and bytes of the weights."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        base, small = Path(folder) / "base", Path(folder) / "small"
        BertForSequenceClassification(BertConfig()).save_pretrained(base)
        BertForSequenceClassification(BertConfig(**TINYBERT4)).save_pretrained(small)
        model = AutoModelForSequenceClassification.from_pretrained(base, **LOAD).eval()
        eager = AutoModelForSequenceClassification.from_pretrained(small, attn_implementation="eager", **LOAD).eval()
        export_onnx(eager, small / "float32.onnx", inputs=["input_ids", "attention_mask"])
        (small / INT8).parent.mkdir()
        quantise(small / "float32.onnx", small / INT8)
        figures = {
            **speed(torch_pass(model), onnx_pass(small / INT8), rounds),
            **sizes(on_disk(base, ("*.safetensors",)), on_disk(small, (INT8,))),
        }
    show("BERT-base in PyTorch and TinyBERT4 in int8 ONNX", figures)
    return figures


def of_openvino(exported: Path, rounds: int) -> dict[str, dict[str, float]]:
    """ONNX Runtime against OpenVINO, the same files: speed."""
    figures = {}
    for name, file in (("int8", INT8), ("float32", FLOAT32)):
        clocked = speed(onnx_pass(exported / file), openvino_pass(exported / file), rounds, clock=time.perf_counter)
        figures[f"from ONNX Runtime to OpenVINO, {name} file"] = clocked
        print(f"{name}: ONNX Runtime {clocked['ms_before']:.3f} ms, OpenVINO {clocked['ms_after']:.3f} ms")
    return figures


def torch_pass(model: Any) -> Pass:
    """A forward pass as a user runs it."""
    ids = torch.from_numpy(random_ids(model.config.vocab_size))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def run() -> object:
        with torch.inference_mode():
            return model(**inputs)

    return run


def onnx_pass(path: Path) -> Pass:
    """A run of a file with one thread."""
    session = open_session(path, threads=1)
    ids = random_ids(1000)
    inputs = {part.name: np.ones_like(ids) for part in session.get_inputs()} | {"input_ids": ids}
    return lambda: session.run(None, inputs)


def openvino_pass(path: Path) -> Pass:
    """A run of a file by OpenVINO with one thread."""
    model = import_module("openvino").compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    )
    ids = random_ids(1000)
    inputs = {part.any_name: np.ones_like(ids) for part in model.inputs} | {"input_ids": ids}
    return lambda: model(inputs)


def random_ids(pieces: int) -> np.ndarray:
    """A text of as many tokens as the latencies elsewhere are measured with, (1, 32)."""
    return np.random.default_rng(0).integers(0, pieces, (1, LATENCY_TOKENS))


def speed(before: Pass, after: Pass, rounds: int, *, clock: Callable[[], float] = time.thread_time) -> dict[str, float]:
    """Milliseconds a pass of each, taking turns, and their ratio."""
    for one in (before, after):
        turn(one, clock)  # warms up
    turns = [(turn(before, clock), turn(after, clock)) for _ in range(rounds)]
    slow, fast = zip(*turns, strict=True)
    ratio = statistics.median(a / b for a, b in turns)
    return {"ms_before": statistics.median(slow), "ms_after": statistics.median(fast), "times_faster": ratio}


def turn(one: Pass, clock: Callable[[], float]) -> float:
    """Milliseconds of a clock a pass, in the median of ten."""
    one()  # the other model's weights have filled the caches
    taken = []
    for _ in range(PASSES):
        begin = clock()
        one()
        taken.append((clock() - begin) * 1000)
    return statistics.median(taken)


def on_disk(folder: Path, patterns: Sequence[str]) -> int:
    """Bytes of some files."""
    return sum(path.stat().st_size for path in {path for pattern in patterns for path in folder.glob(pattern)})


def sizes(before: int, after: int) -> dict[str, float]:
    """Bytes, and their ratio."""
    return {"bytes_before": before, "bytes_after": after, "times_smaller": before / after}


def show(what: str, figures: dict[str, float]) -> None:
    print(
        f"{what}: {figures['ms_before']:.2f} and {figures['ms_after']:.3f} ms,"
        f" {figures['times_faster']:.1f} times faster; {figures['bytes_before'] / 1e6:.2f} and"
        f" {figures['bytes_after'] / 1e6:.2f} MB, {figures['times_smaller']:.1f} times smaller"
    )


if __name__ == "__main__":
    sys.exit(status_of(main))
