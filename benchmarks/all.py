"""Every benchmark, one after the other; the figures go to results/, and the pages are made of them.

    python -m benchmarks.all            # hours
    python -m benchmarks.all --quick    # minutes: whether each part works; the figures go to runs/quick-results
    python -m benchmarks.all --parts default baselines export
    python -m benchmarks.all --data FOLDER                       # the other tasks too: benchmarks.tasks

A part that was measured by its command with the product as it is now, on this machine, is not measured again, so the
same command goes on after an interruption.
`export`, `serve`, `sampling`, `speed_augment` and `needs` read the default run: with --quick, run ./run_all.sh before.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import pages, results, tasks
from pipeline import PROJECT
from pipeline.launch.options import DEFAULT_RECIPE

RUNS = {  # parts that are runs of the pipeline, and the names of these
    "default": DEFAULT_RECIPE.stem,
    "float32": f"{DEFAULT_RECIPE.stem}-float32",
    "avx2": f"{DEFAULT_RECIPE.stem}-avx2",
    "smallest": "smallest",
}

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
RUN_THE_PIPELINE = ("pipeline", *(f"benchmarks.{name}" for name in ("quality", "baselines", "evidence", "methods")))
RUN_THE_PIPELINE += ("benchmarks.sweep", "benchmarks.tasks")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A benchmark, and what it is for."""

    title: str
    command: str
    quick: str | None = None  # the same in minutes; None: it has no such form
    task: str | None = None  # of `benchmarks.tasks`: without its data it is not run
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that the command needs

    @property
    def reads_runs(self) -> bool:
        """Whether it runs the pipeline. What is finished is not run again, so its own time says nothing."""
        return self.command.split()[0] in RUN_THE_PIPELINE


