"""The script of the evidence: what it runs, what it shares, and the tables that it writes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import evidence
from benchmarks.evidence import (
    ABLATIONS,
    FULL,
    LABELS,
    NO_PREDICTION,
    RECIPES,
    TEACHER,
    changed,
    main,
    official_stsb,
    spread,
    table,
)
from pipeline import PROJECT
from pipeline.config.recipe_file import load_recipe
from pipeline.tasks.labelled_data import read_task

DATA = Path(__file__).parents[3] / "shared/data"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, list[str]]]:
    """What was run instead of the pipeline, as (way, settings); every student scores 0.8, every teacher 0.9."""
    runs: list[tuple[str, list[str]]] = []

    def run(recipe: Path, arguments: list[str], *options: str) -> Any:
        if recipe.name == "rotten_tomatoes.yaml":
            load_recipe(recipe, arguments)  # a name or a setting that no run would take
        runs.append(("run", arguments))
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        (folder / "results.json").write_text('{"teacher": {"score": 0.9}, "student": {"score": 0.8}}')
        return SimpleNamespace(stages={options[-1]: SimpleNamespace(artifact=SimpleNamespace(folder=folder))})

    def on_labels(way: str) -> Any:
        def trained(distilled: Any, recipe: Path, arguments: list[str]) -> float:
            runs.append((way, arguments))
            return 0.7

        return trained

    monkeypatch.setattr(evidence, "run", run)
    monkeypatch.setattr(evidence, "labels_alone", on_labels("labels"))
    monkeypatch.setattr(evidence, "layers_and_labels", on_labels("layers"))
    return runs


def parts_of(recipe: str) -> list[str]:
    settings = load_recipe(PROJECT / recipe, [])
    return [way for way, changes in ABLATIONS.items() if changed(settings, changes)]


def write(monkeypatch: pytest.MonkeyPatch, output: Path, *words: str) -> str:
    monkeypatch.setattr("sys.argv", ["evidence", *words, "--output", str(output)])
    main()
    return output.read_text(encoding="utf-8")


def test_every_way_is_run_for_every_seed_and_task(
    started: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("--tasks", "snippets", "mrpc", "--seeds", "0", "1", "--precision", "fp32")
    text = write(monkeypatch, tmp_path / "e.md", *words)
    parts = {task: parts_of(RECIPES[task]) for task in ("snippets", "mrpc")}
    assert len(started) == 2 * (2 * 3 + sum(map(len, parts.values())))
    assert len({words[words.index("--name") + 1] for _, words in started}) == len(started)
    assert all(words[:2] == ["--precision", "fp32"] for _, words in started)
    for task in ("snippets", "mrpc"):
        part = text.partition(f"## {task}\n")[2].partition("##")[0]
        assert "| teacher | 90.00 ± 0.00 |" in part
        assert "| full pipeline | 80.00 ± 0.00 | 88.89% ± 0.00 |  | 2 |" in part
        assert "| labels alone | 70.00 ± 0.00 | 77.78% ± 0.00 | -10.00 ± 0.00 | 2 |" in part
        assert all(f"| {way} |" in part for way in (*parts[task], NO_PREDICTION))
        assert "The full pipeline keeps 88.9% of its teacher's score." in part


def test_a_part_is_left_out_where_it_is_and_put_in_where_it_is_not() -> None:
    for recipe in RECIPES.values():
        found = parts_of(recipe)
        assert ("without the attention loss" in found) != ("with the attention loss" in found)
        assert "without augmentation" in found


def test_what_there_is_no_time_for_is_written_down(
    started: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = write(monkeypatch, tmp_path / "e.md", "--tasks", "snippets", "--seeds", "0", "--hours", "0")
    assert started == []
    assert f"- snippets, seed 0: {FULL}" in text
    assert f"- snippets, seed 0: {NO_PREDICTION}" in text


def test_without_a_gpu_nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evidence, "gpu_count", lambda: 0)
    with pytest.raises(SystemExit) as stopped:
        write(monkeypatch, tmp_path / "e.md", "--gpu")
    assert stopped.value.code == 2


def test_an_ablation_that_beats_the_full_pipeline_is_named() -> None:
    ways = {TEACHER: {0: 0.9, 1: 0.9}, FULL: {0: 0.88, 1: 0.89}, LABELS: {0: 0.7, 1: 0.7}}
    within = ways | {"without augmentation": {0: 0.89, 1: 0.885}}
    beyond = ways | {"without augmentation": {0: 0.9, 1: 0.91}}
    assert table(within)[-1] == "Better than the full pipeline by more than the spread: none."
    assert table(beyond)[-1] == "Better than the full pipeline by more than the spread: without augmentation."
    assert "keeps 98.3% of" in table(ways)[-2]
    one_seed = {way: {0: found[0]} for way, found in beyond.items()}
    assert table(one_seed)[-1] == "One seed has no spread: small differences from the full pipeline may be chance."


def test_a_spread_is_a_mean_and_a_standard_deviation() -> None:
    assert spread([0.5, 0.6]) == "55.00 ± 7.07"
    assert spread([0.5]) == "50.00"


def test_every_ablation_is_made_of_settings() -> None:
    for changes in ABLATIONS.values():
        words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
        load_recipe(PROJECT / "recipes/rotten_tomatoes.yaml", words)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("task", ["sst2", "mrpc", "stsb"])
def test_the_shared_data_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str) -> None:
    monkeypatch.setattr(evidence, "PROJECT", tmp_path)
    recipe = load_recipe(PROJECT / evidence.RECIPES[task], evidence.data_settings(task, DATA))
    assert recipe.task.data
    data = read_task(recipe.task, {"glue": (Path(recipe.task.data),)})
    assert len(data.splits["test"]) == {"sst2": 872, "mrpc": 1725, "stsb": 1500}[task]
    if task == "stsb":
        assert official_stsb(DATA / "stsb") == Path(recipe.task.data)
