"""The shared library: everything that more than one stage needs. docs/architecture.md draws its packages."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def in_project(path: Path) -> str:
    """A path as a command in the project's folder, or a recipe, has it: relative where it lies in there."""
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)