PARTS = {
    "default": Part(title="The default run, seed 0", command="pipeline"),
    "float32": Part(
        title="The default run in float32, as on processors without bf16",
        command=f"pipeline --precision fp32 --name {RUNS['float32']}",
    ),
    "avx2": Part(
        title="The default run in float32, PyTorch limited to AVX2",
        command=f"pipeline --precision fp32 --name {RUNS['avx2']} --run.artifacts runs/avx2-artifacts",
        environment=AVX2,
    ),
    "smallest": Part(title="A student of 2 layers x 128", command="pipeline recipes/smallest.yaml"),
    "quality": Part(title="The default run over three seeds", command="benchmarks.quality --seeds 0 1 2"),
    "baselines": Part(title="What one would take instead", command="benchmarks.baselines"),
    "evidence": Part(
        title="What each part brings (ablations), one seed", command="benchmarks.evidence --tasks snippets --seeds 0"
    ),
    "methods": Part(title="Related methods, one budget, three starts", command="benchmarks.methods"),
    "starts": Part(
        title="How the student starts",
        command="benchmarks.sweep --vary student.start fitted random --seeds 0 --student.start_from backbone"
        " --distill_layers.attention 1",  # which a random start needs
    ),
    "general": Part(
        title="General distillation of a student that is fitted to the backbone",
        command="benchmarks.sweep --vary distill_general.epochs 0 1 3 --student.start_from backbone",
    ),
    "augmentation": Part(
        title="Augmentation: the student by number of variants",
        command="benchmarks.sweep --vary augment_data.variants 0 2 5",
    ),
    "masked_lm": Part(
        title="The masked LM: how much of it is trained",
        command="benchmarks.sweep --vary pretrain_teacher.train all 'top 2' 'top 1' --seeds 0 --until pretrain_teacher",
    ),
    "mask_share": Part(
        title="Words masked in one pass",
        command="benchmarks.sweep --vary propose_candidates.mask_share 0 0.1 0.15 0.25 --seeds 0",
    ),
    "export": Part(
        title="What ships: speed and size", command="benchmarks.export", quick="benchmarks.export --rounds 3"
    ),
    "serve": Part(
        title="The server under load", command="benchmarks.serve", quick="benchmarks.serve --requests 64"
    ),
    "speed_general": Part(
        title="Speed: general distillation, BERT-base to TinyBERT4",
        command="benchmarks.speed general",
        quick="benchmarks.speed general --models recipe --rounds 1 --steps 2 --no-memory",
    ),
    "speed_layers": Part(
        title="Speed: distillation of layers",
        command="benchmarks.speed layers",
        quick="benchmarks.speed layers --rounds 1 --steps 4 --examples 64 --no-memory",
    ),
    "speed_predictions": Part(title="Speed: distillation of predictions", command="benchmarks.speed predictions"),
    "speed_augment": Part(title="Speed: candidates for words", command="benchmarks.speed augment"),
    "sampling": Part(
        title="Speed: sampling variants", command="benchmarks.sampling", quick="benchmarks.sampling --sentences 2000"
    ),
    "memory": Part(
        title="Peak memory by length",
        command="benchmarks.memory",
        quick="benchmarks.memory --lengths 128 --reference 128",
    ),
    "needs": Part(title="What the default run needs of a machine", command="benchmarks.needs"),
    "corpus_rate": Part(title="A corpus: text prepared by a core", command="benchmarks.corpus_rate"),
    "fit": Part(title="How near each start is to the teacher", command="benchmarks.fit"),
    "fit_bert_base": Part(title="The fit of TinyBERT4 from BERT-base", command="benchmarks.fit --models bert-base"),
} | {
    f"task_{name}": Part(
        title=f"Another task: {title}",
        command=f"benchmarks.tasks --tasks {name}",
        quick=f"benchmarks.tasks --tasks {name} --dry-run",
        task=name,
    )
    for name, title in tasks.TITLES.items()
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, and only the parts that have some")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--data", type=Path, default=tasks.DATA, help="folder of the other tasks' data sets (data)")
    given = parser.parse_args()
    folder = PROJECT / "runs" / "quick-results" if given.quick else results.RESULTS
    failed = [part for part in given.parts if not measured(part, quick=given.quick, folder=folder, data=given.data)]
    if not given.quick:
        pages.write_all()
    if failed:
        print(f"failed: {', '.join(failed)}; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def measured(part: str, *, quick: bool, folder: Path, data: Path = tasks.DATA) -> bool:
    """Measure a part, unless it is measured already; whether that went well.

    Args: data: where the other tasks' data sets lie; a task without its data is not run, which is no failure.
    """
    command, task = PARTS[part].quick if quick else PARTS[part].command, PARTS[part].task
    if command is None:
        print(f"== {part}: not run: it takes too long for --quick", flush=True)
        return True
    if task and not tasks.is_there(task, data):
        print(f"== {part}: not run: its data are not in {data} (--data)", flush=True)
        return True
    typed = " ".join([*(f"{name}={value}" for name, value in PARTS[part].environment.items()), f"python -m {command}"])
    stamp = {"command": typed, "commit": results.commit(), "machine": results.machine()}
    known = results.read(part, folder)
    if known and not known["commit"].endswith("+") and all(known[key] == value for key, value in stamp.items()):
        print(f"== {part}: measured at {known['commit']}", flush=True)
        return True
    print(f"== {part}: {typed}", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        file = Path(name) / "figures.json"
        into = [] if part in RUNS else ["--output" if part == "evidence" else "--json", str(file)]
        words = [sys.executable, "-m", *shlex.split(command), *(["--data", str(data)] if task else []), *into]
        environment = os.environ | PARTS[part].environment
        if subprocess.run(words, cwd=PROJECT, check=False, env=environment).returncode != 0:
            return False
        seconds = None if PARTS[part].reads_runs else time.monotonic() - begin
        figures: Any = None
        if part in RUNS:
            run = PROJECT / "runs" / RUNS[part]
            figures, stamp["commit"] = pages.figures_of(run), pages.commit_of(run)
            seconds = figures["seconds"]  # of all stages: some may have been done before
        elif part == "evidence":
            figures = file.read_text(encoding="utf-8")
        else:
            figures = json.loads(file.read_text(encoding="utf-8"))
    # the commit is that of the beginning: hours later the checkout may be another
    results.write(part, figures, command=stamp["command"], seconds=seconds, folder=folder, at_commit=stamp["commit"])
    return True


if __name__ == "__main__":
    sys.exit(main())
