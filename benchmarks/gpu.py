"""Everything that is measured on a GPU, in one call.

    python -m benchmarks.gpu [--json FILE] [--tokens 32768] [--rounds 3]

General distillation from BERT-base to TinyBERT4, in bf16, at 128 and at 512 tokens: the ratio to the paper-literal
reference on the same device, the share of the device's matrix rate measured in the same run, peak memory; then the
agreement of losses and gradients in float32. Runs on a CPU too, where it shows that it runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.recipes import PROJECT

TOKENS = 32768  # of the batch at 128, and at 512


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="a step, and at most that many at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    given, overrides = parser.parse_known_args()
    figures, worst = {}, 0
    for length in (128, 512):
        batch = max(1, given.tokens // length)
        sizes = ["--length", str(length), "--batch-size", str(batch), *overrides]
        sizes += ["--distill_general.micro_batch_tokens", str(given.tokens)]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            rounds = ["--rounds", str(given.rounds), "--steps", str(given.steps), "--json", str(file)]
            worst = max(worst, speed(*sizes, *rounds))
            figures[length] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    worst = max(worst, speed("--check", "--models", "recipe", "--batch-size", "8", *overrides))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return worst


def speed(*words: str) -> int:
    """One run of `benchmarks.speed general`; its status."""
    print(f"== general {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "benchmarks.speed", "general", *words]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
