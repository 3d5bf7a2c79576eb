"""How fast one core prepares a corpus, and what that makes of 100 GB of text: the figures of docs/scale.md.

python -m benchmarks.corpus_rate --tokenizer MODEL_FOLDER --text FILE.txt [FILE.txt ...]
"""

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # before tokenizers: a core at a time

from pipeline.data.corpus import Corpus, blocks_of, write_shards
from pipeline.data.documents import PART_BYTES, read_documents
from pipeline.models.loading import load_tokenizer

TEXT_BYTES = 24_000_000  # to measure on
SCALE = 100e9
HELD_BYTES = 4 + 8 + 8 + 8  # a block: its length and end (Corpus), length and place in the epoch's order (BatchPlan)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus_rate", description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    given = parser.parse_args()
    tokenizer = load_tokenizer(given.tokenizer)
    text = b"".join(path.read_bytes() for path in given.text)
    with tempfile.TemporaryDirectory() as name:
        source, folder = Path(name) / "text.txt", Path(name) / "corpus"
        source.write_bytes(text * (1 + TEXT_BYTES // len(text)))
        size, began = source.stat().st_size, time.process_time()
        cut = blocks_of(read_documents(source, column="text"), tokenizer, length=128)
        write_shards(cut, folder, shard_blocks=16384, vocab_size=len(tokenizer))
        seconds = time.process_time() - began
        lengths = Corpus(folder).lengths
        stored = sum(path.stat().st_size for path in folder.iterdir())
    blocks, tokens = len(lengths), int(lengths.sum())
    began, noise = time.process_time(), os.urandom(PART_BYTES)
    for _ in range(8):
        hashlib.sha256(noise)
    hashed = 8 * PART_BYTES / (time.process_time() - began)
    rate, bigger = size / seconds, SCALE / size
    print(f"{size / 1e6:.0f} MB: {rate / 1e6:.2f} MB a core-second, {size / tokens:.2f} bytes a token, "
          f"{tokens / blocks:.0f} tokens a block, SHA-256 at {hashed / 1e9:.2f} GB/s")  # fmt: skip
    print(f"100 GB: {SCALE / rate / 3600:.1f} core-hours in {SCALE / PART_BYTES:,.0f} parts of "
          f"{PART_BYTES / rate:.0f} core-seconds; {tokens * bigger / 1e9:.1f}e9 tokens in "
          f"{blocks * bigger / 1e6:.0f}e6 blocks, {stored * bigger / 1e9:.0f} GB; "
          f"{blocks * bigger * HELD_BYTES / 1e9:.1f} GB held by each process that trains on it")  # fmt: skip


if __name__ == "__main__":
    main()
