"""Soft labels: how they are written, what they become, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.data import Task
from pipeline.data.soft_labels import SoftColumns
from pipeline.errors import UserError
from pipeline.tasks.classification import softmax
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.soft_labels import given_logits, targets_to_learn, to_learn

COLUMNS = {"fresh": "p_fresh", "rotten": "p_rotten"}


def read(folder: Path, content: str, *, unlabelled: str = "", name: str = "rows.csv", **settings: Any) -> TaskData:
    (folder / name).write_text(content, encoding="utf-8")
    files = {"train": [folder / name]}
    if unlabelled:
        (folder / "more.csv").write_text(unlabelled, encoding="utf-8")
        files["unlabelled"] = [folder / "more.csv"]
    given: dict[str, Any] = {"soft_labels": COLUMNS, "dev_share": 0.2, "test_share": 0.2}
    return read_task(Task(train=[name], **(given | settings)), files)  # type: ignore[arg-type]


def table(*rows: str, header: str = "text,p_rotten,p_fresh") -> str:
    return header + "\n" + "".join(f"{row}\n" for row in rows)


SOFT = [f"row {number},{number / 20},{1 - number / 20}" for number in range(20)]


def all_rows(data: TaskData) -> dict[str, Any]:
    return {row.texts[0]: row for split in ("train", "dev", "test") for row in data.splits[split]}


def test_soft_labels_alone_give_labels_to_score_with_and_logits_to_learn(tmp_path: Path) -> None:
    data = read(tmp_path, table(*SOFT))
    assert data.label_names == ("fresh", "rotten")  # in the order of the recipe
    rows = all_rows(data)
    assert rows["row 1"].label == "fresh" and rows["row 19"].label == "rotten"
    assert softmax(np.array(rows["row 1"].soft)) == pytest.approx([0.95, 0.05])
    assert sum(rows["row 1"].soft) == pytest.approx(0)
    assert "20 rows have no label" in data.remarks[0]
    logits = given_logits(data.splits["test"])
    assert logits is not None and logits.shape == (4, 2)


def test_rows_may_have_labels_soft_labels_or_both(tmp_path: Path) -> None:
    rows = ["hard,fresh,,", "both,rotten,0.1,0.9", *(f"{row.split(',')[0]},,{row.split(',', 1)[1]}" for row in SOFT)]
    data = read(tmp_path, table(*rows, header="text,label,p_rotten,p_fresh"), dev_share=0.05, test_share=0.05)
    found = all_rows(data)
    assert (found["hard"].label, found["hard"].soft) == ("fresh", None)
    assert found["both"].label == "rotten" and softmax(np.array(found["both"].soft)) == pytest.approx([0.9, 0.1])
    assert given_logits([found["hard"], found["both"]]) is None
    learnt = to_learn(data)
    targets = targets_to_learn(learnt)
    assert targets is not None
    by_text = {row.texts[0]: target for row, target in zip(learnt.splits["train"], targets, strict=True)}
    assert by_text["hard"] == [1.0, 0.0] and by_text["both"] == pytest.approx([0.9, 0.1])


def test_unlabelled_rows_may_have_soft_labels_and_are_learnt_then(tmp_path: Path) -> None:
    more = table("more,0.2,0.8", "less,,")
    data = read(tmp_path, table(*SOFT), unlabelled=more)
    assert [row.label for row in data.splits["unlabelled"]] == [None, None]
    learnt = to_learn(data).splits["train"]
    assert [row.texts[0] for row in learnt[-1:]] == ["more"] and learnt[-1].label == "fresh"
    plain = "text,other\nmore,1\n"
    assert read(tmp_path, table(*SOFT), unlabelled=plain).splits["unlabelled"][0].soft is None


@pytest.mark.parametrize("listed", [False, True])
def test_one_column_holds_an_object_or_a_list(tmp_path: Path, listed: bool) -> None:
    lines = []
    for number in range(20):
        soft: Any = {"rotten": number / 20, "fresh": 1 - number / 20}
        lines.append(json.dumps({"text": f"row {number}", "soft": list(soft.values()) if listed else soft}))
    settings: dict[str, Any] = {"labels": ["rotten", "fresh"]} if listed else {}
    data = read(tmp_path, "\n".join(lines), name="rows.jsonl", soft_labels="soft", **settings)
    wanted = [0.05, 0.95] if listed else [0.95, 0.05]  # without task.labels they are sorted
    assert softmax(np.array(all_rows(data)["row 1"].soft)) == pytest.approx(wanted)


def test_one_column_holds_what_a_pipeline_of_transformers_answers(tmp_path: Path) -> None:
    rows = [
        {"text": f"row {n}", "soft": [{"label": "rotten", "score": n / 20}, {"label": "fresh", "score": 1 - n / 20}]}
        for n in range(20)
    ]
    data = read(tmp_path, "\n".join(map(json.dumps, rows)), name="rows.jsonl", soft_labels="soft")
    assert data.label_names == ("fresh", "rotten")
    assert softmax(np.array(all_rows(data)["row 1"].soft)) == pytest.approx([0.95, 0.05])


def lists(*labels: Any) -> str:
    """Rows whose first label has the probability n/20, each with one of these labels in turn, or None."""
    cells = [label and [label] for label in labels]  # as both kinds of task read it
    rows = [{"text": f"row {n}", "soft": [n / 20, 1 - n / 20], "label": cells[n % len(cells)]} for n in range(20)]
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
@pytest.mark.parametrize("labels", [[None], ["fresh"], ["fresh", None]])
def test_lists_whose_labels_nobody_names_are_refused(tmp_path: Path, kind: str, labels: list[Any]) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, lists(*labels), name="rows.jsonl", soft_labels="soft", kind=kind)
    says = "column 'soft' holds a list of soft labels; name the labels in task.labels, in the order of the list"
    assert str(raised.value) == f"{tmp_path}/rows.jsonl:1: {says}"


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
@pytest.mark.parametrize("labels", [["rotten", "fresh"], ["rotten", None, "fresh"]])
def test_lists_without_names_of_labels_are_read_in_their_order_and_that_is_said(
    tmp_path: Path, kind: str, labels: list[Any]
) -> None:
    data = read(tmp_path, lists(*labels), name="rows.jsonl", soft_labels="soft", kind=kind)
    assert data.label_names == ("fresh", "rotten")
    says = "lists of soft labels are read in the order fresh, rotten; if that is wrong, give the order in task.labels"
    assert data.remarks[0] == says
    data = read(tmp_path, lists(*labels), name="rows.jsonl", soft_labels="soft", kind=kind, labels=["rotten", "fresh"])
    assert data.label_names == ("rotten", "fresh") and says not in data.remarks


def test_logits_stay_as_they_are(tmp_path: Path) -> None:
    data = read(tmp_path, table(*[f"row {n},{n - 9.5},3" for n in range(20)]), soft_label_values="logits")
    assert all_rows(data)["row 0"].soft.tolist() == [3.0, -9.5]


def test_probabilities_that_nearly_sum_to_1_are_divided_by_their_sum_and_that_is_said(tmp_path: Path) -> None:
    data = read(tmp_path, table("off,0.3,0.67", "near,0.3,0.7004", *SOFT), dev_share=0.05, test_share=0.05)
    assert softmax(np.array(all_rows(data)["off"].soft)) == pytest.approx([0.67 / 0.97, 0.3 / 0.97])
    assert data.remarks[0] == "the soft labels of 1 rows do not sum to 1; each was divided by its sum"


def test_several_labels_have_probabilities_that_need_not_sum_to_1(tmp_path: Path) -> None:
    data = read(tmp_path, table(*[f"row {n},0.9,{n / 20}" for n in range(20)]), kind="multi_label")
    found = all_rows(data)
    assert found["row 19"].label == ("fresh", "rotten") and found["row 1"].label == ("rotten",)
    assert 1 / (1 + np.exp(-np.array(found["row 1"].soft))) == pytest.approx([0.05, 0.9])


def test_a_regression_learns_the_given_score_where_there_is_one(tmp_path: Path) -> None:
    rows = table(*[f"row {n},{n},{n + 0.5 if n % 2 else ''}" for n in range(20)], header="text,label,score")
    data = to_learn(read(tmp_path, rows, kind="regression", soft_labels="score"))
    labels = {row.texts[0]: row.label for row in data.splits["train"]}
    assert all(label == int(text[4:]) + 0.5 * (int(text[4:]) % 2) for text, label in labels.items())
    assert targets_to_learn(data) is None


def test_a_regression_may_have_given_scores_alone(tmp_path: Path) -> None:
    rows = table(*[f"row {n},{n / 2}" for n in range(20)], header="text,score")
    data = read(tmp_path, rows, kind="regression", soft_labels="score")
    assert all_rows(data)["row 3"].label == 1.5 and data.label_names == ()


VECTORS = {"kind": "embedding", "text_pair": "other", "soft_labels": {"text": "a", "other": "b"}}


def pairs(*vectors: tuple[object, object]) -> str:
    lines = [{"text": f"row {n}", "other": "x", "a": a, "b": b} for n, (a, b) in enumerate(vectors)]
    return "\n".join(map(json.dumps, lines))


def test_embeddings_have_a_vector_for_each_text(tmp_path: Path) -> None:
    data = read(tmp_path, pairs(*[([3, 4], [n, 1]) for n in range(10)]), name="rows.jsonl", **VECTORS)
    found = all_rows(data)["row 0"]
    assert found.soft == pytest.approx((0.6, 0.8, 0.0, 1.0)) and found.label == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("first", "settings", "says"),
    [
        (([1, 0, 0], [1, 0]), {}, "rows.jsonl:1: column 'b' holds no vector like that of the row's other text"),
        (([0, 0], [1, 0]), {}, "rows.jsonl:1: column 'a' holds no vector like that of the row's other text, or one of"),
        (([1, 0], None), {}, "rows.jsonl:1: column 'b' holds no vector"),
        (([1, 2, 3], [1, 2, 3]), {}, "rows.jsonl:2: its vectors have 4 numbers in all, others have 6"),
        (([1, 0], [1, 0]), {"soft_labels": {"text": "a"}}, "task.soft_labels: embeddings have a vector for each text"),
        (([1, 0], [1, 0]), {"soft_labels": "a"}, "task.soft_labels: embeddings have a vector for each text; write"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path: Path, first: Any, settings: dict, says: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, pairs(first, *[([3, 4], [n, 1]) for n in range(9)]), name="rows.jsonl", **(VECTORS | settings))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("row", "settings", "says"),
    [
        ("one,0.5,0.6", {}, "rows.csv:2: the soft labels sum to 1.1, not to 1; divide them by their sum"),
        ("one,-2,3", {}, "rows.csv:2: column 'p_fresh' holds '3', not a probability; divide percentages by 100; for"),
        ("one,120,0", {}, "rows.csv:2: column 'p_rotten' holds '120', not a probability; for logits set task."),
        ("one,20%,80%", {}, "rows.csv:2: column 'p_fresh' holds '80%', not a finite number; write 0.8"),
        ('one,"0,2","0,8"', {}, "rows.csv:2: column 'p_fresh' holds '0,8', not a finite number; write 0.8"),
        ("one,inf,0", {}, "rows.csv:2: column 'p_rotten' holds 'inf', not a finite number"),
        ("one,nan,0.5", {}, "rows.csv:2: column 'p_rotten' has no value, and other soft labels of the row have one"),
        ("one,,0.5", {}, "rows.csv:2: column 'p_rotten' has no value"),
        ("one,high,0.5", {}, "rows.csv:2: column 'p_rotten' holds 'high', not a finite number"),
        ("one,,", {}, "rows.csv:2: neither soft labels (p_fresh, p_rotten) nor a label; write one, or move the row"),
        ("one,NA,null", {}, "rows.csv:2: neither soft labels (p_fresh, p_rotten) nor a label; write one, or move the"),
        ("one,0.5,0.5", {"soft_labels": {"fresh": "p_fresh", "stale": "p_stale"}}, "column 'p_stale' has no value"),
        ("one,0.5,0.5", {"labels": ["fresh", "stale"]}, "it names fresh, rotten, but the labels"),
        ("one,0.5,0.5", {"soft_labels": {"fresh": "text", "rotten": "p_rotten"}}, "the column 'text' has another use"),
        ("one,0.5,0.5", {"kind": "token_classification"}, "task.soft_labels: a task of kind token_classification"),
        ("one,0.5,0.5", {"kind": "regression"}, "task.soft_labels: a regression has one column with a score"),
        ("one,0.5,0.5", {"soft_labels": "p_fresh"}, "rows.csv:2: column 'p_fresh' holds '0.5', not soft labels; write"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, row: str, settings: dict, says: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, table(row, *SOFT), **settings)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("soft", "says"),
    [
        ('{"fresh": 0.5}', "rows.jsonl:1: the soft labels lack the label 'rotten'; write 0 where"),
        ('{"fresh": 0.5, "roten": 0.5}', "rows.jsonl:1: the soft labels name the unknown label 'roten'; did you mean"),
        ("[0.2, 0.3, 0.5]", "rows.jsonl:1: the list holds 3 soft labels, and the task has 2 labels: fresh, rotten"),
        ('{"fresh": null, "rotten": 1}', "in which a value is missing"),
        ('{"fresh": 0.2, " fresh": 0.3, "rotten": 0.5}', "in which two keys are one label"),
        ('[{"label": "fresh", "score": 0.2}, {"label": "fresh", "score": 0.8}]', "in which two keys are one label"),
        ('"NA"', "rows.jsonl:1: neither soft labels (s) nor a label"),
    ],
)
def test_an_object_that_does_not_fit_the_labels_is_refused(tmp_path: Path, soft: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        read(
            tmp_path,
            f'{{"text": "one", "s": {soft}}}\n',
            name="rows.jsonl",
            soft_labels="s",
            labels=["fresh", "rotten"],
        )
    assert says in str(error.value)


def test_keys_are_labels_in_any_writing_of_them(tmp_path: Path) -> None:
    keys = ({" n\u00e9": 0.4, "1.0": 0.6}, {"ne\u0301": 0.7, "1": 0.3})
    rows = [{"text": f"row {n}", "s": keys[n % 2]} for n in range(20)]
    data = read(tmp_path, "\n".join(map(json.dumps, rows)), name="rows.jsonl", soft_labels="s")
    assert data.label_names == ("1", "n\u00e9")


def test_columns_that_no_training_row_has_are_named(tmp_path: Path) -> None:
    rows = table(*[f"row {n},{'ab'[n % 2]}" for n in range(20)], header="text,label")
    with pytest.raises(UserError, match=r"column 'p_fresh', 'p_rotten' is empty in every training row"):
        read(tmp_path, rows)


def test_objects_of_five_thousand_labels_are_put_in_order() -> None:
    names = tuple(f"label {number}" for number in range(5000))
    values = {name: float(number) for number, name in enumerate(reversed(names))}
    soft = SoftColumns(columns="soft", are_logits=True, form="distribution")
    for _ in range(10):
        assert soft.as_logits(values, names)[0][0] == 4999
