"""The other tasks: where their data are looked for, and what is kept of a run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import tasks
from pipeline.config.recipe_file import load_recipe
from pipeline.tasks.labelled_data import read_task
from tests.helpers.published import EVALUATION, EXPORTED

SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.mark.parametrize("task", [task for task in tasks.TASKS if task not in tasks.FOLDERS])
def test_the_settings_of_a_task_name_its_files_in_the_folder(task: str, tmp_path: Path) -> None:
    found = load_recipe(tasks.PROJECT / tasks.TASKS[task], tasks.settings_of(task, tmp_path)).task
    named = [Path(path) for split in tasks.SPLITS for path in getattr(found, split)]
    assert named and all(path.is_relative_to(tmp_path) for path in named)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not beside the project")
@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_data_sets_are_read_as_their_authors_publish_them(task: str) -> None:
    assert tasks.is_there(task, SHARED)
    found = load_recipe(tasks.PROJECT / tasks.TASKS[task], tasks.settings_of(task, SHARED)).task
    files = {split: [Path(path) for path in getattr(found, split)] for split in tasks.SPLITS}
    folder = {"glue": [Path(str(found.data))]} if found.glue else {}
    data = read_task(found, {name: paths for name, paths in (files | folder).items() if paths})
    assert all(data.splits[split] for split in tasks.SPLITS)


def test_a_task_without_its_data_is_not_run(tmp_path: Path) -> None:
    row = tasks.measured("wnut17", 0, tmp_path, [], dry=False)
    assert row["not_run"].startswith("its data are not in")


def test_the_figures_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(recipe: Path, arguments: list[str], *options: str) -> Any:
        started.append(arguments)
        shipped = EXPORTED["shipped"] | {"score": 0.78, "kept": 0.97, "kept_interval": [0.96, 0.98]}
        sides = {"shipped": shipped}
        seconds = {"seconds": {"a": 10.0}, "start_seconds": {"a": 1.0}}
        (tmp_path / "results.json").write_text(json.dumps(EVALUATION | sides | seconds | {"rows": 5}))
        return SimpleNamespace(run_folder=tmp_path, stages={})

    monkeypatch.setattr(tasks, "run", run)
    monkeypatch.setattr(tasks, "is_there", lambda *_: True)
    row = tasks.measured("zh_reviews", 2, tmp_path, ["--seed", "0"], dry=False)
    assert row["ships"] == 0.78 and row["seconds"] == 11 and row["kept"] == 0.97
    assert "0.7800   97.0% kept (95%: 96.0% to 98.0%)" in row["printed"]["table"][1]
    assert row["printed"]["answers"] == []  # its page shows none
    assert started[0][-4:] == ["--seed", "2", "--name", "zh_reviews-seed-2"]
