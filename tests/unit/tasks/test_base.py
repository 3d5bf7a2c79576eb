"""What holds for every kind of task."""

from typing import get_args

from pipeline.config.data import TOKEN_KINDS, KindName, Task
from pipeline.tasks import kind_of


def test_the_kinds_whose_models_answer_each_token_are_those_that_fingerprints_know() -> None:
    assert [name for name in get_args(KindName) if kind_of(Task(kind=name)).per_token] == list(TOKEN_KINDS)


def test_each_kind_names_the_answer_that_a_teacher_must_beat() -> None:
    assert all(kind_of(Task(kind=name)).trivial_answer for name in get_args(KindName))
