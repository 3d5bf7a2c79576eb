"""Peak memory is that of what is measured, whatever was in memory before."""

import json
import subprocess
import sys

import numpy as np

from benchmarks.peak_memory import forget_peak, peak

MB = 1_000_000


def test_what_was_freed_is_forgotten() -> None:
    forget_peak()
    before = peak()
    large = np.ones(300 * MB, dtype=np.int8)
    assert peak() > before + 250 * MB
    del large
    forget_peak()
    assert peak() < before + 100 * MB


def test_a_command_does_not_inherit_the_peak_of_who_asks() -> None:
    large = np.ones(600 * MB, dtype=np.int8)
    words = [sys.executable, "-c", "text = b'x' * 200_000_000"]
    done = subprocess.run([sys.executable, "-m", "benchmarks.peak_memory", *words], stdout=subprocess.PIPE, check=True)
    assert 200 * MB < json.loads(done.stdout)["peak_memory"] < 400 * MB < len(large)


def test_the_status_is_that_of_the_command() -> None:
    words = [sys.executable, "-c", "raise SystemExit(3)"]
    done = subprocess.run([sys.executable, "-m", "benchmarks.peak_memory", *words], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 3
