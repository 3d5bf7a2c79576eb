"""How right answers are, against the cases that SQuAD's metrics publish."""

from typing import Any

import pytest

from pipeline.tasks import KINDS
from pipeline.tasks.answer_spans import exact_match, statistics, token_f1

KIND = KINDS["question_answering"]


# Cases that the metrics' pages on the hub (squad, squad_v2) show with their scores.
@pytest.mark.parametrize(
    ("answers", "references", "exact", "f1"),
    [
        (["1976"], [["1976"]], 1, 1),
        (
            ["1976", "Beyonce", "climate change"],
            [["1976"], ["Beyoncé and Bruno Mars"], ["climate change"]],
            2 / 3,
            2 / 3,
        ),
        (["1999"], [["1976"]], 0, 0),
        ([""], [[""]], 1, 1),
        (["1976"], [[""]], 0, 0),
    ],
)
def test_scores_are_those_of_the_published_cases(answers: Any, references: Any, exact: float, f1: float) -> None:
    found = KIND.details("exact_match_and_f1", statistics(answers, references))
    assert found == pytest.approx({"exact_match": exact, "answer_f1": f1})


def test_case_punctuation_and_articles_do_not_count_and_the_best_right_answer_does() -> None:
    assert exact_match("the Denver Broncos!", "Denver  broncos") == 1
    assert token_f1("Denver Broncos team", "Denver Broncos") == pytest.approx(2 * 2 / (3 + 2))
    found = statistics(["the Broncos"], [["Denver Broncos", "Broncos"]])
    assert found[0, :2].tolist() == [1, 1]


def test_never_answering_is_not_beaten_by_itself() -> None:
    references = [[""], ["a b"]]
    assert not KIND.beats_trivial("exact_match_and_f1", statistics(["", ""], references))
    assert KIND.beats_trivial("exact_match_and_f1", statistics(["", "b"], references))
