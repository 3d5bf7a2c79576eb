"""Everything that is measured on a GPU, in one call.

    python -m benchmarks.gpu --out FOLDER [--parts recipe speed ...] [--seconds 600] [--recipe R]

    recipe      the default recipe from nothing to its results: seconds of each stage, scores
    profile     a step of general and of layer distillation: kernels, and waits for the GPU
    speed       general distillation, BERT-base to TinyBERT4, beside the paper-literal reference: blocks of 128 and of
                512 tokens
    twice       whether a training ends with the same bytes again, and what that costs
    check       losses and gradients beside the reference's, in float32
    augment     words proposed by a masked LM of BERT-base's size
    compiled    whether `torch.compile` pays
    kills       kills of every stage on one process, each byte compared (tests/faults.py)

Parts run one after another, each in processes of its own with a limit in seconds; what fails or takes too long costs no
other part. FOLDER gets a log of each part and figures.json; a summary is printed last. Runs on a CPU too.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import PROJECT
from pipeline.launch.options import DEFAULT_RECIPE

LIMITS = {
    "recipe": 900,
    "profile": 240,
    "speed": 600,
    "twice": 120,
    "check": 120,
    "augment": 240,
    "compiled": 240,
    "kills": 1800,
}
GRACE_SECONDS = 15  # between the signals that ask a part to end and that end it


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the logs and of figures.json")
    parser.add_argument("--parts", nargs="+", choices=LIMITS, default=list(LIMITS), help="in this order")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of all parts together")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--tokens", type=int, default=32768, help="a step of general distillation")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512], help="of its blocks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--kills", type=int, default=11)
    given, overrides = parser.parse_known_args()
    given.out.mkdir(parents=True, exist_ok=True)
    end, figures = time.monotonic() + given.seconds, {}
    for part in given.parts:
        part_end, figures[part] = min(end, time.monotonic() + LIMITS[part]), {}
        for name, words in commands(part, given, overrides).items():
            with tempfile.TemporaryDirectory() as folder:
                figures[part][name] = run([*words], Path(folder), log=given.out / f"{part}.log", end=part_end)
            (given.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    for part, runs in figures.items():
        for name, found in runs.items():
            print(f"{part:<10}{name:<22}{summary(found)}", flush=True)
    return int(any(found["status"] != 0 for runs in figures.values() for found in runs.values()))


def commands(part: str, given: argparse.Namespace, overrides: list[str]) -> dict[str, list[str]]:
    """The runs of a part by name: each a module and its words, in which {work} stands for a folder of its own."""
    recipe = ["--recipe", str(given.recipe), *overrides]
    rounds = ["--rounds", str(given.rounds), "--steps", str(given.steps), "--json", "{work}/figures.json"]

    def general(length: int) -> list[str]:
        size = ["--length", str(length), "--batch-size", str(max(1, given.tokens // length))]
        return ["benchmarks.speed", "general", *recipe, *size]

    if part == "recipe":
        places = ["--run.artifacts", "{work}/artifacts", "--run.runs", "{work}/runs", "--name", "gpu"]
        return {"from nothing": ["pipeline", str(given.recipe), *overrides, *places]}
    if part == "profile":
        few = ["--profile", "--steps", str(min(given.steps, 3)), "--json", "{work}/figures.json"]
        layers = ["benchmarks.speed", "layers", *recipe, *few]
        return {f"general {n}": [*general(n), *few] for n in given.lengths[:1]} | {"layers": layers}
    if part == "speed":
        memory = [] if given.memory else ["--no-memory"]
        return {f"{n} tokens": [*general(n), *rounds, *memory] for n in given.lengths}
    if part == "twice":
        size = ["--steps", str(given.steps), "--json", "{work}/figures.json"]
        return {"layers": ["benchmarks.speed", "layers", *recipe, "--twice", *size]}
    check = ["benchmarks.speed", "general", *recipe, "--check", "--models", "recipe", "--batch-size", "8", *rounds]
    return {
        "check": {"float32": check},
        "augment": {"bert-base": ["benchmarks.speed", "augment", *recipe, "--models", "bert-base", *rounds]},
        "compiled": {"layers": ["benchmarks.compiled", "--json", "{work}/figures.json"]},
        "kills": {"one process": ["tests.faults", "--kills", str(given.kills), "--processes", "1"]},
    }[part]


def run(words: list[str], work: Path, *, log: Path, end: float) -> dict[str, Any]:
    """One run: its status (None: it took too long), its seconds, and the figures that it wrote."""
    words = [word.replace("{work}", str(work)) for word in words]
    print(f"== {' '.join(words)}", flush=True)
    began = time.monotonic()
    if began >= end:
        return {"status": None, "seconds": 0.0}
    with log.open("a", encoding="utf-8") as file:
        file.write(f"== {' '.join(words)}\n")
        file.flush()
        command = [sys.executable, "-m", *words]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file, start_new_session=True)
        status = None
        for seconds, number in ((end - began, signal.SIGTERM), (GRACE_SECONDS, signal.SIGKILL), (None, None)):
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(seconds)
                status = code if number is signal.SIGTERM else None
                break
            os.killpg(process.pid, number or signal.SIGKILL)
    found: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - began, 1)}
    for path in (work / "figures.json", work / "runs" / "gpu" / "results.json"):
        if path.exists():
            found |= {"figures": json.loads(path.read_text(encoding="utf-8"))}
    stages = {path.parent.name: json.loads(path.read_text("utf-8")) for path in work.glob("runs/gpu/*/stage.json")}
    if stages:
        kept = ("seconds", "start_seconds", "peak_memory_bytes", "machine")
        found["stages"] = {name: {key: stage[key] for key in kept} for name, stage in stages.items()}
    return found


def summary(found: dict[str, Any]) -> str:
    """A run in a line."""
    status = {0: "", None: "took too long; "}.get(found["status"], f"status {found['status']}; ")
    said, figures = f"{status}{found['seconds']:.0f} s", found.get("figures", {})
    if "teacher" in figures:
        said += f"; teacher {figures['teacher']['score']:.4f}, student {figures['student']['score']:.4f}"
    if stages := found.get("stages"):
        work, start = (sum(stage[key] for stage in stages.values()) for key in ("seconds", "start_seconds"))
        said += f"; stages {work:.0f} s, launches {start:.0f} s; "
        said += ", ".join(f"{name} {stage['seconds']:.0f}" for name, stage in stages.items())
    if "ratio" in figures:
        said += f"; {figures['ours']:,.0f} {figures['unit']}, {figures['ratio']:.2f} times the reference"
        said += f", {figures['share_of_peak']:.1%} of {figures['matrix_rate'] / 1e12:,.2f} TFLOP/s"
    if "memory_ours" in figures:
        said += f", {figures['memory_ours'] / 1e9:.2f} GB against {figures['memory_reference'] / 1e9:.2f}"
    for way in ("as stages are", "by any algorithm"):
        if way in figures:
            same = "the same bytes" if figures[way]["same_bytes"] else "OTHER BYTES"
            said += f"; {way} {same}, {figures[way]['rate']:,.0f} {figures[way]['unit']}"
    for way in ("ours", "reference"):
        if "wall_ms" in (step := figures.get(way) if isinstance(figures.get(way), dict) else {}):
            said += f"; {way} {step['wall_ms']:.1f} ms a step"
            if "gpu_busy_ms" in step:
                said += f", GPU busy {step['gpu_busy_ms']:.1f}, {step['kernels']:.0f} kernels"
    return said


if __name__ == "__main__":
    sys.exit(main())
