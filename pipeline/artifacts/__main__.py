"""Show what takes space, or remove what no run uses.

python -m pipeline.artifacts du | gc [--root artifacts] [--runs runs]
"""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from pipeline import PROJECT
from pipeline.artifacts.locks import locks_needed
from pipeline.artifacts.run_links import RECIPE, folders_of_runs
from pipeline.artifacts.store import MANIFEST, Artifact
from pipeline.errors import UserError, require, status_of


def _is_artifact(folder: Path) -> bool:
    """Whether it is a folder as the store makes them: published, in work or set aside."""
    name = re.fullmatch(r"[0-9a-f]+(\.work|\.aside-\d+)?", folder.name)
    return bool(name) and folder.is_dir() and (bool(name[1]) or (folder / MANIFEST).is_file())


def _size(folder: Path) -> int:
    """Bytes of all files; a stage at work may remove one meanwhile."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += Path(parent, name).stat().st_size
    return size


def _may_go_on(folder: Path) -> bool:
    """Whether a folder holds work in progress: its artifact is not published, or damaged."""
    artifact = Artifact.at(folder.with_suffix(""))
    return folder.suffix == ".work" and (artifact.manifest() is None or artifact.missing() is not None)


def _named_in(recipe: Path) -> Iterator[Path]:
    """The paths in a run's recipe, and the folders that they lie in: one may be an artifact, as of a reused dataset."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError, yaml.YAMLError):
        trees = [yaml.safe_load(recipe.read_text(encoding="utf-8"))]
        while trees:
            tree = trees.pop()
            if isinstance(tree, dict | list):
                trees += tree.values() if isinstance(tree, dict) else tree
            elif isinstance(tree, str) and "/" in tree:
                with contextlib.suppress(RuntimeError, ValueError):  # a text that is no path
                    path = Path(os.path.realpath(PROJECT / Path(tree).expanduser()))
                    yield from (path, *path.parents)


def _uses(folder: Path, seen: set[Path], lost: list[str]) -> Iterator[tuple[str, Path]]:
    """What the runs in a folder link to or name, each with the folder's name; a run may itself be a link.

    Args:
        seen: the folders that were looked at already.
        lost: gets a sentence for each folder and recipe that may not be read.
    """
    if folder in seen:
        return
    seen.add(folder)
    with _unreadable(lost):
        for path in folder.iterdir():
            target = Path(os.path.realpath(path))
            if path.is_symlink():
                yield folder.name, target
                if (target / RECIPE).is_file() or next(target.glob(f"*/{RECIPE}"), None):
                    yield from _uses(target, seen, lost)
            elif path.is_dir():
                yield from _uses(target, seen, lost)
            elif path.name == RECIPE:
                with _unreadable(lost):
                    yield from ((folder.name, named) for named in _named_in(path))


@contextlib.contextmanager
def _unreadable(lost: list[str]) -> Iterator[None]:
    """Note what may not be read; what is removed this moment is no loss."""
    try:
        yield
    except FileNotFoundError:
        pass
    except PermissionError as error:
        lost.append(f"{error.filename} may not be read, and a run in it may use artifacts: change its permissions")


def _runs_by_artifact(root: Path, runs: Path) -> tuple[dict[Path, list[str]], list[str]]:
    """The names of the runs that use each artifact; and a sentence for each folder whose runs are not known."""
    folders, lost, seen = {runs.resolve()}, [], set()
    for note, possible in folders_of_runs(root).items():
        there = [path for path in possible if path.is_dir()]
        folders.update(there)
        if not there:
            lost.append(
                f"runs in {possible[0]} use artifacts of {root}, and there is no such folder now: mount it, or move it"
                " back; if it was moved for good, start one of its runs there (./run_all.sh RECIPE), and if it was"
                f" deleted or moved, remove the note of it: rm {shlex.quote(str(note))}"
            )
    runs_of: dict[Path, list[str]] = {}
    for run, used in (use for folder in sorted(folders) if folder.is_dir() for use in _uses(folder, seen, lost)):
        moved = root.resolve() / used.parent.name / used.name  # by its name, where the store was moved since
        runs_of.setdefault(used if used.exists() else moved, []).append(run)
    return runs_of, lost


def _remove(folder: Path, runs: Path) -> str:
    """Remove a folder of the store, unless a process works on it or a run uses it by now; returns what was done."""
    root = folder.parent.parent
    path = folder.with_name(f"{folder.name.partition('.')[0]}.lock")
    try:
        with locks_needed(root), FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
            runs_of, lost = _runs_by_artifact(root, runs)  # a run may have begun since `gc` did
            if lost:
                return f"kept: {lost[0]}"
            if folder.resolve() in runs_of:
                return "kept: a run uses it by now"
            if not folder.suffix:  # published: one half removed would be no artifact, which no other `gc` would find
                folder = Artifact(root, folder.parent.name, folder.name).set_aside()
            shutil.rmtree(folder)
    except Timeout:
        return "kept: a process works on it"
    return "removed"


def main(arguments: list[str] | None = None) -> int:
    """`du`: the size of every artifact and which runs use it. `gc`: remove those of no run.

    Raises: UserError where there is no such store, or it is not known what some runs use; then `gc` removes nothing.
    """
    command = parser()
    options = command.parse_args(arguments)
    if options.command == "gc" and not options.runs.is_dir():
        command.error(
            f"--runs: there is no folder {options.runs}, and without the links of runs every artifact would go"
        )
    require(options.root.is_dir(), f"--root: there is no folder {options.root}")
    runs_of, lost = _runs_by_artifact(options.root, options.runs)
    if options.command == "gc" and lost:
        raise UserError(f"nothing was removed: {'; '.join(lost)}")
    for sentence in lost:
        print(f"warning: {sentence}", file=sys.stderr)
    for folder in sorted(filter(_is_artifact, options.root.glob("*/*"))):
        runs = dict.fromkeys(runs_of.get(folder.resolve(), ()))
        print(f"{_size(folder) / 1e6:10.1f} MB  {folder}  {', '.join(runs) or 'no run'}")
        if options.command == "gc" and not runs:
            goes_on = f"kept: unfinished, and the same settings go on with it; else: rm -r {shlex.quote(str(folder))}"
            print(f"{'':10}     {goes_on if _may_go_on(folder) else _remove(folder, options.runs)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.artifacts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "command",
        choices=["du", "gc"],
        help="du: the size of each artifact, and its runs; gc: remove those of no run, but for unfinished work",
    )
    options.add_argument(
        "--root", type=Path, default=PROJECT / "artifacts", help="folder of the artifacts (default: artifacts)"
    )
    options.add_argument("--runs", type=Path, default=PROJECT / "runs", help="folder of the runs (default: runs)")
    return options


if __name__ == "__main__":
    sys.exit(status_of(main))
