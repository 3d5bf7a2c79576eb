"""Questions and answers as other programs write them: what is read, and what is one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data import Task
from pipeline.data.squad import parse_answers
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import read_task

CONTEXT = "The film , the best film of all , is long ."
FILM = {"text": ["film"], "answer_start": [20]}
NONE = {"text": [], "answer_start": []}


@pytest.mark.parametrize("start", [20, 20.0, "20", "20.0", [20], 19, "19"])
def test_a_start_may_be_written_in_any_way_that_means_a_whole_number(start: Any) -> None:
    assert parse_answers([{"text": "film", "answer_start": start}], CONTEXT) == FILM
    assert parse_answers({"text": ["film"], "answer_start": [start]}, CONTEXT) == FILM


@pytest.mark.parametrize("start", [None, float("nan"), float("inf"), "unknown", [], [4, 20], -1, 10**400])
def test_without_a_start_the_first_place_of_the_text_is_taken(start: Any) -> None:
    assert parse_answers([{"text": "film", "answer_start": start}], CONTEXT) == {"text": ["film"], "answer_start": [4]}


def test_starts_may_be_left_out_altogether() -> None:
    for answers in ([{"text": "best"}], {"text": ["best"]}, {"text": ["best"], "answer_start": None}, {"text": "best"}):
        assert parse_answers(answers, CONTEXT) == {"text": ["best"], "answer_start": [15]}


@pytest.mark.parametrize("value", [None, [], {}, {"text": None}, {"text": [], "answer_start": []}, [{"text": " "}]])
def test_no_text_is_no_answer(value: Any) -> None:
    assert parse_answers(value, CONTEXT) == NONE


def test_blanks_around_a_text_are_no_part_of_the_answer() -> None:
    assert parse_answers([{"text": " film  ", "answer_start": 19}], CONTEXT + "  ") == FILM


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"text": ["film", "best"], "answer_start": [4]}, "and a list of texts with as many starts is needed"),
        ({"text": ["film"], "answer_start": 4}, "and a list of texts with as many starts is needed"),
        ({"text": 3}, "and a list of texts with as many starts is needed"),
        ({"text": [None], "answer_start": [4]}, "an answer is .*, not a text and its answer_start"),
        ("film", "an answer is 'film', not a text and its answer_start"),
        ([{"text": "play"}], "the context does not hold the answer 'play'"),
    ],
)
def test_answers_that_do_not_fit_are_half_a_sentence(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_answers(value, CONTEXT)


ASKED = {"id": "a", "question": "What is long?", "answers": [{"text": "film", "answer_start": 4}]}
PARAGRAPH = {"context": CONTEXT, "qas": [ASKED]}


def questions(path: Path, content: Any) -> list[str]:
    """The questions of a file, by a task whose three splits it is."""
    path.write_text(json.dumps(content), encoding="utf-8")
    task = Task(kind="question_answering", text="question", text_pair="context", label="answers")
    splits = read_task(task, {split: [path] for split in ("train", "dev", "test")}).splits
    return [example.texts[0] for example in splits["train"]]


@pytest.mark.parametrize("empty", [{"context": CONTEXT, "qas": None}, {"context": CONTEXT}, {"qas": []}])
def test_a_paragraph_may_have_no_question(tmp_path: Path, empty: dict[str, Any]) -> None:
    content = {"data": [{"title": "films", "paragraphs": [empty, PARAGRAPH]}, {"paragraphs": None}]}
    assert questions(tmp_path / "train.json", content) == ["What is long?"]


@pytest.mark.parametrize("name", ["train.JSON", "train.Json"])
def test_endings_may_be_written_in_capitals(tmp_path: Path, name: str) -> None:
    assert questions(tmp_path / name, {"data": [{"paragraphs": [PARAGRAPH]}]}) == ["What is long?"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"data": []}, "task.train: no train row is left"),
        ({"data": [{"paragraphs": []}]}, "task.train: no train row is left"),
        ({"data": ["an article"]}, "train.json, row 1: not a JSON object"),
        ({"data": [{"paragraphs": [PARAGRAPH]}, "an article"]}, "train.json: its articles are"),
        ({"data": [{"paragraphs": PARAGRAPH}]}, "train.json: its paragraphs are {'context': 'The film , the best"),
        (
            {"data": [{"paragraphs": [{"context": CONTEXT, "qas": ["who?"]}]}]},
            r"train.json: its qas are ['who?'], and a",
        ),
        ({"data": [{"paragraphs": [{"context": CONTEXT, "qas": [{"id": 1}]}]}]}, "question 1: needs a 'question'"),
        (
            {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [{"id": "a", "question": "Who?"}]}]}]},
            "question a: has no 'answers'; give them, an empty list where there is none",
        ),
        (
            {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [{**ASKED, "is_impossible": "false"}]}]}]},
            "question a: is_impossible is 'false', and true or false is needed",
        ),
        (
            {"data": [{"paragraphs": [{"context": 3, "qas": [ASKED]}]}]},
            "question a: column 'context' holds 3, not text",
        ),
        (
            {"data": [{"paragraphs": [{"context": "\ud83d", "qas": [ASKED]}]}]},
            "question a: the question, context or answer holds half of a surrogate pair, which is no character",
        ),
    ],
)
def test_a_file_of_another_layout_is_one_sentence(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        questions(tmp_path / "train.json", content)
    assert words in str(error.value)
