"""BERT's masking: which tokens, how many, and the same ones for the same key."""

import numpy as np

from pipeline.data.masking import mask_tokens

MASK, VOCAB = 103, 30_000
SPECIAL = {0, 101, 102}


def example(length: int = 128) -> np.ndarray:
    return np.array([101, *range(1000, 1000 + length - 2), 102])


def mask(
    ids: np.ndarray, *, key: tuple[int, int, int] = (0, 0, 0), share: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    return mask_tokens(ids, key=key, mask_id=MASK, vocab_size=VOCAB, special=SPECIAL, share=share)


def test_the_same_key_masks_the_same_and_another_does_not() -> None:
    first, again = mask(example(), key=(1, 2, 3)), mask(example(), key=(1, 2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for key in ((0, 2, 3), (1, 0, 3), (1, 2, 0), (3, 2, 1)):
        assert not np.array_equal(mask(example(), key=key)[1], first[1])


def test_the_share_is_that_of_the_ordinary_tokens() -> None:
    assert len(mask(example(102))[1]) == 15
    assert len(mask(example(102), share=0.4)[1]) == 40


def test_positions_are_in_order_and_each_once() -> None:
    positions = mask(example(), share=0.9)[1]
    assert np.all(np.diff(positions) > 0)


def test_special_tokens_are_never_chosen() -> None:
    ids = np.array([101, 1000, 1001, 102, 0, 0])
    for index in range(50):
        masked, positions = mask(ids, key=(0, index, 0), share=0.9)
        assert set(positions) == {1, 2}
        assert masked[[0, 3, 4, 5]].tolist() == [101, 102, 0, 0]


def test_at_least_one_token_is_chosen() -> None:
    assert len(mask(np.array([101, 1000, 102]))[1]) == 1
    assert len(mask(np.array([101, 102]))[1]) == 0


def test_only_the_chosen_tokens_change_and_the_input_does_not() -> None:
    ids = example()
    masked, positions = mask(ids)
    assert np.array_equal(ids, example())
    assert np.array_equal(np.delete(masked, positions), np.delete(ids, positions))


def test_eighty_percent_are_masked_ten_replaced_and_ten_kept() -> None:
    ids = np.full(100_000, 1000)
    masked, positions = mask(ids, share=0.5)
    chosen = masked[positions]
    np.testing.assert_allclose(np.mean(chosen == MASK), 0.8, atol=0.01)
    np.testing.assert_allclose(np.mean(chosen == 1000), 0.1, atol=0.01)
    replaced = chosen[(chosen != MASK) & (chosen != 1000)]
    np.testing.assert_allclose(np.mean(replaced), VOCAB / 2, rtol=0.02)
