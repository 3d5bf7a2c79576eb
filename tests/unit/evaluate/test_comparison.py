"""Teacher against student: how sure, how alike, how large; and the table that says so."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import EvaluateStudent
from pipeline.config.data import Task
from pipeline.data.examples import Example
from pipeline.errors import Interrupted
from pipeline.evaluate import comparison
from pipeline.evaluate.comparison import Measured, kept_interval, prediction_table, share_kept, size
from pipeline.evaluate.scoring import LabelledSplit
from pipeline.models.loading import load_classifier, save_model
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData
from tests.helpers.one_process import make_stage
from tests.tiny import write_model

CLASSIFICATION, REGRESSION = KINDS["classification"], KINDS["regression"]
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 400)


def right_on(share: float) -> np.ndarray:
    return np.where(RANDOM.random(len(LABELS)) < share, LABELS, 1 - LABELS)


def stage_with(*, samples: int, seed: int = 0) -> Stage:
    stage = make_stage(Path("nowhere"), seed=seed)
    return replace(stage, recipe=replace(stage.recipe, evaluate_student=EvaluateStudent(bootstrap=samples)))


def interval(teacher: np.ndarray, student: np.ndarray, *, samples: int = 300, seed: int = 0) -> tuple[float, float]:
    found = kept(teacher, student, samples=samples, seed=seed)
    assert found is not None
    return found


def kept(teacher: np.ndarray, student: np.ndarray, *, samples: int = 300, seed: int = 0) -> tuple[float, float] | None:
    return kept_interval(
        stage_with(samples=samples, seed=seed),
        lambda rows: CLASSIFICATION.score("accuracy", rows),
        teacher=CLASSIFICATION.statistics(teacher, LABELS),
        student=CLASSIFICATION.statistics(student, LABELS),
    )


def test_the_interval_holds_the_share_that_is_kept() -> None:
    teacher, student = right_on(0.9), right_on(0.8)
    low, high = interval(teacher, student)
    kept = (student == LABELS).mean() / (teacher == LABELS).mean()
    assert low < kept < high
    assert high - low < 0.2


def test_the_interval_is_as_wide_as_the_error_of_a_share_says() -> None:
    student = right_on(0.8)
    low, high = interval(LABELS, student, samples=2000)  # a perfect teacher: what is kept is the student's accuracy
    deviation = math.sqrt(0.8 * 0.2 / 400)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_a_student_that_says_what_the_teacher_says_keeps_all_without_doubt() -> None:
    teacher = right_on(0.7)
    assert interval(teacher, teacher) == (1, 1)  # the bootstrap is paired


def test_of_a_teacher_that_scores_nothing_no_share_is_kept() -> None:
    wrong = 1 - LABELS
    assert kept(wrong, LABELS) is None


@pytest.mark.parametrize(("right", "known"), [(0.9, True), (0.04, False), (0.5, False)])
def test_no_share_is_kept_of_a_teacher_near_zero_or_no_better_than_one_answer_for_all(
    right: float, known: bool
) -> None:
    labels = np.repeat([0, 1], [220, 180])
    teacher = np.where(np.arange(400) % 100 < 100 * right, labels, 1 - labels)
    found = share_kept(
        stage_with(samples=100),
        task_of("no", "yes", names=("no", "yes")),
        teacher=CLASSIFICATION.statistics(teacher, labels),
        student=CLASSIFICATION.statistics(labels, labels),
    )
    assert found["kept"] == (pytest.approx(1 / right) if known else None)
    assert (found["kept_interval"] is not None) is known


def test_the_same_seed_gives_the_same_interval() -> None:
    teacher, student = right_on(0.9), right_on(0.8)
    assert interval(teacher, student) == interval(teacher, student) != interval(teacher, student, seed=1)


def test_of_very_many_statistics_fewer_samples_are_drawn_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, student = right_on(0.9), right_on(0.8)
    few = interval(teacher, student, samples=250)
    assert "samples, not" not in capsys.readouterr().err
    monkeypatch.setattr(comparison, "MOST_NUMBERS", 250 * 400 * 2)
    assert interval(teacher, student, samples=2000) == few
    assert "drawn from 250 samples, not evaluate_student.bootstrap, 2,000: 400 rows of 2" in capsys.readouterr().err
    monkeypatch.setattr(comparison, "MOST_NUMBERS", 1)
    assert interval(teacher, student, samples=2000) == interval(teacher, student, samples=200)
    assert interval(teacher, student, samples=100) != interval(teacher, student, samples=200)


def test_a_signal_ends_the_interval_after_a_sample() -> None:
    stage, scored = stage_with(samples=2000), []

    def score(rows: np.ndarray) -> float:
        scored.append(rows)
        stage.stop.came = len(scored) == 20
        return 1.0

    with pytest.raises(Interrupted, match="after sample 10 of 2000"):
        kept_interval(stage, score, teacher=np.ones((4, 2)), student=np.ones((4, 2)))


def test_agreement_is_the_share_of_equal_predictions() -> None:
    assert CLASSIFICATION.agreement(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])) == 0.75


def test_agreement_of_scores_is_their_correlation() -> None:
    scores = np.array([1.0, 2.5, 3.0, 4.5])
    assert REGRESSION.agreement(scores, 2 * scores + 1) == pytest.approx(1)
    assert REGRESSION.agreement(scores, -scores) == pytest.approx(-1)


def test_size_counts_parameters_and_the_files_of_the_model_alone(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", layers=1)
    model = load_classifier(source, label_names=("a", "b"), new_head=True)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(model, folder, tokenizer_of=source)
    files = sum(path.stat().st_size for path in folder.iterdir())
    (folder / "stage.json").write_text("{}")
    found = size(model, folder)
    assert found["disk_bytes"] == files
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert 0 < found["encoder_parameters"] < found["parameters"]


def task_of(*labels: str | float, names: tuple[str, ...]) -> TaskData:
    examples = [Example((f"text {row}",), label, None, Path("rows.csv"), row) for row, label in enumerate(labels)]
    return TaskData(
        name="rows",
        kind=CLASSIFICATION if names else REGRESSION,
        text_columns=("text",),
        label_column="label",
        label_names=names,
        metric="accuracy" if names else "pearson",
        splits={"test": examples},
        left_out={},
    )


def table_of(task: TaskData, **outputs: np.ndarray) -> list[dict[str, Any]]:
    unused: Any = None
    split = LabelledSplit(task=task, dataset=unused, texts=unused, references=unused, settings=Task())
    by_role = {
        role: Measured(
            model=unused,
            outputs={"test": values},
            predictions={"test": split.predictions(values)},
            test_statistics=unused,
            results={},
        )
        for role, values in outputs.items()
    }
    return prediction_table({"test": split}, by_role).to_pylist()


def test_the_predictions_of_both_models_stand_beside_the_label() -> None:
    teacher, student = np.log([[0.9, 0.1], [0.4, 0.6]]), np.log([[0.2, 0.8], [0.3, 0.7]])
    rows = table_of(task_of("a", "b", names=("a", "b")), teacher=teacher, student=student)
    assert rows[0] == {
        "split": "test",
        "texts": ["text 0"],
        "label": "a",
        "teacher": "a",
        "teacher_probability": pytest.approx(0.9),
        "student": "b",
        "student_probability": pytest.approx(0.8),
    }
    assert (rows[1]["teacher"], rows[1]["student"]) == ("b", "b")


def test_the_predictions_of_a_regression_are_scores() -> None:
    one = table_of(task_of(2.5, names=()), teacher=np.array([[2.0]]), student=np.array([[1.5]]))
    assert one == [{"split": "test", "texts": ["text 0"], "label": 2.5, "teacher": 2.0, "student": 1.5}]
