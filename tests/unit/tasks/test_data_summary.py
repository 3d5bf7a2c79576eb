"""What is said of the data before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.data_summary import describe
from pipeline.tasks.labelled_data import read_task
from tests import tiny
from tests.helpers.tiny_tokenised import QUESTIONS


def said(model: Path, path: Path, rows: list[dict[str, Any]] | None = None, **settings: Any) -> list[str]:
    if rows is not None:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = Task(**settings)
    return describe(read_task(task, {"train": (path,)}), task, model)


@pytest.fixture(scope="module")
def model(tiny_template: Path) -> Path:
    return tiny_template / "model"


def reviews(**counts: int) -> list[dict[str, Any]]:
    return [{"text": f"film {label} " + "good " * n, "label": label} for label, of in counts.items() for n in range(of)]


def test_rows_labels_and_lengths_are_said(model: Path, tmp_path: Path) -> None:
    rows = [*reviews(fresh=30, rotten=20, other=3), {"text": " ", "label": "fresh"}]
    found = said(model, tmp_path / "rows.jsonl", rows, skip_empty=True, drop_labels=("other",), max_length=16)
    assert found == [
        "rows: train 40, dev 5, test 5; left out: 3 for their label, 1 empty",
        "labels in train: rotten 16, fresh 24",
        "longest text: 33 tokens, of 16 (task.max_length); 48% are cut there",
    ]


def test_labels_to_drop_that_no_row_has_are_a_warning(model: Path, tmp_path: Path) -> None:
    found = said(model, tmp_path / "rows.jsonl", reviews(fresh=30, rotten=20), drop_labels=("nosuch",), max_length=64)
    assert "warning: task.drop_labels: no row has the label 'nosuch'" in found


def test_texts_whose_words_the_tokenizer_does_not_know_are_a_warning(model: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text in ("film \u6587", "\u6587") for label in ("a", "b")] * 30
    found = said(model, tmp_path / "rows.jsonl", rows)
    (warning,) = [line for line in found if "unknown" in line]
    assert warning.startswith("warning: 67% of the tokens of the training texts are unknown to the backbone's")


def test_a_label_with_a_line_end_stays_on_its_line(model: Path, tmp_path: Path) -> None:
    rows = [{"text": f"film {number}", "label": ("fresh\nx", "rotten")[number % 2]} for number in range(40)]
    assert "labels in train: fresh x 16, rotten 16" in said(model, tmp_path / "rows.jsonl", rows)


def test_a_label_of_few_rows_or_of_one_split_is_a_warning(model: Path, tmp_path: Path) -> None:
    found = said(model, tmp_path / "rows.jsonl", reviews(fresh=40, rotten=40, odd=2), max_length=64)
    assert found[1].startswith("labels in train: odd 2, ")
    assert "warning: under 5 training rows: odd (2)" in found
    assert "warning: in one split alone: odd (train)" in found


def test_labels_that_differ_in_capitals_alone_are_a_warning(model: Path, tmp_path: Path) -> None:
    found = said(model, tmp_path / "rows.jsonl", reviews(Fresh=20, fresh=20, rotten=20), max_length=64)
    assert "warning: these differ in capitals alone: Fresh, fresh" in found


def test_unlabelled_texts_that_are_test_texts_are_a_warning(model: Path, tmp_path: Path) -> None:
    rows = reviews(fresh=30, rotten=30)
    (tmp_path / "more.jsonl").write_text(
        "\n".join(json.dumps({"text": row["text"]}) for row in [*rows[:10], {"text": "new"}])
    )
    files = {"unlabelled": (tmp_path / "more.jsonl",), "test": (tmp_path / "test.jsonl",)}
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, [*rows[6:10], *rows[-3:]])))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows[10:], *rows[:6]])))
    task = Task(dev_share=0.02)
    data = read_task(task, {"train": (tmp_path / "rows.jsonl",), **files})
    warning = next(line for line in describe(data, task, model) if "unlabelled rows" in line)
    assert warning.startswith("warning: the texts of 4 unlabelled rows are those of dev or test rows")
    dropped = read_task(Task(dev_share=0.02, drop_repeats=True), {"train": (tmp_path / "rows.jsonl",), **files})
    assert not any("unlabelled rows" in line for line in describe(dropped, task, model))


def test_test_texts_that_are_training_texts_are_a_warning(model: Path, tmp_path: Path) -> None:
    rows = [{"text": f"film {number % 10}", "label": "ab"[number % 2]} for number in range(200)]
    found = said(model, tmp_path / "rows.jsonl", rows)
    warning = "warning: dev and test rows share 10 of their texts with training rows, so the scores are higher"
    assert any(line.startswith(warning) for line in found)
    new = said(model, tmp_path / "rows.jsonl", reviews(fresh=20, rotten=20), max_length=64)
    assert not any("training rows" in line and "share" in line for line in new)


def test_texts_whose_labels_contradict_each_other_are_a_warning(model: Path, tmp_path: Path) -> None:
    rows = [*reviews(fresh=20, rotten=20), {"text": "film", "label": "fresh"}, {"text": "film", "label": "rotten"}]
    [found] = [line for line in said(model, tmp_path / "r.jsonl", rows, max_length=64) if "more than one label" in line]
    places = (f"{tmp_path}/r.jsonl:41", f"{tmp_path}/r.jsonl:42")
    assert found.startswith("warning: texts with more than one label: 1, such as that of ")
    assert all(place in found for place in places)
    assert not any("more than one label" in line for line in said(model, tmp_path / "r.jsonl", rows[:-1]))


def test_texts_without_a_token_are_a_warning_and_where_no_other_is_trained_on_an_error(
    model: Path, tmp_path: Path
) -> None:
    nothing = [{"text": "\u200b\ufffd" * n, "label": label} for n in range(1, 11) for label in ("fresh", "rotten")]
    found = said(model, tmp_path / "rows.jsonl", [{"text": "?", "label": "fresh"}, *reviews(rotten=20), *nothing[:2]])
    [warning] = [line for line in found if "without a token" in line]
    assert warning.startswith(f"warning: rows without a token: 2, such as {tmp_path}/rows.jsonl:")
    with pytest.raises(UserError, match=r"rows\.jsonl:\d+: the text has no token, nor has that of any other training"):
        said(model, tmp_path / "rows.jsonl", nothing)


def test_of_many_labels_the_rarest_are_said_first(model: Path, tmp_path: Path) -> None:
    found = said(model, tmp_path / "rows.jsonl", reviews(**{f"l{n:02}": 10 + n for n in range(12)}), max_length=64)
    assert found[1].startswith("labels in train: 12, the rarest first: l00 8, l01 ")
    assert ", ...; the most frequent: l11 " in found[1] and "l10" not in found[1]


def test_words_and_entities_of_sentences_are_said(model: Path, tmp_path: Path) -> None:
    path = tiny.write_tagged(tmp_path / "rows.conll", rows=40)
    found = said(model, path, kind="token_classification", max_length=32)
    assert found[1:3] == ["entities in train: thing 64", "words a sentence: 11.0 in the mean; 4.0 of them in entities"]


def test_an_answer_that_is_longer_than_what_is_looked_for_is_a_warning(model: Path, tmp_path: Path) -> None:
    answer = " ".join(["good", "dull"] * 20)
    rows = [
        {
            "question": f"the film {n}",
            "context": f"plot {n} {answer} .",
            "answers": {"text": [answer], "answer_start": [7]},
        }
        for n in range(10, 30)
    ]
    found = said(model, tmp_path / "rows.jsonl", rows, **QUESTIONS, max_length=64)
    assert found[1] == "questions in train: 16 on 16 contexts; 0 without an answer"
    assert found[3:] == ["longest answer: 40 tokens; looked for up to 40 (task.longest_answer)"]
    found = said(model, tmp_path / "rows.jsonl", **QUESTIONS, max_length=64, longest_answer=12)
    assert found[3] == "longest answer: 40 tokens; looked for up to 12 (task.longest_answer)"
    assert (
        found[4].startswith("warning: some answers are longer than what is looked for") and "longest_answer" in found[4]
    )
    assert "raise task.max_length" in said(model, tmp_path / "rows.jsonl", **QUESTIONS, max_length=32)[-1]


def test_answers_of_dev_that_are_longer_than_those_of_train_are_a_warning(model: Path, tmp_path: Path) -> None:
    for name, answer in {"train": "film", "dev": " ".join(["good"] * 33)}.items():
        rows = [
            {
                "question": f"q {n}",
                "context": f"plot {n} {answer} .",
                "answers": {"text": [answer], "answer_start": [7]},
            }
            for n in range(10)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = Task(**QUESTIONS, max_length=64)
    data = read_task(task, {name: (tmp_path / f"{name}.jsonl",) for name in ("train", "dev")})
    found = describe(data, task, model)
    assert "longest answer: 1 tokens; looked for up to 30 (task.longest_answer)" in found
    (warning,) = [line for line in found if line.startswith("warning: some answers are longer")]
    assert warning.endswith("raise task.longest_answer")


def test_scores_and_sets_of_labels_are_said(model: Path, tmp_path: Path) -> None:
    scores = [{"text": f"film {n}", "label": n / 2} for n in range(20)]
    assert any(
        line.startswith("scores in train: ") for line in said(model, tmp_path / "r.jsonl", scores, kind="regression")
    )
    sets = [{"text": f"film {n}", "label": [["a"], ["a", "b"], []][n % 3]} for n in range(30)]
    found = said(model, tmp_path / "s.jsonl", sets, kind="multi_label")
    assert any(line.startswith("labels a row: 1.0") and "2 at most" in line for line in found)


def test_a_vocabulary_without_tokenizer_json_counts_too(model: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text((model / "vocab.txt").read_text(encoding="utf-8"), encoding="utf-8")
    rows = reviews(fresh=20, rotten=20)
    assert said(tmp_path, tmp_path / "rows.jsonl", rows) == said(model, tmp_path / "rows.jsonl", rows)
    assert len(said(tmp_path / "none", tmp_path / "rows.jsonl", rows)) == 2
