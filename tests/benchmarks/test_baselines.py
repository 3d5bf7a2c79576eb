"""Linear baselines learn what words say, and choose their strength on dev."""

import numpy as np

from benchmarks.baselines import Splits, nb_svm, tf_idf


def splits(labels: int) -> Splits:
    """Texts whose label is one of their words."""
    source = np.random.default_rng(0)
    words = ["dreadful", "splendid", "middling"][:labels]

    def draw(count: int) -> tuple[list[str], np.ndarray]:
        chosen = source.integers(0, labels, count)
        fillers = source.integers(0, 50, (count, 5))
        texts = [
            f"{words[label]} " + " ".join(f"w{word}" for word in row)
            for label, row in zip(chosen, fillers, strict=True)
        ]
        return texts, np.array([words[label] for label in chosen])

    return {"train": draw(200), "dev": draw(60), "test": draw(60)}


def test_what_a_word_says_is_learnt() -> None:
    for labels in (2, 3):
        assert tf_idf(splits(labels)) > 0.9
        assert nb_svm(splits(labels)) > 0.9


def test_noise_is_no_better_than_chance() -> None:
    noisy = splits(2)
    shuffled = np.random.default_rng(1)
    rows = {split: (texts, shuffled.permutation(labels)) for split, (texts, labels) in noisy.items()}
    assert tf_idf(rows) < 0.75
    assert nb_svm(rows) < 0.75
