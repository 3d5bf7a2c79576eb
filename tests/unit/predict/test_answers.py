"""Tags of words and answers in texts, from a model's outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Encoding, Tokenizer

from pipeline.config.data import Task
from pipeline.data.examples import Example
from pipeline.errors import UserError
from pipeline.models.loading import load_tokenizer
from pipeline.predict.__main__ import table_line
from pipeline.predict.answers import Reading, Window, answer
from pipeline.tasks import KINDS
from tests import tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(tiny.write_model(tmp_path_factory.mktemp("model"))).backend_tokenizer


def peaks(length: int, *places: int) -> np.ndarray:
    """Logits that are high at some places."""
    found = np.zeros(length, dtype=np.float32)
    found[list(places)] = 9.0
    return found


def answered(texts: tuple[str, ...], *windows: tuple[dict[str, np.ndarray], Encoding], **config: Any) -> dict[str, Any]:
    """The answer of a model that read the texts as they are, in these windows."""
    return answer(Reading(texts, [Window(*window) for window in windows]), texts, config)


def test_a_word_has_the_tag_of_its_first_piece(tokenizer: Tokenizer) -> None:
    text = "An unwatchable Film ."
    encoding = tokenizer.encode(text)
    assert encoding.tokens == ["[CLS]", "an", "un", "##watch", "##able", "film", ".", "[SEP]"]
    logits = np.stack([peaks(3, tag) for tag in (0, 0, 1, 2, 2, 2, 0, 0)])
    words = answered((text,), ({"logits": logits}, encoding), id2label={"0": "O", "1": "B-X", "2": "I-X"})["words"]
    assert [(word["word"], word["label"]) for word in words] == [
        ("An", "O"), ("unwatchable", "B-X"), ("Film", "I-X"), (".", "O"),
    ]  # fmt: skip
    assert all(word["probability"] > 0.9 and text[word["start"] : word["end"]] == word["word"] for word in words)


def test_words_are_found_where_they_stand_in_running_text(tokenizer: Tokenizer) -> None:
    text, parted = "(An  unwatchable) film.", "( An unwatchable ) film ."
    encoding = tokenizer.encode(parted)
    logits = np.zeros((len(encoding.tokens), 2))
    logits[encoding.tokens.index("un"), 1] = logits[encoding.tokens.index("##able"), 0] = 9.0
    reading = Reading((parted,), [Window({"logits": logits}, encoding)])
    words = answer(reading, (text,), {"id2label": {"0": "O", "1": "B-X"}})["words"]
    assert [text[word["start"] : word["end"]] for word in words] == ["(", "An", "unwatchable", ")", "film", "."]
    assert [word["label"] for word in words] == ["O", "O", "B-X", "O", "O", "O"]


QUESTION, CONTEXT = "the plot ?", "A dull film , with an unwatchable ending ."


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("un", "ending"), "unwatchable ending"), (("film", "film"), "film"), (("[CLS]", "[CLS]"), "")],
)
def test_an_answer_is_a_span_of_the_context_as_written(
    tokenizer: Tokenizer, words: tuple[str, str], expected: str
) -> None:
    encoding = tokenizer.encode(QUESTION, CONTEXT)
    first, last = (encoding.tokens.index(word) for word in words)
    size = len(encoding.tokens)
    outputs = {"start_logits": peaks(size, first), "end_logits": peaks(size, last)}
    found = answered((QUESTION, CONTEXT), (outputs, encoding))
    assert found["answer"] == expected == CONTEXT[found["start"] : found["end"]]
    always = answered((QUESTION, CONTEXT), (outputs, encoding), always_answers=True)
    assert always["answer"] == expected if expected else always["answer"]


@pytest.mark.parametrize(("answers", "always"), [([["film"], ["plot"]], True), ([["film"], []], False)])
def test_a_student_always_answers_where_every_question_has_an_answer(answers: list[list[str]], always: bool) -> None:
    labels = [{"text": texts, "answer_start": [2] * len(texts)} for texts in answers]
    examples = [Example((QUESTION, CONTEXT), label, None, Path("train.json"), 1) for label in [*labels, None]]
    task = Task(kind="question_answering", max_length=64, longest_answer=40)
    found = KINDS["question_answering"].student_config({"train": examples}, task)
    assert found == {"always_answers": always, "longest_answer": 40, "window_overlap": 22}


def test_the_best_span_of_all_windows_is_the_answer(tokenizer: Tokenizer) -> None:
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.enable_truncation(11, stride=3, strategy="only_second")
    first = tokenizer.encode(QUESTION, CONTEXT)
    windows = [first, *first.overflowing]
    assert len(windows) > 1 and "ending" not in first.tokens
    places = [window.tokens.index("ending") if "ending" in window.tokens else 5 for window in windows]
    sure = [2.0 if "ending" in window.tokens else 1.0 for window in windows]
    seen = [
        ({name: much * peaks(len(window.tokens), place) for name in ("start_logits", "end_logits")}, window)
        for window, place, much in zip(windows, places, sure, strict=True)
    ]
    found = answered((QUESTION, CONTEXT), *seen)
    assert found["answer"] == "ending" == CONTEXT[found["start"] : found["end"]]
    assert found["probability"] > 0.9
    assert answered((QUESTION, CONTEXT), *seen[:1])["answer"] != "ending"


def test_a_span_never_ends_before_it_starts_nor_lies_in_the_question(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode(QUESTION, CONTEXT)
    size, end = len(encoding.tokens), encoding.tokens.index("film")
    outputs = {"start_logits": peaks(size, end + 2, 2) + 0.1 * peaks(size, end - 1), "end_logits": peaks(size, end, 2)}
    found = answered((QUESTION, CONTEXT), (outputs, encoding))
    assert found["start"] <= found["end"]
    assert found["answer"] in CONTEXT
    assert CONTEXT[found["start"] : found["end"]] == found["answer"]


@pytest.mark.parametrize(
    ("outputs", "names", "sentence"),
    [
        ({"last_hidden_state": np.zeros((4, 8))}, {"0": "a", "1": "b"}, "which are no answers"),
        ({"logits": np.zeros((4, 40))}, {}, "which are no answers"),
        ({"logits": np.zeros(4)}, {"0": "a", "1": "b"}, "gives 4 logits, and config.json names 2 labels"),
    ],
)
def test_other_outputs_are_no_answers(
    tokenizer: Tokenizer, outputs: dict[str, Any], names: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        answered(("a film",), (outputs, tokenizer.encode("a film")), id2label=names)


def test_of_several_labels_those_above_their_thresholds_are_given(tokenizer: Tokenizer) -> None:
    logits = np.array([0.0, -1.0, 3.0, -4.0])
    config = {"id2label": dict(zip("0123", "abcd", strict=True)), "problem_type": "multi_label_classification"}
    thresholds = {"thresholds": {"a": 0.6, "b": 0.2, "c": 0.5, "d": 0.5}}
    found = answered(("x",), ({"logits": logits}, tokenizer.encode("x")), **config, **thresholds)
    assert found["labels"] == ["c", "b"]
    assert found["probabilities"]["a"] == 0.5 and found["probabilities"]["c"] == pytest.approx(1 / (1 + np.exp(-3)))
    assert table_line(("x",), {"label": "a\nb", "probability": 0.5}).split() == ["a", "b", "50.0%", "x"]
    assert table_line(("x",), found).split() == ["c", "95.3%,", "b", "26.9%", "x"]
    unset = answered(("x",), ({"logits": -np.ones(4)}, tokenizer.encode("x")), **config)  # without thresholds: 0.5
    assert unset["labels"] == [] and table_line(("x",), unset).split() == ["(none)", "x"]
