"""Masked-LM training examples: BERT (arXiv:1810.04805), section 3.1, 'Masked LM', and appendix A.1."""

from collections.abc import Collection

import numpy as np

MASKED, REPLACED = 0.8, 0.1  # shares of the chosen tokens; the rest stay as they are


def mask_tokens(
    ids: np.ndarray,
    *,
    key: tuple[int, int, int],
    mask_id: int,
    vocab_size: int,
    special: Collection[int],
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose tokens to predict; 80% of them become [MASK], 10% a random token, and 10% stay.

    The same key gives the same masks in every worker and process.

    Args:
        ids: the tokens of one example, (T,), int64.
        key: (seed, example index, epoch), none below 0.
        special: ids that are never chosen: [CLS], [SEP], padding.
        share: the share of the other tokens that is chosen, at least one token.

    Returns: the masked copy of `ids`, and the chosen positions in order, (chosen,); their labels are `ids[positions]`.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    ordinary = np.flatnonzero(~np.isin(ids, list(special)))
    chosen = min(len(ordinary), max(1, round(share * len(ordinary))))
    positions = np.sort(random.choice(ordinary, size=chosen, replace=False, shuffle=False))
    fate = random.random(chosen)
    substitutes = random.integers(vocab_size, size=chosen)
    masked = ids.copy()
    masked[positions[fate < MASKED]] = mask_id
    replaced = (fate >= MASKED) & (fate < MASKED + REPLACED)
    masked[positions[replaced]] = substitutes[replaced]
    return masked, positions
