"""Show what takes space, or remove what no run links to.

python -m pipeline.artifacts du | gc [--root artifacts] [--runs runs]
"""

import argparse
import contextlib
import re
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline import PROJECT
from pipeline.artifacts.store import MANIFEST, Artifact, folders_of_runs
from pipeline.errors import status_of


def _is_artifact(folder: Path) -> bool:
    """Whether it is a folder as the store makes them: published, in work or set aside."""
    name = re.fullmatch(r"[0-9a-f]+(\.work|\.aside-\d+)?", folder.name)
    return bool(name) and folder.is_dir() and (bool(name[1]) or (folder / MANIFEST).is_file())


def _may_go_on(folder: Path) -> bool:
    """Whether a folder holds work in progress: its artifact is not published, or damaged."""
    artifact = Artifact(folder.parent.parent, folder.parent.name, folder.stem)
    return folder.suffix == ".work" and (artifact.manifest() is None or artifact.missing() is not None)


def _remove(folder: Path) -> bool:
    """Remove a folder of the store, unless a process works on it."""
    path = folder.with_name(f"{folder.name.partition('.')[0]}.lock")
    try:
        with FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
            shutil.rmtree(folder)
    except Timeout:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """`du`: the size of every artifact and who links to it. `gc`: remove those without a link."""
    command = parser()
    options = command.parse_args(arguments)
    if options.command == "gc" and not options.runs.is_dir():
        command.error(
            f"--runs: there is no folder {options.runs}, and without the links of runs every artifact would go"
        )
    runs_of: dict[Path, list[str]] = {}
    for runs in {options.runs.resolve(), *folders_of_runs(options.root)}:
        for link in runs.rglob("*"):  # a run's folder may lie in one of its own
            if link.is_symlink():
                runs_of.setdefault(link.resolve(), []).append(link.parent.name)
    for folder in sorted(filter(_is_artifact, options.root.glob("*/*"))):
        runs = runs_of.get(folder.resolve(), [])
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{size / 1e6:10.1f} MB  {folder}  {', '.join(runs) or 'no run'}")
        if options.command == "gc" and not runs and not _may_go_on(folder):
            print(f"{'':10}     {'removed' if _remove(folder) else 'kept: a process works on it'}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.artifacts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "command", choices=["du", "gc"], help="du: the size of each artifact, and its runs; gc: remove those of no run"
    )
    options.add_argument(
        "--root", type=Path, default=PROJECT / "artifacts", help="folder of the artifacts (default: artifacts)"
    )
    options.add_argument("--runs", type=Path, default=PROJECT / "runs", help="folder of the runs (default: runs)")
    return options


if __name__ == "__main__":
    sys.exit(status_of(main))
