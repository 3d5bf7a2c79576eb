"""Tables of embeddings in 4 bits: a scale for each row, chosen by least squares, two numbers in a byte.

Source: Guan et al. 2019, "Post-Training 4-bit Quantization on Embedding Tables" (arXiv:1911.02079), here with scales of
both signs instead of ranges. Needs no torch.
"""

import numpy as np

LARGEST = 7  # of the whole numbers -7 to 7, stored as 1 to 15
AT_ONCE = 4096  # rows
CLIPS = np.linspace(1.0, 0.5, 11, dtype=np.float32)  # where a row is cut off, as a share of its largest number


def pack_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows in 4 bits, each with the scale (of `CLIPS`) that has the least squared error.

    Args: table: (V, W), W even.
    Returns: bytes (V, W / 2), the first half of a row in their low 4 bits and the second in the high ones, each
        number plus 8; scales (V, 1), float32.
    """
    packed = np.empty((len(table), table.shape[1] // 2), dtype=np.uint8)
    scales = np.empty((len(table), 1), dtype=np.float32)
    for begin in range(0, len(table), AT_ONCE):
        rows = slice(begin, begin + AT_ONCE)
        numbers, scales[rows] = _nearest_numbers(table[rows])
        low, high = np.split((numbers + 8).astype(np.uint8), 2, axis=1)
        packed[rows] = low | high << 4
    return packed, scales


def _nearest_numbers(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole number that each of (n, W) becomes, and the scale of each row, (n, 1)."""
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30)  # a row of zeros
    best, least = np.zeros_like(rows), np.full((len(rows), 1), np.inf)
    scales = np.zeros_like(largest)
    for clip in CLIPS:
        scale = (largest * clip / LARGEST).astype(np.float32)
        numbers = np.clip(np.rint(rows / scale), -LARGEST, LARGEST)
        error = np.square(numbers * scale - rows).sum(axis=1, keepdims=True, dtype=np.float64)
        better = error < least
        best, scales, least = np.where(better, numbers, best), np.where(better, scale, scales), np.minimum(error, least)
    return best, scales


def unpack_rows(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The table, (V, W), that `pack_rows` packed, rounded. To pack it again changes nothing but the last bit."""
    return (np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8) * scales
