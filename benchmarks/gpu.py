"""Everything that is measured on a GPU, in one call.

    python -m benchmarks.gpu [--json FILE] [--tokens 32768] [--rounds 3] [--kills 11]

General distillation from BERT-base to TinyBERT4, in bf16, at 128 and at 512 tokens: the ratio to the paper-literal
reference on the same device, the share of the device's matrix rate measured in the same run, peak memory; then the
agreement of losses and gradients in float32; words proposed by a masked LM of BERT-base's size; whether `torch.compile`
pays (`benchmarks.compiled`); and kills of every stage on one process, each byte compared (`tests.faults`). Runs on a
CPU too, where it shows that it runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import PROJECT

TOKENS = 32768  # of the batch at 128, and at 512


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="a step, and at most that many at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--kills", type=int, default=11)
    given, overrides = parser.parse_known_args()
    figures, worst = {}, 0
    for length in (128, 512):
        batch = max(1, given.tokens // length)
        sizes = ["--length", str(length), "--batch-size", str(batch), *overrides]
        sizes += ["--distill_general.micro_batch_tokens", str(given.tokens)]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            rounds = ["--rounds", str(given.rounds), "--steps", str(given.steps), "--json", str(file)]
            worst = max(worst, run("benchmarks.speed", "general", *sizes, *rounds))
            figures[length] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    check = ("--check", "--models", "recipe", "--batch-size", "8", *overrides)
    propose = ("--models", "bert-base", "--rounds", str(given.rounds), *overrides)
    worst = max(worst, run("benchmarks.speed", "general", *check), run("benchmarks.speed", "augment", *propose))
    worst = max(worst, run("benchmarks.compiled"))
    worst = max(worst, run("tests.faults", "--kills", str(given.kills), "--processes", "1"))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return worst


def run(module: str, *words: str) -> int:
    """One of the measurements; its status."""
    print(f"== {module} {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", module, *words], cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
