"""`run_all.sh` as a user runs it, its stages replaced by ones that publish a fake artifact."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts.run_links import note_runs
from pipeline.launch import cli
from pipeline.launch.options import DEFAULT_RECIPE, parse
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import STAGES
from tests.helpers.published import plan_of, publish, started

Main = Callable[..., int]


def publish_until(world: Path, last: str) -> None:
    publish(plan_of(world), *STAGES[: STAGES.index(last) + 1])


def written(world: Path) -> dict[str, int]:
    """When each file, folder and link below was last written."""
    return {str(path): path.lstat().st_mtime_ns for path in [world, *world.rglob("*")]}


def test_a_run_goes_from_nothing_to_a_table_and_a_second_one_launches_nothing(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launches: list[list[str]] = []

    def command(stages: list[str], arguments: list[str], _: list[str]) -> tuple[list[str], dict[str, str]]:
        launches.append(stages)
        return [sys.executable, "-m", "tests.helpers.published", *stages, *arguments], {}

    monkeypatch.setattr(cli, "launch_command", command)
    assert started(world) == 0
    assert launches == [list(STAGES)]
    first = capsys.readouterr()
    following = [*(f"; next: {stage}" for stage in STAGES[1:]), ""]
    lines = [
        line
        for number, (stage, after) in enumerate(zip(STAGES, following, strict=True), 1)
        for line in (f"== {number} of 11: {stage} (not run yet){after}", f"working on {stage}")
    ]
    read = [line for line in first.err.splitlines() if line.startswith("data: ")]
    assert read[0] == "data: rows: train 192, dev 24, test 24; left out: none"
    assert first.err.splitlines() == [*read, *lines]
    for stage in STAGES:
        assert (world / f"runs/recipe/logs/{stage}.log").read_text() == f"working on {stage}\n"
    assert "rows, test" in first.out
    assert f"student: {world}/runs/recipe/export_student" in first.out
    assert f"report:  {world}/runs/recipe/report.html" in first.out

    before = written(world)
    assert started(world) == 0
    second = capsys.readouterr()
    assert launches == [list(STAGES)]
    assert second.err == "all 11 stages are done: nothing was launched\n"
    assert second.out == first.out
    assert written(world) == before


def test_a_finished_run_of_another_name_only_makes_links(world: Path, launched: list[str]) -> None:
    publish(plan_of(world))
    plan_of(world).book.save()
    note_runs(world / "artifacts", world / "runs")
    before = written(world / "artifacts")
    assert started(world, "--name", "another") == 0
    assert launched == []
    made = {"results.json", "recipe.yaml", "report.html"}
    assert {path.name for path in (world / "runs/another").iterdir()} == {*STAGES, *made}
    assert written(world / "artifacts") == before


def test_the_recipe_of_a_run_gives_the_same_run(world: Path, launched: list[str]) -> None:
    assert started(world, "--augment_data.variants", "3", "--task.labels", "[rotten, fresh]") == 0
    again = make_plan(world / "runs/recipe/recipe.yaml")
    assert again.why == {}
    assert again.recipe.augment_data.variants == 3


def test_only_what_a_change_touches_is_launched(world: Path, launched: list[str]) -> None:
    publish(plan_of(world))
    assert started(world, "--evaluate_student.bootstrap", "200", "--", "--num_processes", "2") == 0
    assert launched == ["evaluate_student --num_processes 2", "export_student --num_processes 2"]


def test_list_shows_what_is_done_and_what_will_run(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    publish_until(world, "distill_layers")
    before = written(world)
    assert started(world, "--list", "--until", "distill_predictions") == 0
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == list(STAGES)
    assert lines["annotate_data"].startswith("done             2 s   ")
    assert lines["distill_predictions"] == "will run   not run yet"
    assert lines["evaluate_student"] == "not now   not run yet"
    assert launched == []
    assert written(world) == before


def test_a_dry_run_adds_an_estimate(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"annotate_data": (89.4, 2e6), "distill_layers": (150.0, 1e6), "distill_predictions": (90.0, 1e6)}
    found = json.dumps({"stages": costs, "busy": "load 4.0 on 2 cores"})
    asked: list[list[str]] = []

    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[1:])
        return subprocess.CompletedProcess(command, 0, stdout=found, stderr="")

    monkeypatch.setattr("pipeline.launch.listing.subprocess.run", answer)
    publish_until(world, "augment_data")
    assert started(world, "--dry-run", "--until", "distill_layers", "--seed", "0") == 0
    recipe = str(world / "recipe.yaml")
    assert asked == [["-m", "pipeline.distill.token_costs", "--recipe", recipe, "--seed", "0"]]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "data: rows: train 192, dev 24, test 24; left out: none",
        "data: labels in train: rotten 93, fresh 99",
    ]
    (line,) = (line for line in lines if line.startswith("annotate_data "))
    assert line.endswith("   (about 89 s, 2 MB; decode_tokens 8192, precision fp32)")
    assert lines[-2] == "in all about 4 min, 3 MB, on this machine while nothing else runs on it"
    assert lines[-1].startswith("now other work keeps it busy (load 4.0 on 2 cores)")
    assert launched == []


def test_a_dry_run_that_cannot_measure_says_why(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nMemoryError: too little")
    monkeypatch.setattr("pipeline.launch.listing.subprocess.run", lambda *_, **__: broken)
    assert started(world, "--dry-run") == 1
    assert "could not be measured (MemoryError: too little); --list shows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--only", "propose_candidates"], ["propose_candidates"]),
        (["--until", "augment_data"], ["propose_candidates", "augment_data"]),
        (["--from", "propose_candidates", "--until", "propose_candidates"], ["propose_candidates"]),
        (["--until", "finetune_teacher"], []),
    ],
    ids=" ".join,
)
def test_a_part_of_a_run_says_what_is_left(
    world: Path, launched: list[str], words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    publish_until(world, "distill_general")
    assert started(world, *words) == 0
    assert launched == expected
    left = [stage for stage in STAGES[4:] if stage not in expected]
    assert capsys.readouterr().err.splitlines()[-1] == f"not run yet: {', '.join(left)}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--from augment_data --until prepare_corpus",
            "--until prepare_corpus comes before --from augment_data: give a",
        ),
        ("--only augment_data --from augment_data", "--only augment_data runs one stage: leave out --from"),
        ("--only augment_data --until augment_data", "--only augment_data runs one stage: leave out --until"),
    ],
)
def test_a_part_that_is_none_is_one_sentence(
    world: Path, launched: list[str], words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(world, *words.split()) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert launched == []


def test_from_starts_at_a_stage_whose_upstream_is_done(world: Path, launched: list[str]) -> None:
    publish_until(world, "distill_layers")
    assert started(world, "--from", "distill_predictions") == 0
    assert launched == ["distill_predictions", "evaluate_student", "export_student"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--from distill_predictions", "--from finetune_teacher"),
        ("--only augment_data", "--from propose_candidates --until augment_data"),
        ("--from annotate_data --until distill_layers", "--from finetune_teacher --until distill_layers"),
    ],
)
def test_a_start_that_leaves_too_much_out_names_one_that_works(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str], words: str, part: str
) -> None:
    publish_until(world, "pretrain_teacher")
    assert started(world, *words.split()) == 2
    assert capsys.readouterr().err.endswith(f"; start earlier: {part}\n")
    assert started(world, *part.split()) == 0
    assert launched[0] == part.split()[1]


def test_force_sets_a_stage_aside_and_runs_what_was_built_on_it(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(plan_of(world))
    assert started(world) == 0
    old = plan_of(world).stages["distill_predictions"].artifact
    assert started(world, "--force", "distill_predictions") == 0
    assert launched == ["distill_predictions", "evaluate_student", "export_student"]
    assert (
        "== 2 of 3: evaluate_student (reads distill_predictions, which runs); next: export_student"
        in capsys.readouterr().err
    )
    assert len(list(old.folder.parent.glob("*.aside-*"))) == 1
    assert plan_of(world).why == {}


@pytest.mark.parametrize("spoil", ["--only evaluate_student", "--from distill_predictions", "rows.csv"])
def test_what_cannot_be_run_again_is_not_set_aside(world: Path, spoil: str, launched: list[str]) -> None:
    if spoil == "rows.csv":
        (world / "rows.csv").write_text("text,label\n")
    publish(plan_of(world))
    before = written(world / "artifacts")
    assert started(world, "--force", "distill_layers", *(spoil.split() if spoil != "rows.csv" else ())) == 2
    assert written(world / "artifacts") == before
    assert launched == []


@pytest.mark.parametrize("part", [["--until", "augment_data"], ["--only", "augment_data"]])
def test_a_stage_outside_of_what_runs_is_not_forced(
    world: Path, part: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(world)
    publish(plan)
    assert started(world, "--force", "distill_layers", *part) == 2
    assert "--force distill_layers: --from, --until or --only leaves the stage out" in capsys.readouterr().err
    assert plan.stages["distill_layers"].artifact.folder.is_dir()


@pytest.mark.parametrize("look", ["--list", "--dry-run"])
def test_a_look_at_the_plan_forces_nothing(
    world: Path, look: str, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(plan_of(world))
    before = written(world)
    assert started(world, "--force", "annotate_data", look) == 2
    assert capsys.readouterr().err == f"error: --force runs a stage again, and {look} runs nothing: leave one out\n"
    assert written(world) == before
    assert launched == []


def test_what_another_process_is_making_is_not_forced(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(plan_of(world))
    with plan_of(world).stages["annotate_data"].artifact.lock():
        assert started(world, "--force", "annotate_data") == 2
    assert "is being made by process" in capsys.readouterr().err
    assert plan_of(world).why == {}
    assert launched == []


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    ("end", "word"),
    [((2, "no"), "failed: no"), ((1, ""), "failed"), ((75, ""), "was interrupted")],
    ids=["bad input", "failed", "interrupted"],
)
def test_a_stage_that_fails_names_itself_its_log_and_the_command_that_resumes(
    world: Path,
    end: tuple[int, str],
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "run_launched", lambda *_: end)
    words = ["--name", "mine", "--", "--num_processes", "2"]
    assert started(world, *words) == end[0]
    log = world / "runs/mine/logs/prepare_corpus.log"
    resume = shlex.join(["./run_all.sh", str(world / "recipe.yaml"), *words])
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("data: ")]
    assert said[1:] == [
        f"prepare_corpus {word}",
        f"  log:    {log}",
        f"  resume: {resume}",
    ]


def test_a_failed_run_goes_on_where_it_stopped(
    world: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_until(world, "annotate_data")
    with monkeypatch.context() as broken:
        broken.setattr(cli, "run_launched", lambda *_: (1, ""))
        assert started(world, "--until", "distill_layers") == 1
    assert started(world, "--until", "distill_layers") == 0
    assert launched == ["distill_layers", "distill_layers"]


def test_a_stage_that_ends_well_and_publishes_nothing_is_a_failure(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_until(world, "distill_predictions")
    monkeypatch.setattr(cli, "run_launched", lambda *_: (0, ""))
    assert started(world) == 1
    assert "evaluate_student ended, but is not done (not run yet); see " in capsys.readouterr().err
    assert launched == ["evaluate_student", "export_student"]


def test_what_a_shared_disk_shows_late_is_waited_for_on_several_machines(
    world: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_until(world, "distill_predictions")
    monkeypatch.setattr(cli, "run_launched", lambda *_: (0, ""))
    monkeypatch.setattr(cli.time, "sleep", lambda _: publish(plan_of(world), "evaluate_student", "export_student"))
    words = ["--", "--num_processes", "2", "--num_machines", "2", "--machine_rank", "1"]
    assert started(world, *words) == 0


@pytest.mark.parametrize("published", [1, 2])
def test_a_run_that_was_asked_to_stop_when_all_was_done_is_done(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, published: int
) -> None:
    publish_until(world, "distill_predictions")

    def run(*_: object) -> tuple[int, str]:
        for stage in ["evaluate_student", "export_student"][:published]:
            publish(plan_of(world), stage)
        return 75, ""

    monkeypatch.setattr(cli, "run_launched", run)
    assert started(world) == (0 if published == 2 else 75)
    said = capsys.readouterr()
    assert ("was interrupted" in said.err) == (published == 1)
    assert ("rows, test" in said.out) == (published == 2)


def test_a_run_that_was_asked_to_stop_says_how_to_go_on_though_its_input_is_gone(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_until(world, "distill_predictions")

    def run(*_: object) -> tuple[int, str]:
        (world / "rows.csv").unlink()
        return 75, ""

    monkeypatch.setattr(cli, "run_launched", run)
    assert started(world) == 75
    said = capsys.readouterr().err
    assert "evaluate_student was interrupted" in said and "  resume: ./run_all.sh" in said


@pytest.mark.parametrize("text", ["seed: 7\n", "seed: [\n"])
@pytest.mark.parametrize("end", [0, 75])
def test_a_run_ends_with_the_recipe_that_it_began_with(
    world: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch, text: str, end: int
) -> None:
    """A recipe that is edited while its stages run."""
    run = cli.run_launched

    def edited(*words: Any) -> tuple[int, str]:
        (world / "base.yaml").write_text(text)
        (world / "recipe.yaml").write_text(text)
        return end, run(*words)[1]

    (world / "recipe.yaml").rename(world / "base.yaml")
    (world / "recipe.yaml").write_text("base: base.yaml\n")
    monkeypatch.setattr(cli, "run_launched", edited)
    assert started(world, "--seed", "3") == 0
    assert launched == list(STAGES)
    assert make_plan(world / "runs/recipe/recipe.yaml").recipe.seed == 3


def test_help_explains_every_option_and_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for word in ("--list", "--dry-run", "--from S", "--until S", "--only S", "--force S", "distill_layers.batch_size"):
        assert word in text
    assert "Examples in an optimiser step, over all processes." in text


def test_help_groups_settings_by_section_and_indents_what_it_wraps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    page = capsys.readouterr().out.partition("settings, in a recipe")[2]
    assert max(map(len, page.splitlines())) <= 60
    section = page.partition("\ntask: ")[2].partition("\nstudent: ")[0]
    lines = section.splitlines()[2:-1]
    assert {line.partition(".")[0].strip() for line in lines if line.startswith("  ") and line[2] != " "} == {"task"}
    assert {len(line) - len(line.lstrip()) for line in lines} == {2, 6}


def test_without_a_recipe_the_default_one_runs() -> None:
    assert DEFAULT_RECIPE.is_file()
    assert parse(["--list"])[1] == DEFAULT_RECIPE


def test_stages_read_the_recipe_where_its_link_lies(world: Path, launched: list[str]) -> None:
    """Its base and its name are those of the link, as in the plan."""
    kept = world / "kept"
    kept.mkdir()
    (kept / "theirs.yaml").write_text("base: recipe.yaml\n")
    (world / "mine.yaml").symlink_to(kept / "theirs.yaml")
    assert cli.main([str(world / "mine.yaml")]) == 0
    assert len(launched) == len(STAGES)
    assert (world / "runs" / "mine" / "results.json").is_file()
