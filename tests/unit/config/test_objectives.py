"""Which objectives a stage has, and which layer learns from which."""

from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.config.distillation import DistillGeneral, DistillLayers
from pipeline.config.objectives import LAYER_OBJECTIVES, chosen, layer_map
from pipeline.distill.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("rule", "sources"),
    [
        ("uniform", [3, 6, 9, 12]),
        ("top", [9, 10, 11, 12]),
        ("bottom", [1, 2, 3, 4]),
        ("last", [0, 0, 0, 12]),
        ("every 2", [2, 4, 6, 8]),
        ([2, 4, 6, 0], [2, 4, 6, 0]),
    ],
)
def test_four_layers_learn_from_twelve(rule: str | Sequence[int], sources: list[int]) -> None:
    found = layer_map(rule, teacher_layers=12, student_layers=4)
    assert found == {0: 0} | {layer: source for layer, source in enumerate(sources, start=1) if source}


@pytest.mark.parametrize(
    ("teacher", "student", "sources"),
    [(12, 5, [2, 5, 7, 10, 12]), (6, 4, [2, 3, 5, 6]), (2, 4, [1, 1, 2, 2]), (2, 6, [1, 1, 1, 1, 2, 2])],
)
def test_where_the_depths_do_not_divide_a_layer_learns_from_the_nearest(
    teacher: int, student: int, sources: list[int]
) -> None:
    found = layer_map("uniform", teacher_layers=teacher, student_layers=student)
    assert list(found.values()) == [0, *sources]
    assert all(abs(source - layer * teacher / student) < 1 for layer, source in found.items())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("top", "a student of 5 layers would learn from layers"),
        ("bottom", "the teacher has 4"),
        ("every 2", "the teacher has 4"),
        ([1, 2, 3, 4, 5], "the teacher has 4"),
        ([1, 2], "it lists 2 layers for a student of 5"),
    ],
)
def test_layers_that_the_teacher_lacks_are_refused(rule: str | Sequence[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        layer_map(rule, teacher_layers=4, student_layers=5)


def test_every_objective_has_a_function_and_a_weight() -> None:
    assert set(LAYER_OBJECTIVES) == set(OBJECTIVES)
    weights: dict[str, Any] = dict.fromkeys(LAYER_OBJECTIVES, 2.0)
    assert chosen(DistillGeneral(**weights)) == LAYER_OBJECTIVES


def test_by_default_the_objectives_are_those_of_tinybert() -> None:
    assert chosen(DistillGeneral()) == chosen(DistillLayers()) == ("embedding", "hidden", "attention")
