"""The table of `--list` and `--dry-run`: what is done, what will run and why, and what that will cost."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import PROJECT
from pipeline.errors import WorkFailed
from pipeline.launch.launch_command import CPU_ENVIRONMENT
from pipeline.plan.plan import Plan


class Forecast(NamedTuple):
    """What a run will cost."""

    costs: Mapping[str, tuple[float, float]]  # seconds and bytes, by unfinished stage
    busy: str  # what makes the seconds doubtful, or ''


def forecast(plan: Plan, recipe: Path, overrides: Sequence[str]) -> Forecast:
    """What the unfinished stages will cost, measured by a process of its own: it imports torch."""
    if not plan.why:
        return Forecast({}, "")
    command = [sys.executable, "-m", "pipeline.distill.token_costs", "--recipe", str(recipe.absolute()), *overrides]
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    environment = {**CPU_ENVIRONMENT, **os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.splitlines() or [""])[-1]
        raise WorkFailed(f"what the run costs could not be measured ({last}); --list shows the stages without it")
    found = json.loads(done.stdout)
    return Forecast(found["stages"], found["busy"])


def show(plan: Plan, selected: Sequence[str], expected: Forecast | None) -> None:
    """Print the table. Args: expected: what --dry-run adds."""
    costs = expected.costs if expected else {}
    if expected:
        print(*(f"data: {line}" for line in plan.data), sep="\n", end="\n" if plan.data else "")
    for stage, spec in plan.stages.items():
        if stage not in plan.why:
            manifest = spec.artifact.manifest() or {}
            line = f"done       {manifest.get('seconds', 0):7.0f} s   {spec.artifact.folder}"
        else:
            line = f"{'will run' if stage in selected else 'not now'}   {plan.why[stage]}"
        if stage in costs:
            facts = [f"about {_amount(*costs[stage])}", spec.on_this_hardware]
            line += f"   ({'; '.join(filter(None, facts))})"
        print(f"{stage:<20} {line}")
    if expected and costs:
        seconds, size = (sum(cost[n] for stage, cost in costs.items() if stage in selected) for n in (0, 1))
        print(f"in all about {_amount(seconds, size)}, on this machine while nothing else runs on it")
    if expected and expected.busy:
        print(f"now other work keeps it busy ({expected.busy}): the run will take longer, and the estimate is rough")


def _amount(seconds: float, size: float) -> str:
    spoken = f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
    return f"{spoken}, {size / 1e6:,.0f} MB"
