"""The table of docs/scale.md: what the measured rates make of 100 GB of text."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from benchmarks import results
from benchmarks.tables import where
from pipeline.data.documents import PART_BYTES

TEXT = 100e9  # bytes
SHARD = 16_384  # blocks
HELD = (
    4 + 8 + 8 + 8 + 8
)  # bytes a block: length and end (Corpus), length and place in this and the next epoch (BatchPlan)
MEMORY, PROCESSES = 64e9, 8  # of a machine


def scale_lines() -> str:
    """The rates, and the table that is calculated from them; '' before they were measured."""
    known = results.read("corpus_rate")
    if known is None:
        return ""
    of: Mapping[str, Any] = known["figures"]
    rate, tokens = of["mb_per_core_second"] * 1e6, TEXT / of["text_per_token"]
    blocks, stored, hashed = (
        tokens / of["tokens_per_block"],
        of["stored_per_text"] * TEXT,
        of["sha256_gb_per_second"] * 1e9,
    )
    parts, hours, held = ceil(TEXT / PART_BYTES), TEXT / rate / 3600, blocks * HELD
    of_a_part = ceil(blocks / parts / SHARD)
    rows = [
        (
            "preparing the corpus",
            f"{hours:.1f} core-hours",
            f"{hours / 32 * 60:.0f} minutes with 32 processes of one core each",
        ),
        (
            "parts, the unit of work",
            f"{parts:,} of {PART_BYTES / rate:.0f} core-seconds",
            "64 MiB each; a kill loses at most one for each process",
        ),
        ("tokens, blocks", f"{tokens / 1e9:.1f}e9 tokens in {blocks / 1e6:.0f}e6 blocks", "by the rates above"),
        (
            "the corpus on disk",
            f"{stored / 1e9:.0f} GB",
            "2 bytes a token (a vocabulary over 65,536: 4), 4 bytes a block",
        ),
        ("shards", f"about {parts * of_a_part:,}", f"{SHARD:,} blocks each, at most {of_a_part} a part"),
        (
            "checksums",
            f"{TEXT / hashed:.0f} s over the text, {stored / hashed:.0f} s over the corpus",
            "by one process; the text at the first plan and the stage's end, the corpus at publishing and at the start"
            " of each stage that reads it",
        ),
        (
            "held by each training process",
            f"**{held / 1e9:.1f} GB**",
            f"{HELD} bytes a block: length and end, length, and place in this epoch's order and in the next one's",
        ),
        (
            "a checkpoint of TinyBERT4, of BERT-base",
            f"{14.5e6 * 12 / 1e9:.2f} GB, {110e6 * 12 / 1e9:.1f} GB",
            "weights and two moments in float32, 12 bytes a parameter; two are kept, and the best epoch's weights",
        ),
    ]
    lines = [
        f"`{known['command']}` ({where(known)}):",
        f"{rate / 1e6:.1f} MB of text a core-second, {of['text_per_token']:.2f} bytes a token,"
        f" {of['tokens_per_block']:.0f} tokens in a block of at most 128, and SHA-256 at {hashed / 1e9:.1f} GB/s.",
        "",
        "| 100 GB of English text | | calculation |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"The memory of the host is the first limit. {PROCESSES} processes on a machine hold"
        f" {PROCESSES * held / 1e9:.0f} GB for 100 GB of text.",
        f"So a machine with {MEMORY / 1e9:.0f} GB and {PROCESSES} processes is full at"
        f" {MEMORY / PROCESSES / held * TEXT / 1e9:.0f} GB of text.",
    ]
    return "\n".join(lines) + "\n"
