"""What one would take instead of a student learns what words say, and is measured as it would be served."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import baselines
from benchmarks.labelled_texts import LabelledTexts, Served
from benchmarks.linear_models import nb_svm, tf_idf
from benchmarks.static_embeddings import MISSING, installed, static_student
from pipeline.artifacts.store import Artifact
from pipeline.errors import BAD_INPUT, status_of
from pipeline.predict.answers import Texts
from pipeline.tasks.classification import ClassificationTask
from pipeline.tasks.labelled_data import TaskData
from tests import tiny
from tests.tiny import BAD, GOOD, NOUNS

LINEAR: dict[str, Callable[[LabelledTexts], Served]] = {
    "words": lambda rows: tf_idf(rows, words=True, characters=False),
    "characters": lambda rows: tf_idf(rows, words=False, characters=True),
    "both": lambda rows: tf_idf(rows, words=True, characters=True),
    "nb_svm": nb_svm,
}
CHINESE = {"positive": ["很好", "喜欢", "满意"], "negative": ["很差", "失望", "糟糕"], "other": ["一般"]}
ENGLISH = {"good": GOOD, "bad": BAD, "middling": ["middling", "mediocre"]}


def rows(kinds: dict[str, list[str]], fillers: list[str], *, language: str = "en", blank: str = " ") -> LabelledTexts:
    """Texts whose label is said by one of their words."""
    source = np.random.default_rng(0)

    def draw(count: int) -> tuple[list[Texts], np.ndarray]:
        labels = source.integers(0, len(kinds), count)
        said = [list(kinds.values())[label] for label in labels]
        texts = [blank.join([*source.choice(fillers, 4), *source.choice(words, 1)]) for words in said]
        return [(text,) for text in texts], labels

    drawn = {"train": draw(200), "dev": draw(60), "test": draw(60)}
    task = TaskData(
        name="words", kind=ClassificationTask(), text_columns=("text",), label_column="label",
        label_names=tuple(kinds), metric="accuracy", splits={}, left_out={},
    )  # fmt: skip
    return LabelledTexts(
        task=task,
        texts={split: texts for split, (texts, _) in drawn.items()},
        labels={split: labels for split, (_, labels) in drawn.items()},
        language=language,
    )


def accuracy(rows: LabelledTexts, served: Served) -> float:
    return rows.score(served.predict(rows.texts["test"]), "test")


@pytest.mark.parametrize("way", LINEAR)
@pytest.mark.parametrize("labels", [2, 3])
def test_what_a_word_says_is_learnt(way: str, labels: int) -> None:
    drawn = rows(dict(list(ENGLISH.items())[:labels]), NOUNS)
    served = LINEAR[way](drawn)
    assert accuracy(drawn, served) > 0.9
    assert served.disk_bytes > 0 and drawn.latencies_ms([served], texts=5)[0] > 0


def test_ways_take_turns_of_several_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, asked, clock = rows({"good": GOOD, "bad": BAD}, NOUNS), [], [0.0]

    def way(name: str, *, first: float, later: float) -> Served:
        def predict(texts: Sequence[Texts]) -> np.ndarray:
            clock[0] += first if asked[-1:] != [name] else later
            asked.append(name)
            return np.zeros(len(texts))

        return Served(predict=predict, disk_bytes=1, seconds=0)

    monkeypatch.setattr("benchmarks.labelled_texts.time.perf_counter", lambda: clock[0])
    ways = [way("a", first=9, later=0.001), way("b", first=9, later=0.002)]
    assert drawn.latencies_ms(ways, texts=20) == pytest.approx([1, 2])
    assert asked == [*["a"] * 10, *["b"] * 10] * 3
    one = [way("a", first=0.005, later=0.001), way("b", first=0.007, later=0.002)]
    few = LabelledTexts(task=drawn.task, texts={"test": [("a",)]}, labels={}, language="en")
    assert few.latencies_ms(one, texts=20) == pytest.approx([5, 7])


@pytest.mark.parametrize("way", LINEAR)
def test_noise_is_no_better_than_chance(way: str) -> None:
    drawn, shuffled = rows({"good": GOOD, "bad": BAD}, NOUNS), np.random.default_rng(1)
    noise = {split: shuffled.permutation(labels) for split, labels in drawn.labels.items()}
    noisy = LabelledTexts(task=drawn.task, texts=drawn.texts, labels=noise, language="en")
    assert accuracy(noisy, LINEAR[way](noisy)) < 0.75


@pytest.mark.parametrize("way", LINEAR)
def test_words_of_a_text_without_blanks_are_found(way: str) -> None:
    pytest.importorskip("rjieba")
    drawn = rows(CHINESE, ["酒店", "宾馆", "早餐", "服务", "房间"], language="zh", blank="")
    assert accuracy(drawn, LINEAR[way](drawn)) > 0.9


def test_both_texts_of_a_pair_are_read() -> None:
    drawn = rows({"good": GOOD, "bad": BAD}, NOUNS)
    pairs = {split: [("the film", text) for (text,) in texts] for split, texts in drawn.texts.items()}
    paired = LabelledTexts(task=drawn.task, texts=pairs, labels=drawn.labels, language="en")
    assert accuracy(paired, LINEAR["words"](paired)) > 0.9


@pytest.mark.skipif(not installed(), reason=MISSING)
def test_static_embeddings_are_distilled_from_a_folder_and_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    drawn = rows({"good": GOOD, "bad": BAD}, NOUNS)
    served = static_student(drawn, tiny.write_model(tmp_path / "teacher"), seed=0)
    assert accuracy(drawn, served) > 0.9
    assert served.disk_bytes > 1000


@pytest.mark.parametrize(("way", "reason"), [("ships", "--until export_student"), ("model2vec", "not installed")])
def test_a_way_that_cannot_be_measured_says_why(
    way: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "installed", lambda: False)
    job: Any = object.__new__(baselines.Job)
    artifact = Artifact(tmp_path, "export_student", "0123456789abcdef")
    job.plan = SimpleNamespace(stages={"export_student": SimpleNamespace(artifact=artifact)})
    row, served = job.measured(way)
    assert reason in row["not_run"] and served is None


def test_a_task_that_is_no_classification_is_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny.make(tmp_path)
    tiny.write_rows(tmp_path / "scores.csv", rows=80, regression=True)
    tree = tiny.recipe(tmp_path)
    tree["task"] = {"kind": "regression", "train": [str(tmp_path / "scores.csv")], "max_length": 32}
    path = tiny.write_recipe(tmp_path / "scores.yaml", tree)
    monkeypatch.setattr("sys.argv", ["baselines", "--recipe", str(path)])
    assert status_of(baselines.main) == BAD_INPUT
    assert "know classification alone" in capsys.readouterr().err
