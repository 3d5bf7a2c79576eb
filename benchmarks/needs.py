"""What the default run needs of a machine: disk for packages, downloads and artifacts, and memory.

    python -m benchmarks.needs [--recipe R] [--json FILE] [--section.field value ...]

Of a finished run, in the environment that runs this: in a clone where only ./run_all.sh was run, that has no packages
but the run's own.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.runs import published
from pipeline.artifacts.store import cache_folder
from pipeline.errors import status_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.plan.plan import make_plan


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.needs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    plan = make_plan(given.recipe, overrides, checked=False)
    memory = {}
    for stage, spec in plan.stages.items():
        published(plan, stage)
        memory[stage] = (spec.artifact.manifest() or {})["peak_memory_bytes"]["host"]
    figures = {
        "packages_bytes": on_disk(Path(sys.prefix)),
        "downloads_bytes": on_disk(cache_folder(Path(plan.recipe.run.artifacts))),
        "artifacts_bytes": sum(on_disk(spec.artifact.folder) for spec in plan.stages.values()),
        "peak_memory": max(memory.values()),
    }
    for name, value in figures.items():
        print(f"{name:<18}{value / 1e9:>7.2f} GB")
    print(f"most memory: {max(memory, key=lambda stage: memory[stage])}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def on_disk(folder: Path) -> int:
    """Bytes that a folder takes; of several names of one file, once; links are not followed."""
    files = {}
    for place, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(Path(place, name))
            files[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(files.values())


if __name__ == "__main__":
    sys.exit(status_of(main))
