"""An augmented dataset that exists is taken instead of a new one: what fits a task, and what does not."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Value, load_dataset

from data_augment.dataset import augmented_features
from pipeline.errors import UserError
from pipeline.launch.cli import main
from pipeline.plan.plan import make_plan
from pipeline.tasks.augmented import augmented_rows, check_augmented
from pipeline.tasks.labelled_data import read_task
from stages import augment_data
from tests.helpers.fake_hub import answer_of, serve
from tests.helpers.one_process import make_stage

Change = Callable[[pa.Table], pa.Table]


def rows_of(world: Path) -> list[dict[str, Any]]:
    """An original and a variant of every training row, labels by name."""
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    rows = []
    for number, example in enumerate(data.splits["train"]):
        shared = {"source_id": number, "label": example.label}
        new = f"{number} {example.texts[0]}"
        change = {"column": "text", "start": 0, "end": 3, "old": "The", "new": f"{number} The", "source": "vectors"}
        rows.append({**shared, "text": example.texts[0], "variant": 0, "replaced": []})
        rows.append({**shared, "text": new, "variant": 1, "replaced": [change]})
    return rows


def write(world: Path, rows: list[dict[str, Any]]) -> Path:
    """The dataset, in a folder as `python -m data_augment sample` leaves it."""
    path = world / "made" / "data" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = Value("string")
    features = Features({"id": Value("int64"), "text": text, "label": text})
    pq.write_table(pa.Table.from_pylist(rows, schema=augmented_features(features).arrow_schema), path)
    return path


def reuse(world: Path) -> list[str]:
    return ["--augment_data.reuse", str(world / "made")]


def test_rows_come_with_the_numbers_of_the_tasks_labels(world: Path) -> None:
    rows = rows_of(world)
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    found = list(augmented_rows([write(world, rows)], data, dropped=Counter()))
    assert found == [{**row, "label": data.label_names.index(row["label"])} for row in rows]


def test_an_original_without_a_list_of_replacements_has_an_empty_one(world: Path) -> None:
    rows = [{**row, "replaced": row["replaced"] or None} for row in rows_of(world)]
    path = write(world, rows)
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    check_augmented([path], data)
    assert [row["replaced"] for row in augmented_rows([path], data, dropped=Counter())][::2] == [[]] * (len(rows) // 2)


@pytest.mark.parametrize("column", ["sentence", None])
def test_replacements_in_a_column_that_is_no_text_of_the_task_are_one_sentence(world: Path, column: str | None) -> None:
    rows = rows_of(world)
    rows[3]["replaced"][0]["column"] = column
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    with pytest.raises(
        UserError, match=rf"row 4: replaced names the column {column!r}, and the task's texts stand in text"
    ):
        check_augmented([write(world, rows)], data)


def test_numbers_of_labels_in_another_order_are_read_by_their_names(world: Path) -> None:
    rows = rows_of(world)
    names = ["rotten", "fresh"]
    features = Features({"id": Value("int64"), "text": Value("string"), "label": ClassLabel(names=names)})
    numbered = [{**row, "label": names.index(row["label"])} for row in rows]
    path = write(world, rows)
    pq.write_table(pa.Table.from_pylist(numbered, schema=augmented_features(features).arrow_schema), path)
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    assert data.label_names == ("fresh", "rotten")
    check_augmented([path], data)
    assert [row["label"] for row in augmented_rows([path], data, dropped=Counter())] == [
        data.label_names.index(row["label"]) for row in rows
    ]


def test_a_label_that_datasets_does_not_know_is_none(world: Path) -> None:
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    features = Features(
        {"id": Value("int64"), "text": Value("string"), "label": ClassLabel(names=list(data.label_names))}
    )
    rows = [{**row, "label": -1} for row in rows_of(world)]
    path = write(world, [{**row, "label": "fresh"} for row in rows])
    pq.write_table(pa.Table.from_pylist(rows, schema=augmented_features(features).arrow_schema), path)
    check_augmented([path], data)
    assert {row["label"] for row in augmented_rows([path], data, dropped=Counter())} == {None}


def test_a_variant_equal_to_a_dev_or_test_text_is_dropped_and_counted(world: Path) -> None:
    rows = rows_of(world)
    plan = make_plan(world / "recipe.yaml", checked=False)
    data = read_task(plan.recipe.task, plan.inputs.task)
    train = {example.texts for example in data.splits["train"]}
    rows[1]["text"] = next(example.texts[0] for example in data.splits["test"] if example.texts not in train)
    dropped: Counter[str] = Counter()
    found = list(augmented_rows([write(world, rows)], data, dropped=dropped))
    assert found[:2] == [found[0], {**rows[2], "label": data.label_names.index(rows[2]["label"])}]
    assert dropped == {"equal_to_original": 1}


def test_the_stage_publishes_the_reused_rows_and_needs_no_candidates(world: Path) -> None:
    write(world, rows_of(world))
    plan = make_plan(world / "recipe.yaml", reuse(world))
    assert "propose_candidates" not in plan.stages
    assert plan.stages["augment_data"].reads == ()
    stage = replace(
        make_stage(world),
        recipe=plan.recipe,
        spec=plan.stages["augment_data"],
        inputs=plan.inputs,
        output=world / "output",
    )
    counts = augment_data.main(stage)
    half = len(rows_of(world)) // 2
    expected = {"originals": half, "variants": half, "dropped": {}}
    assert {name: counts[name] for name in expected} == expected
    found = load_dataset(str(world / "output"), split="train", cache_dir=str(world / "cache"))
    assert found["text"] == [row["text"] for row in rows_of(world)]
    assert found.features["label"].names == ["fresh", "rotten"]


def test_where_the_dataset_lies_and_how_others_are_made_change_nothing(world: Path) -> None:
    def augmented(*overrides: str) -> Any:
        return make_plan(world / "recipe.yaml", [*reuse(world), *overrides], checked=False).stages["augment_data"]

    path = write(world, rows_of(world))
    before = augmented()
    assert augmented("--seed=7", "--augment_data.variants=9", "--propose_candidates.candidates=3") == before
    (world / "moved").mkdir()
    path.parent.rename(world / "moved" / "data")
    assert augmented(f"--augment_data.reuse={world / 'moved'}").artifact == before.artifact
    pq.write_table(pq.read_table(world / "moved" / "data").slice(0, 4), world / "moved" / "data" / path.name)
    assert augmented(f"--augment_data.reuse={world / 'moved'}").artifact != before.artifact


def test_a_dataset_of_the_hub_is_taken_by_commit(world: Path, tmp_path: Path) -> None:
    write(world, rows_of(world))
    (world / "made" / "README.md").write_text("its card")
    with serve({}, {"owner/augmented": world / "made"}) as address:
        words = [world / "recipe.yaml", "--list", "--augment_data.reuse", "hub:owner/augmented"]
        answer = answer_of(main, *words, address=address, home=tmp_path / "home")
    assert answer.returncode == 0, answer.stderr
    assert "augment_data" in answer.stdout + answer.stderr
    assert "propose_candidates" not in answer.stdout + answer.stderr
    pins = json.loads((world / "runs" / "recipe" / "resolved.json").read_text())
    assert list(pins) == ["hub:datasets/owner/augmented@main"]


def without(column: str) -> Change:
    return lambda table: table.drop_columns([column])


def with_column(name: str, values: Callable[[pa.Table], Any]) -> Change:
    return lambda table: table.set_column(table.column_names.index(name), name, values(table))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("replaced"), "no column 'replaced'"),
        (without("label"), "no column 'label'"),
        (lambda table: table.rename_columns(["source_id", "txt", "label", "variant", "replaced"]), "no column 'text'"),
        (
            with_column("variant", lambda table: pa.array(["0"] * len(table))),
            "column 'variant' holds string, and integ",
        ),
        (
            with_column("replaced", lambda table: table["variant"]),
            "and lists of column, start, end, old, new, source ar",
        ),
        (with_column("label", lambda table: table["variant"]), "holds int32 without the labels' names"),
        (
            with_column("label", lambda table: pa.array(["stale"] * len(table))),
            "row 1: its label 'stale' is none of th",
        ),
        (with_column("text", lambda table: pa.array([None] * len(table), pa.string())), "row 1: a text is missing"),
        (lambda table: table.take([1, 0]), "row 1: the rows of source_id 0 do not stand together with the original"),
        (lambda table: table.take([0, 2, 1]), "row 3: the rows of source_id 0 do not stand together"),
    ],
)
def test_a_dataset_that_does_not_fit_is_one_sentence(
    world: Path, change: Change, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(world, rows_of(world))
    pq.write_table(change(pq.read_table(path)), path)
    assert main([str(world / "recipe.yaml"), *reuse(world)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert words in said
    assert not (world / "artifacts" / "augment_data").exists()


def test_a_dataset_made_from_other_splits_is_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, rows_of(world))
    assert main([str(world / "recipe.yaml"), *reuse(world), "--task.split_seed", "7"]) == 2
    assert "this original is a dev or test row of the task; the dataset was made from other splits" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--augment_data.reuse", "made/nothing"], "made/nothing"),
        (["--augment_data.same_answer", "true", "--augment_data.reuse", "{made}"], "leave one of the two out"),
        (["--augment_data.same_answer=true", "--task.kind=regression", "--task.label=score"], "compares labels"),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(
    world: Path, overrides: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, rows_of(world))
    lines = (world / "rows.csv").read_text().splitlines()
    scored = [f"{line},{'score' if number == 0 else number}" for number, line in enumerate(lines)]
    (world / "rows.csv").write_text("\n".join(scored) + "\n")
    given = [word.replace("{made}", str(world / "made")) for word in overrides]
    assert main([str(world / "recipe.yaml"), *given]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
