"""Kill the pipeline at random instants, run the same command again, and compare every byte with a run never killed.

python -m tests.faults --kills 30 --seed 0        # minutes; a line a kill, then how many; status 1 if one differs

The pipeline is that of `tests.tiny`, on one process and on two, a checkpoint after every step.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.plan.stages import STAGES
from tests import tiny
from tests.helpers.commands import copy_artifacts, kill_tree, run_all

LAUNCH_SECONDS = 6.0  # until a launched stage has its work folder: imports
# In results.json: another time, other figures.
MEASURED = ("seconds", "latency_ms", "teacher_latency_ms", "examples_per_s", "times_faster")
EVERY_STEP = ("--run.checkpoint_seconds", "0.001")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One draw: a stage, and the instant at which all of its processes get SIGKILL."""

    stage: str
    processes: int
    after: Literal["start", "work", "building"]
    """The command's start, the first sight of the work folder, or of a file or folder under a temporary name."""
    seconds: float
    again: bool
    """Whether the run that goes on is killed too, at the same instant."""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s after {self.after}{', twice' if self.again else ''}"


def draw(source: random.Random, seconds: dict[int, dict[str, float]]) -> Kill:
    """A kill of a stage; `seconds` are those of its work by processes and stage."""
    processes = source.choice(sorted(seconds))
    stage = source.choice(list(seconds[processes]))
    after = source.choices(("start", "work", "building"), weights=(2, 5, 3))[0]
    longest = {"start": LAUNCH_SECONDS, "work": seconds[processes][stage], "building": 0.05}[after]
    return Kill(
        stage=stage, processes=processes, after=after, seconds=source.uniform(0, longest), again=source.random() < 0.25
    )


def kill_and_resume(kill: Kill, *, recipe: Path, whole: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Run one stage on the artifacts of a whole run, kill it, and run it again to its end.

    Args:
        whole: the folder of the run never killed, with as many processes.
        folder: a new one for the store.

    Returns: what each kill left behind, and the files that differ from those of the whole run.
    """
    store = folder / "artifacts"
    copy_artifacts(whole, store, until=kill.stage, copy=os.link)
    words: list[str | Path] = [recipe, "--run.artifacts", store, "--run.runs", folder / "runs", "--only", kill.stage]
    words += [*EVERY_STEP, "--", "--num_processes", str(kill.processes)]
    left = [strike(words, kill, store / kill.stage) for _ in range(1 + kill.again)]
    resumed = run_all(*words)
    if resumed.returncode != 0:
        return left, [f"status {resumed.returncode}: {resumed.stderr[-2000:]}"]
    if step := next((line for line in resumed.stderr.splitlines() if "going on from step" in line), None):
        left[-1] += f" ({step.partition('] ')[2]})"
    ours = next(path for path in (store / kill.stage).iterdir() if (path / "stage.json").exists())
    return left, sorted(differing((whole / kill.stage).resolve(), ours))


def strike(words: list[str | Path], kill: Kill, place: Path) -> str:
    """Start the command, kill it at its instant; says what lies there then."""
    process: subprocess.Popen[bytes] = run_all(*words, wait=False)
    while process.poll() is None and not _has_come(kill.after, place):
        time.sleep(0.001)
    end = time.monotonic() + kill.seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    ended = process.poll() is not None
    kill_tree(process.pid)
    process.wait()
    return "ended before" if ended else found(place)


def _has_come(event: str, place: Path) -> bool:
    if event == "start":
        return True
    names = place.glob("*.work") if event == "work" else (p for p in place.glob("*.work/**/*") if is_temporary(p))
    with suppress(FileNotFoundError):  # the stage published in the meantime
        return next(iter(names), None) is not None
    return False


def is_temporary(path: Path) -> bool:
    """A name under which something is being written."""
    return path.suffix in (".tmp", ".part") or (path.name.startswith(".") and path.suffix != ".sha256")


def found(place: Path) -> str:
    """What lies in a stage's folder of the store."""
    if any(place.glob("*/stage.json")):
        return "published"
    if not any(place.glob("*.work")):
        return "nothing"
    names = list(place.glob("*.work/**/*"))
    parts = {
        "checkpoints": sum(p.name.startswith("checkpoint-") and not is_temporary(p) for p in names),
        "units": sum(p.suffix in (".parquet", ".npy") and "output" not in p.parts and p.is_file() for p in names),
        "half written": sum(map(is_temporary, names)),
        "files of output": sum("output" in p.parts and p.is_file() for p in names),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count) or "an empty work folder"


def differing(whole: Path, ours: Path) -> Iterator[str]:
    """Files of two artifacts that are not equal byte for byte; of results.json and a model card, what is no time."""
    names = {p.relative_to(folder) for folder in (whole, ours) for p in folder.rglob("*") if p.is_file()}
    for name in names - {Path("stage.json")}:
        both = [folder / name for folder in (whole, ours)]
        if not all(path.is_file() for path in both):
            yield f"{name} is missing"
        elif name.name == "results.json":
            one, other = (_without_times(json.loads(path.read_text(encoding="utf-8"))) for path in both)
            if one != other:
                yield str(name)
        elif name.name == "README.md":
            one, other = (re.sub(r"[\d.,]+ (?=ms|texts/s)", "", path.read_text(encoding="utf-8")) for path in both)
            if one != other:
                yield str(name)
        elif both[0].read_bytes() != both[1].read_bytes():
            yield str(name)


def _without_times(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {key: _without_times(value) for key, value in tree.items() if key not in MEASURED}


def whole_run(recipe: Path, folder: Path, processes: int) -> Path:
    """The folder of a run never killed."""
    done = run_all(recipe, "--run.artifacts", folder / "artifacts", "--run.runs", folder / "runs", *EVERY_STEP,
                   "--", "--num_processes", str(processes))  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"the run that is not killed failed:\n{done.stderr[-3000:]}")
    return folder / "runs" / recipe.stem


def work_seconds(whole: Path) -> dict[str, float]:
    """The seconds that each stage worked."""
    return {s: json.loads((whole / s / "stage.json").read_text())["seconds"] for s in STAGES if (whole / s).is_dir()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="a kill draws one of these")
    given = parser.parse_args(arguments)
    source = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        recipe = tiny.make(folder / "tiny")
        wholes = {n: whole_run(recipe, folder / f"whole-{n}", n) for n in given.processes}
        seconds = {n: work_seconds(whole) for n, whole in wholes.items()}
        print(f"{'stage':<20} {'processes':<10} {'instant':<34} {'bytes':<8} left behind", flush=True)
        done = wrong = misses = 0
        while done < given.kills:
            kill = draw(source, seconds)
            here = folder / f"kill-{done}-{misses}"
            left, differ = kill_and_resume(kill, recipe=recipe, whole=wholes[kill.processes], folder=here)
            if left[0] == "ended before":
                misses += 1
                continue
            done, wrong = done + 1, wrong + bool(differ)
            verdict = f"differ: {', '.join(differ)}" if differ else "equal"
            print(f"{kill.stage:<20} {kill.processes:<10} {kill!s:<34} {verdict:<8} {'; then '.join(left)}", flush=True)
    print(f"{done} kills (seed {given.seed}), {wrong} ended with other bytes")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
