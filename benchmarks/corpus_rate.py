"""How fast one core prepares a corpus, and how much text it is afterwards: docs/scale.md is calculated from it.

    python -m benchmarks.corpus_rate [--recipe R] [--json FILE]

Of the recipe's backbone and the first file of its corpus, repeated until the text is long enough.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # before tokenizers: a core at a time

from pipeline.data.corpus import Corpus, blocks_of, write_shards
from pipeline.data.documents import PART_BYTES, read_documents
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.models.loading import load_tokenizer
from pipeline.plan.plan import make_plan

TEXT_BYTES = 24_000_000  # to measure on
LENGTH = 128  # tokens of a block


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corpus_rate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    inputs = make_plan(given.recipe, [], checked=False).inputs
    text = "\n\n".join(read_documents(inputs.corpus[0], column="text")).encode()
    figures = measure(inputs.backbone, text) | {"sha256_gb_per_second": hash_rate() / 1e9}
    for name, value in figures.items():
        print(f"{name:<26}{value:>8.3f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def measure(backbone: Path, text: bytes) -> dict[str, Any]:
    """Megabytes of text a core-second; bytes of text a token, tokens a block, and bytes on disk a byte of text."""
    tokenizer = load_tokenizer(backbone)
    with tempfile.TemporaryDirectory() as name:
        source, folder = Path(name) / "text.txt", Path(name) / "corpus"
        source.write_bytes((text + b"\n\n") * (1 + TEXT_BYTES // len(text)))
        size, began = source.stat().st_size, time.process_time()
        cut = blocks_of(read_documents(source, column="text"), tokenizer, length=LENGTH)
        write_shards(cut, folder, shard_blocks=16384, vocab_size=len(tokenizer))
        seconds = time.process_time() - began
        lengths = Corpus(folder).lengths
        stored = sum(path.stat().st_size for path in folder.iterdir())
    tokens = int(lengths.sum())
    return {
        "mb_per_core_second": size / seconds / 1e6,
        "text_per_token": size / tokens,
        "tokens_per_block": tokens / len(lengths),
        "stored_per_text": stored / size,
    }


def hash_rate() -> float:
    """Bytes a second that one core checks."""
    noise = os.urandom(PART_BYTES)
    began = time.process_time()
    for _ in range(8):
        hashlib.sha256(noise)
    return 8 * PART_BYTES / (time.process_time() - began)


if __name__ == "__main__":
    main()
