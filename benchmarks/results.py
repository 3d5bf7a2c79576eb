"""The files of results/: what a benchmark measured, with the command, the commit, the machine and the day.

A file holds one part of `benchmarks.all`. The pages are made of these files (`benchmarks.pages`).
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.hardware import cpu_cores, cpu_info, cpu_name

RESULTS = PROJECT / "results"
BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # flag of a processor -> its usual name
FLOAT32 = {"avx512f": "AVX512", "avx2": "AVX2"}  # the widest first
UNKNOWN = "unknown"  # a commit, where there was no git
PRODUCT = ("pipeline", "stages", "data_augment", "recipes", "accelerate_configs", "pyproject.toml", "run_all.sh")


def read(part: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """What is known of a part; None where it was not run."""
    path = folder / f"{part}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(
    part: str,
    figures: Any,
    *,
    command: str,
    seconds: float | None = None,
    folder: Path = RESULTS,
    at_commit: str | None = None,
    on: str | None = None,
) -> Path:
    """Keep the figures of a part.

    Args:
        seconds: that measuring took; None where finished runs are read, which took their time before.
        at_commit: the product's; None: this checkout's.
        on: the machine; None: this one.
    """
    path = folder / f"{part}.json"
    kept = {
        "command": command,
        "commit": at_commit or commit(),
        "machine": on or machine(),
        "day": time.strftime("%Y-%m-%d"),
        "seconds": None if seconds is None else round(seconds),
        "figures": figures,
    }
    write_atomically(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return path


def commit(at: str = "HEAD") -> str:
    """The last commit, at another, that changed the product; of this checkout with a + where its product differs.

    A figure says how the product did. Other tests, pages and benchmarks leave it as it was.
    """
    found = _git("log", "-1", "--format=%h", "--abbrev=7", at, "--", *PRODUCT)
    changed = at == "HEAD" and _git("status", "--porcelain", "--", *PRODUCT)
    return found + ("+" if changed else "") or UNKNOWN


def machine() -> str:
    """This one: its processor, and the cores that it leaves to a process."""
    return f"{_processor()}, {cpu_cores()} cores"


def _git(*words: str) -> str:
    """What git answers; nothing where there is none."""
    done = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    """Its name, and what it multiplies with, which decides how fast it trains."""
    with_bf16 = [shown for flag, shown in BF16.items() if flag in cpu_info()]
    without = [shown for flag, shown in FLOAT32.items() if flag in cpu_info()][:1]
    return ", ".join([cpu_name(), *(with_bf16 or without)])
