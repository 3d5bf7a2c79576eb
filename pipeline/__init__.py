"""The shared library: everything that more than one stage needs. docs/architecture.md draws its packages."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
