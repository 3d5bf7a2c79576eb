"""What lies in the artifact store, and what of it no run needs any more.

python -m pipeline.artifacts du | gc [--root artifacts] [--runs runs]     shows space; removes what no run links to
"""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline import PROJECT
from pipeline.artifacts.store import Artifact


def _folders(root: Path) -> Iterator[tuple[Path, int]]:
    for folder in sorted(p for p in root.glob("*/*") if p.is_dir() and p.parent.name != "cache"):
        yield folder, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _may_go_on(folder: Path) -> bool:
    """Whether a place holds work in progress: what it is to make is not published, or damaged."""
    made = Artifact(folder.parent.parent, folder.parent.name, folder.stem)
    return folder.suffix == ".work" and (made.manifest() is None or made.missing() is not None)


def _remove(folder: Path) -> bool:
    """Remove a place of the store, unless a process works on it."""
    path = folder.with_name(f"{folder.name.partition('.')[0]}.lock")
    try:
        with FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
            shutil.rmtree(folder)
    except Timeout:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """`du`: the size of every artifact and who links to it. `gc`: remove those without a link."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.artifacts", description=main.__doc__)
    parser.add_argument("command", choices=["du", "gc"])
    parser.add_argument("--root", type=Path, default=PROJECT / "artifacts")
    parser.add_argument("--runs", type=Path, default=PROJECT / "runs")
    given = parser.parse_args(arguments)
    if given.command == "gc" and not given.runs.is_dir():
        parser.error(f"--runs: there is no folder {given.runs}, and without the links of runs every artifact would go")
    linked: dict[Path, list[str]] = {}
    for place in given.runs.glob("*/*"):
        if place.is_symlink():
            linked.setdefault(place.resolve(), []).append(place.parent.name)
    for folder, size in _folders(given.root):
        users = linked.get(folder.resolve())
        print(f"{size / 1e6:10.1f} MB  {folder}  {', '.join(users) if users else 'no run'}")
        if given.command == "gc" and not users and not _may_go_on(folder):
            print(f"{'':10}     {'removed' if _remove(folder) else 'kept: a process works on it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
