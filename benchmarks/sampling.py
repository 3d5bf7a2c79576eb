"""How fast variants are written, and that time grows with the number of texts while memory does not run away.

    python -m benchmarks.sampling [--sentences 100000 1000000] [--variants 20] [--json FILE]

`python -m data_augment sample` as a user types it, a process of its own for each size, its start included. The texts
are those of the recipe with a number after each, and so are the candidates (their spans stay): run
`./run_all.sh RECIPE --until propose_candidates` first, or name a folder of candidates.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_augment.candidates_folder import read_candidates, shard_path
from pipeline import PROJECT
from pipeline.errors import WorkFailed, require, status_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.plan.plan import make_plan


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE, help="whose candidates are taken")
    parser.add_argument("--candidates", type=Path, help="a folder of candidates, instead of the recipe's")
    parser.add_argument("--sentences", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--variants", type=int, default=20, help="of each sentence")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    candidates = given.candidates or candidates_of(given.recipe, overrides)
    require(
        any((candidates / "data").glob("candidates-*.parquet")),
        f"{candidates} holds no candidates; run `./run_all.sh {given.recipe} --until propose_candidates` first, or name"
        " a folder that `python -m data_augment propose` wrote (--candidates)",
    )
    rows = [measure(candidates, sentences, given.variants) for sentences in given.sentences]
    print(f"{'sentences':>10}{'variants':>12}{'seconds':>9}{'of CPUs':>9}{'variants/s':>12}{'peak memory':>13}")
    for row in rows:
        print(
            f"{row['sentences']:>10,}{row['variants']:>12,}{row['seconds']:>9.1f}{row['cpu_seconds']:>9.1f}{row['variants_per_s']:>12,.0f}"
            f"{row['peak_memory'] / 1e9:>10.2f} GB"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def candidates_of(recipe: Path, overrides: Sequence[str]) -> Path:
    """Where the recipe's candidates lie, or would."""
    return make_plan(recipe, list(overrides), checked=False).stages["propose_candidates"].artifact.folder


def measure(candidates: Path, sentences: int, variants: int) -> dict[str, Any]:
    """Seconds, written variants and peak memory of one `sample`."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        write_numbered(candidates, folder, sentences)
        command = [sys.executable, "-m", "data_augment", "sample", "--input", str(folder / "rows.parquet")]
        command += ["--candidates", str(folder), "--output", str(folder / "augmented"), "-n", str(variants)]
        alone = [sys.executable, "-m", "benchmarks.peak_memory", *command]
        done = subprocess.run(alone, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise WorkFailed(f"{' '.join(command)} ended with status {done.returncode}")
        took = json.loads(done.stdout)
        files = sorted((folder / "augmented" / "data").iterdir())
        written = sum(pq.read_metadata(path).num_rows for path in files) - sentences
        shutil.rmtree(folder / "augmented")
    return {
        "sentences": sentences,
        "variants": written,
        "seconds": took["seconds"],
        "variants_per_s": written / took["seconds"],
        "cpu_seconds": took["cpu_seconds"],
        "peak_memory": took["peak_memory"],
    }


def write_numbered(candidates: Path, folder: Path, sentences: int) -> None:
    """rows.parquet with that many different texts, and a folder of their candidates, shard by shard."""
    sources = sorted((candidates / "data").glob("candidates-*.parquet"))
    each = len(read_candidates(candidates))
    copies = -(-sentences // each)
    (folder / "data").mkdir()
    numbers = islice(count(), copies * len(sources))
    texts = []
    for copy in range(copies):
        for source in sources:
            table = pq.read_table(source)
            numbered = pc.binary_join_element_wise(table["text"].cast(pa.string()), str(copy), " ")  # pyright: ignore[reportAttributeAccessIssue]
            path = shard_path(folder, index=next(numbers), count=copies * len(sources))
            pq.write_table(table.set_column(table.column_names.index("text"), "text", numbered), path)
            texts.append(pc.unique(numbered))  # pyright: ignore[reportAttributeAccessIssue]
    rows = pa.concat_arrays([chunk for part in texts for chunk in _chunks(part)])[:sentences]
    pq.write_table(pa.table({"text": rows}), folder / "rows.parquet")


def _chunks(array: Any) -> list[pa.Array]:
    return array.chunks if isinstance(array, pa.ChunkedArray) else [array]


if __name__ == "__main__":
    sys.exit(status_of(main))
