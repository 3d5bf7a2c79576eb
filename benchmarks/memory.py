"""How the memory of general distillation grows with the length of the text, BERT-base to TinyBERT4.

    python -m benchmarks.memory [--lengths 128 256 512 1024] [--reference 128 256 512] [--json FILE]

Each figure is the peak of a process of its own, two steps of 16 blocks that go through the models at once
(`benchmarks.speed general --alone`). What grows is what lies above the shortest length; linear growth doubles it with
the length, an attention map of every pair of tokens quadruples it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pipeline import PROJECT

BLOCKS = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--reference", type=int, nargs="*", default=[128, 256, 512], help="lengths for it too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    figures = {
        way: {length: peak(way, length, overrides) for length in lengths}
        for way, lengths in {"ours": given.lengths, "reference": given.reference}.items()
    }
    print(f"{'tokens':<8}{'ours, GB':>10}{'reference, GB':>15}{'share':>8}")
    for length, ours in figures["ours"].items():
        theirs = figures["reference"].get(length)
        more = f"{theirs / 1e9:>15.2f}{ours / theirs:>8.0%}" if theirs else ""
        print(f"{length:<8}{ours / 1e9:>10.2f}{more}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def peak(way: str, length: int, overrides: list[str]) -> int:
    """Bytes at the most while one of them trains on blocks of a length."""
    options = {
        "--length": length,
        "--batch-size": BLOCKS,
        "--steps": 2,
        "--alone": way,
        "--distill_general.micro_batch_tokens": BLOCKS * length,
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "benchmarks.speed", "general", *words, *overrides]
    answer = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return int(answer.stdout.split()[-1])


if __name__ == "__main__":
    main()
