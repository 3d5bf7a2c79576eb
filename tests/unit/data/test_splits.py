"""Which rows are held out: shares, mixtures of labels, whole groups, whatever the process."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.splits import split_by_group, split_by_label


def test_splits_do_not_depend_on_the_process():
    code = (
        "from pipeline.data.splits import split_by_label as s;"
        " print(s(['a', 'b', 'a'] * 20, shares={'test': .1}, seed=3))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            cwd=Path(__file__).parents[3],
            env={"PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {b"{'test': [27, 29, 34, 39, 49, 54]}\n"}


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    shares=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 9),
)
def test_a_stratified_split_keeps_the_mixture_and_every_label_in_training(counts, shares, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    held_out = split_by_label(labels, shares={"test": shares[0], "dev": shares[1]}, seed=seed)
    train = set(range(len(labels))) - {row for rows in held_out.values() for row in rows}
    assert len(train) + sum(map(len, held_out.values())) == len(labels)
    assert {labels[row] for row in train} == set(labels)
    test = Counter(labels[row] for row in held_out["test"])
    for label, count in enumerate(counts):
        share = len(held_out["test"]) * (count - 1) / max(1, len(labels) - len(counts))
        assert abs(test[label] - share) <= 1


@given(sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40), seed=st.integers(0, 9))
def test_a_split_by_group_keeps_groups_whole_and_comes_near_the_share(sizes, seed):
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    held_out = split_by_group(groups, ["a"] * len(groups), shares={"test": 0.3, "dev": 0.2}, seed=seed)
    split_of = {row: split for split, rows in held_out.items() for row in rows}
    assert all(
        len({split_of.get(row) for row in range(len(groups)) if groups[row] == group}) == 1 for group in set(groups)
    )
    assert abs(len(held_out["test"]) - 0.3 * len(groups)) <= max(sizes)


def test_held_out_films_hit_the_asked_size_within_two_percent():
    groups = [min(row // 7, row % 1449) for row in range(12_800)]
    held_out = split_by_group(groups, ["a"] * len(groups), shares={"test": 0.156, "dev": 0.156}, seed=0)
    assert all(abs(len(rows) - 2000) <= 40 for rows in held_out.values())


def test_another_dev_share_leaves_the_test_rows_alone():
    labels = [row % 3 for row in range(100)]
    small = split_by_label(labels, shares={"test": 0.2, "dev": 0.1}, seed=0)
    large = split_by_label(labels, shares={"test": 0.2, "dev": 0.3}, seed=0)
    assert small["test"] == large["test"]
    assert split_by_label(labels, shares={"test": 0.2}, seed=1)["test"] != small["test"]


def test_groups_keep_the_mixture_of_labels():
    groups = [number // 10 for number in range(2000)]
    labels = ["good" if group % 3 else "bad" for group in groups]  # a group is all good or all bad
    held_out = split_by_group(groups, labels, shares={"test": 0.1, "dev": 0.1}, seed=1)
    for rows in held_out.values():
        share = sum(labels[row] == "good" for row in rows) / len(rows)
        assert share == pytest.approx(labels.count("good") / len(labels), abs=0.03)
