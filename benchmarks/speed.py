"""How much faster the pipeline's own trainings are than the method written out as in its paper, and that both agree.

    python -m benchmarks.speed {general,layers,predictions,augment} [--json FILE] [--check] [--rounds N] [--steps N]
    python -m benchmarks.speed general --models recipe --batch-size 32
    python -m benchmarks.speed general --length 512
    python -m benchmarks.speed layers --twice

Both run in turn, in one process, on the same models, texts and global batches (benchmarks/cases.py); the figures are
medians over the rounds. `predictions` counts the teacher's annotations, as many for each example of a step as the
recipe needs. Peak memory is that of a process which runs one of them alone. `--check` compares losses and
gradients in float32 instead, and ends with status 1 when they differ. `--twice` trains twice from one start and
compares every byte of the weights, by the algorithms that stages take and by any: what a GPU's repeatable ones cost.

`augment` is no training: words are proposed for texts (benchmarks/proposals.py), and a step is 16 of them. It needs the
masked LM that the recipe trains (`./run_all.sh --until pretrain_teacher`), and says how far the candidates agree; with
`--models bert-base` it takes a random one of that size, for its speed alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peak_memory import forget_peak, peak
from pipeline import PROJECT
from pipeline.errors import status_of
from pipeline.hardware import gpu_count
from pipeline.launch.launch_command import CPU_ENVIRONMENT
from pipeline.launch.options import DEFAULT_RECIPE

STEPS = {"general": 6, "layers": 48, "predictions": 0, "augment": 8}  # of predictions the recipe's epochs are run
EXAMPLES = 256


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=STEPS)
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE, help="whose texts and small models are taken")
    parser.add_argument("--models", choices=("bert-base", "recipe"), help="of general (bert-base) and augment (recipe)")
    parser.add_argument("--length", type=int, default=128, help="tokens a block of general")
    parser.add_argument("--batch-size", type=int, default=16, help="blocks a step of general")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="texts of layers, predictions and augment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="a round")
    parser.add_argument("--check", action="store_true", help="compare what comes out instead of how fast")
    parser.add_argument("--twice", action="store_true", help="whether a training ends with the same bytes again")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out peak memory, which takes a process each way"
    )
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes, both ways")
    parser.add_argument("--alone", choices=("ours", "reference"), help="print the peak memory of one of them")
    given, overrides = parser.parse_known_args()
    _as_a_stage_is_launched()
    given.steps = given.steps or STEPS[given.what]
    given.models = given.models or ("bert-base" if given.what == "general" else "recipe")
    return run(given, overrides)


def run(given: argparse.Namespace, overrides: list[str]) -> int:
    """What the command line asks for; the exit status."""
    if given.check:
        return check(given, overrides)
    if given.twice:
        return twice(given, overrides)
    if given.profile:
        return profile(given, overrides)
    if given.alone:
        print(peak_memory(given, overrides))
        return 0
    figures = measure(given, overrides)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def _as_a_stage_is_launched() -> None:
    """Start again with the environment of the stages, which libraries read when a process begins."""
    missing = {name: value for name, value in CPU_ENVIRONMENT.items() if name not in os.environ}
    if missing and not gpu_count():
        os.execve(sys.executable, sys.orig_argv, os.environ | missing)


def make_case(given: argparse.Namespace, overrides: list[str], work: str) -> Any:
    """The training that the command line names."""
    from benchmarks import cases  # noqa: PLC0415 (torch, after the environment is set)
    from pipeline.plan.plan import make_plan  # noqa: PLC0415

    general = ["--student.start_from", "backbone", "--distill_general.epochs", "1"]  # which a recipe may do without
    more = general if given.what == "general" else []
    plan = make_plan(given.recipe, [*more, *overrides], checked=False)
    if given.what == "augment":
        from benchmarks.proposals import proposals  # noqa: PLC0415

        stage = cases.make_stage(plan, "propose_candidates", Path(work))
        return proposals(stage, plan, models=given.models, examples=given.examples, only=given.alone or "")
    stage = cases.make_stage(plan, f"distill_{given.what}", Path(work))
    if given.what == "general":
        size = {"length": given.length, "batch_size": given.batch_size}
        return cases.general(stage, models=given.models, only=given.alone or "", **size)
    build = {"layers": cases.layers, "predictions": cases.predictions}[given.what]
    return build(stage, examples=given.examples, only=given.alone or "")


def measure(given: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
    """Both in turn; the figures, printed and returned."""
    import torch  # noqa: PLC0415

    from benchmarks.proposals import ALGORITHM_1  # noqa: PLC0415
    from pipeline.training.throughput import Throughput, matrix_rate  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as work:
        case = make_case(given, overrides, work)
        case.run_ours(2)  # what is compiled or allocated at the first step is not timed
        case.run_reference(2)
        ours, reference, throughputs, one_word = [], [], [], []
        for _ in range(given.rounds):
            found, throughput = case.run_ours(given.steps)
            ours.append(found)
            throughputs.append(throughput)
            reference.append(case.run_reference(given.steps))
            if given.what == "augment":
                one_word.append(case.run_ours(given.steps, way=ALGORITHM_1)[0])
        agreement = case.gaps(given.steps) if given.what == "augment" else []
        device = case.stage.accelerator.device
        rate = matrix_rate(device, torch.bfloat16 if case.stage.precision == "bf16" else torch.float32)
    sums = {name: sum(one[name] for one in throughputs) for name in vars(Throughput())}
    memory = {} if given.no_memory else {way: alone(given, overrides, way) for way in ("ours", "reference")}
    figures = {
        "what": given.what,
        "unit": case.unit,
        "ours": statistics.median(ours),
        "reference": statistics.median(reference),
        "ratio": statistics.median(a / b for a, b in zip(ours, reference, strict=True)),
        "ratios": [a / b for a, b in zip(ours, reference, strict=True)],
        "matrix_rate": rate,
        "share_of_peak": sums["flops"] / sums["seconds"] / rate,
        "data_wait_share": sums["data_wait"] / sums["seconds"],
        "precision": case.stage.precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores",
    }
    if given.what == "predictions":
        figures["annotations"] = case.annotations
    if memory:
        figures |= {"memory_ours": memory["ours"], "memory_reference": memory["reference"]}
        figures["memory_ratio"] = memory["ours"] / memory["reference"]
    if given.what == "augment":
        figures |= {"one_word": statistics.median(one_word), "agreement": {gap.name: gap.value for gap in agreement}}
        figures |= {"one_model": True}  # in memory, of those that run alone: once it was both
        figures |= {"way": case.way._asdict(), "shared_with_algorithm_1": case.shared()}
    print(
        f"{given.what}: {figures['ours']:,.0f} {case.unit}, the paper-literal reference {figures['reference']:,.0f}:"
        f" {figures['ratio']:.2f} times (rounds: {', '.join(f'{ratio:.2f}' for ratio in figures['ratios'])})\n"
        f"{sums['flops'] / sums['seconds'] / 1e9:,.0f} GFLOP/s, {figures['share_of_peak']:.0%} of the"
        f" {rate / 1e9:,.0f} that {figures['device']} multiplies in {figures['precision']};"
        f" {figures['data_wait_share']:.1%} of the time waiting for data"
    )
    if memory:
        print(f"peak memory {memory['ours'] / 1e9:.2f} GB against {memory['reference'] / 1e9:.2f} GB")
    if given.what == "augment":
        print(
            f"context {case.way.context}, candidates for {case.way.word_share:.0%} of the words, which is enough for"
            f" the recipe's variants, {case.way.mask_share:.0%} of the tokens masked at once; one word at a time, and"
            f" all words, as in Algorithm 1: {figures['one_word']:,.0f} {case.unit};"
            f" {figures['shared_with_algorithm_1']:.0%} of its candidates are the same"
        )
        show(agreement)
    return figures


def alone(given: argparse.Namespace, overrides: list[str], way: str) -> int:
    """Peak memory, in bytes, of a process that runs two steps one way."""
    options = {
        "--recipe": given.recipe,
        "--models": given.models,
        "--length": given.length,
        "--batch-size": given.batch_size,
        "--examples": min(given.examples, 64),
        "--steps": 2,
        "--alone": way,
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "benchmarks.speed", given.what, *words, *overrides]
    answer = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return int(answer.stdout.split()[-1])


def peak_memory(given: argparse.Namespace, overrides: list[str]) -> int:
    """Bytes at the most while it trains: of the GPU, else of the whole process (Linux counts them)."""
    import torch  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as work:
        case = make_case(given, overrides, work)
        if case.stage.accelerator.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()
        case.run_ours(given.steps) if given.alone == "ours" else case.run_reference(given.steps)
        if case.stage.accelerator.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
    return peak()


def profile(given: argparse.Namespace, overrides: list[str]) -> int:
    """Where the time of a step goes, of ours and of the reference (benchmarks/profiles.py)."""
    from benchmarks.profiles import profiled  # noqa: PLC0415 (torch, after the environment is set)

    found = {}
    with tempfile.TemporaryDirectory() as work:
        case = make_case(given, overrides, work)
        if given.what != "augment":  # else what the device multiplies, measured after a training, is in the profile too
            case = replace(case, job=replace(case.job, flops=lambda batch: 0.0))
        for name, run in {"ours": case.run_ours, "reference": case.run_reference}.items():
            found[name] = profiled(run, given.steps, on_gpu=case.stage.accelerator.device.type == "cuda", name=name)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def twice(given: argparse.Namespace, overrides: list[str]) -> int:
    """Whether a training repeats every byte (benchmarks/repeats.py); 1 when the stages' own way does not."""
    from benchmarks.repeats import repeated  # noqa: PLC0415 (torch, after the environment is set)

    with tempfile.TemporaryDirectory() as work:
        found = repeated(make_case(given, overrides, work), given.steps)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return int(not found["as stages are"]["same_bytes"])


def check(given: argparse.Namespace, overrides: list[str]) -> int:
    """Losses and gradients of one global batch in float32, or candidates, both ways; 1 when they differ."""
    from benchmarks.agreement import gaps  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as work:
        case = make_case(given, [*overrides, "--precision", "fp32", "--student.hidden_dropout", "0"], work)
        found = case.gaps(given.steps) if given.what == "augment" else gaps(case)
    show(found)
    if given.json:
        given.json.write_text(json.dumps({gap.name: gap.value for gap in found}, indent=1), encoding="utf-8")
    return int(any(gap.value > gap.bound for gap in found))


def show(gaps: list[Any]) -> None:
    """How far the two ways are apart, a line each."""
    for gap in gaps:
        print(f"{gap.name:<80}{gap.value:.1e} (at most {gap.bound:.0e}){'' if gap.value <= gap.bound else '  DIFFERS'}")


if __name__ == "__main__":
    sys.exit(status_of(main))
