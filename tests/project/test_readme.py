"""Every command in the READMEs and in the headers of recipes does what stands beside it; every name in them exists."""

import argparse
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import PROJECT
from pipeline.config.recipe_file import load_recipe
from pipeline.config.reference import settings
from pipeline.launch import cli
from pipeline.launch.options import DEFAULT_RECIPE, parse
from pipeline.launch.table_recipe import is_table
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import STAGES
from pipeline.predict import __main__ as predict
from tests import tiny
from tests.helpers.fake_hub import TOKEN, serve
from tests.helpers.published import launches, publish

PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")]
PAGES += sorted((PROJECT / "docs").rglob("*.md"))
HEADERS = [path for folder in ("recipes", "accelerate_configs") for path in sorted((PROJECT / folder).rglob("*.yaml"))]
PROGRAMS = "cat|cp|curl|hf|mkdocs|npm|pip|tensorboard"
COMMAND = rf"(?:[A-Z][A-Z0-9_]+=\S* )*(?:\./|\.venv/bin/|python -m |accelerate launch |(?:{PROGRAMS}) )"
SETTINGS = {setting.name for setting in settings()}
KNOWN = yaml.safe_load(Path(__file__).with_name("readme_commands.yaml").read_text(encoding="utf-8"))
RUN: dict[str, str] = KNOWN["run"]
LAUNCH: dict[str, tuple[str | None, list[str]]] = KNOWN["launch"]


class Parsed(Exception):
    """Ends a program once its words are read."""


def is_parsed(command: str) -> None:
    """A benchmark, minutes or hours of work: its own parser knows every word."""
    words = ["1" if word == "H" else word for word in re.sub(r"\.\.\.|[][]", "", command).split()]
    one_of = re.compile(r"\{(.*)\}")
    choices = next((found[1].split(",") for word in words if (found := one_of.fullmatch(word))), [""])
    whole = argparse.ArgumentParser.parse_known_args

    def only_options(parser: argparse.ArgumentParser, arguments: Any = None, namespace: Any = None) -> None:
        _, unknown = whole(parser, arguments, namespace)
        assert unknown == []
        raise Parsed

    def options_and_settings(parser: argparse.ArgumentParser, arguments: Any = None, namespace: Any = None) -> None:
        _, unknown = whole(parser, arguments, namespace)
        load_recipe(DEFAULT_RECIPE, unknown)
        raise Parsed

    for choice in choices:
        arguments = [choice if one_of.fullmatch(word) else "general" if word == "WHAT" else word for word in words[3:]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [words[2], *arguments])
            patch.setattr(argparse.ArgumentParser, "parse_args", only_options)
            patch.setattr(argparse.ArgumentParser, "parse_known_args", options_and_settings)
            with pytest.raises(Parsed):
                importlib.import_module(words[2]).main()


def is_planned(command: str) -> None:
    """Minutes or hours of work, on data from the network: the recipe is one, and the settings are known."""
    typed = command.partition(" -- ")[0].split()
    words = [word for word in typed if not re.match(r"[A-Z][A-Z0-9_]+=|python$|-m$", word)]
    _, recipe, overrides = parse(words[1:])
    load_recipe(PROJECT / recipe, overrides)


def starts_from_a_table(command: str) -> None:
    """A whole run: tests/unit/launch/test_table_recipe.py makes the recipe of a table, and plans it."""
    options, table, overrides = parse(shlex.split(command)[1:])
    assert is_table(table)
    assert {options.text, options.label} <= {None, "review", "stars"}
    load_recipe(PROJECT / "recipes/your_data.yaml", overrides)


def is_served(command: str) -> None:
    """A server, which runs until it is stopped: tests/unit/predict/test_server.py starts it."""
    assert predict.parser().parse_args(shlex.split(command)[3:]).serve


def answers_a_request(command: str) -> None:
    """A request to the server: tests/unit/predict/test_server.py posts it."""
    assert json.loads(shlex.split(command)[-1]).keys() == {"texts"}


def can_be_installed(command: str) -> None:
    """Packages from the network: extras that the project has, or packages that it pins or whose client it tests."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = (PROJECT / "pipeline/environment/constraints.txt").read_text(encoding="utf-8")
    known += Path(__file__).with_name("test_deploy_page.py").read_text(encoding="utf-8")
    for package in shlex.split(command)[2:]:
        if package.startswith(".["):
            assert set(package[2:-1].split(",")) <= project["optional-dependencies"].keys()
        elif package != "-e":
            assert package in known


def is_known_to_its_program(command: str) -> None:
    """What asks for a password or serves until it is stopped: its program has such a command."""
    name, *words = command.split()
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def is_a_test(command: str) -> None:
    """A test that needs more than a machine: its file reads the variable."""
    variable, *_, file = re.split(r"[= ]", command)
    assert variable in (PROJECT / file).read_text(encoding="utf-8")


def is_there(command: str) -> None:
    """The tests themselves, the linters, or a module's bare name."""
    if command.startswith("python -m "):
        assert importlib.util.find_spec(command.split()[2])
    elif not command.startswith(".venv/"):
        assert os.access(PROJECT / command.split(maxsplit=1)[0], os.X_OK)


# Not run here, and why: by the beginning of the command.
LONG: dict[str, Callable[[str], None]] = {
    r"python -m (benchmarks\.\w+|tests\.faults)\b": is_parsed,
    r"\./run_all\.sh (recipes/[\w/]+\.yaml$|-- )|python -m pipeline (--|recipes/)": is_planned,
    r"(ATEN_CPU_CAPABILITY|PIP_EXTRA_INDEX_URL)=": is_planned,
    r"\./run_all\.sh \w+\.csv": starts_from_a_table,
    r"python -m pipeline\.predict \S+ --serve$": is_served,
    r"curl ": answers_a_request,
    r"(pip|npm) install ": can_be_installed,
    r"(hf|mkdocs|tensorboard) ": is_known_to_its_program,
    r"TWO_MACHINES_UNTIL=": is_a_test,
    r"\./run_tests\.sh|\.venv/bin/pre-commit install$|python -m [\w.]+$": is_there,
}


def commands_of(page: Path) -> Iterator[str]:
    """The commands of a page's code blocks, or of a file's comments, and those in its text between back quotes."""
    text = page.read_text(encoding="utf-8")
    block = re.compile(r"^#? {4,5}(.*)$", re.MULTILINE)
    fenced = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for line in [*block.findall(text), *"".join(fenced.findall(text)).splitlines()]:
        if re.match(COMMAND, line):
            yield re.sub(r"\s+# .*", "", line).strip()
    yield from re.findall(rf"`({COMMAND}[^`]+)`", " ".join(fenced.sub("", block.sub("", text)).split()))


COMMANDS = sorted({command for page in (*PAGES, *HEADERS) for command in commands_of(page)})


def checks_of(command: str) -> list[Callable[[str], None]]:
    return [check for pattern, check in LONG.items() if re.match(pattern, command)]


def test_every_command_is_run_or_known_to_be_long() -> None:
    assert [command for command in COMMANDS if command not in RUN | LAUNCH and not checks_of(command)] == []
    assert [command for command in RUN | LAUNCH if command not in COMMANDS] == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in RUN | LAUNCH])
def test_a_long_command_is_one_that_its_program_understands(command: str) -> None:
    for check in checks_of(command):
        check(command)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that were launched, with the launcher's words; each publishes a fake artifact."""
    return launches(monkeypatch)


@pytest.mark.parametrize("command", LAUNCH)
def test_a_command_launches_what_stands_beside_it(command: str, world: Path, launched: list[str]) -> None:
    done, expected = LAUNCH[command]
    plan = make_plan(world / "recipe.yaml", checked=False)
    if done is not None:
        publish(plan, *STAGES[: STAGES.index(done) + 1])
    words = re.sub(r" (RECIPE|R|/tmp/tiny/recipe.yaml)\b", f" {world}/recipe.yaml", command)
    assert cli.main(shlex.split(words)[1:]) == 0
    assert launched == expected


@pytest.fixture(scope="module")
def checkout(clone: Path, finished: Path, run_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose default recipe is a tiny one, with a finished run's artifacts and the files that pages name."""
    folder = tmp_path_factory.mktemp("readme") / "project"
    subprocess.run(["git", "clone", "-q", str(clone), str(folder)], check=True)
    shutil.copytree(run_world / "artifacts", folder / "artifacts", copy_function=os.link)
    for name in ("model", "rows.csv", "text.txt", "vectors.txt"):
        source, target = run_world / name, folder / "tiny" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    tiny.write_recipe(folder / "recipes/rotten_tomatoes.yaml", tiny.recipe(folder / "tiny") | {"run": {}})
    rows = (folder / "tiny/rows.csv").read_text().splitlines()[:30]
    (folder / "reviews.csv").write_text("\n".join(["text,label,film,review", *(f"{row},fine" for row in rows[1:])]))
    (folder / "zh_reviews.csv").write_text("text,label\n酒店很好,positive\n服务太差,negative\n", encoding="utf-8")
    (folder / "reviews.txt").write_text("The film is great .\n")
    links = {"MODEL": "tiny/model", "glove.6B.50d.txt": "tiny/vectors.txt", ".venv": sys.prefix}
    links |= {f"runs/{name}": "rotten_tomatoes" for name in ("NAME", "A", "B", "multi_label")}
    (folder / "runs").mkdir()
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


def in_bash(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a user types in the project's folder, in an active environment."""
    known = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    known |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHON": sys.executable}
    known |= {"HF_HOME": str(folder.parent / "home"), "HF_HUB_OFFLINE": "1"} | environment
    words = ["bash", "-c", f"set -o pipefail; {command}"]
    return subprocess.run(words, cwd=folder, env=known, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_the_short_commands_work_as_they_stand(checkout: Path, tmp_path: Path) -> None:
    meant = {r"\bRECIPE\b": "recipes/rotten_tomatoes.yaml", r"\bR$": "recipes/rotten_tomatoes.yaml",
             r"\bOWNER/NAME\b": "owner/small", r"stages\.NAME": "stages.annotate_data",
             r"/path/to/python": sys.executable, r"/tmp/tiny": str(tmp_path / "tiny")}  # fmt: skip
    with serve({}, uploads=tmp_path / "hub") as hub:
        for command, expected in RUN.items():
            typed = command
            for name, value in meant.items():
                typed = re.sub(name, value, typed)
            done = in_bash(typed, checkout, HF_ENDPOINT=hub, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0")
            print(f"{command}\n{done.stdout}\n{done.stderr}")  # shown where one fails
            assert done.returncode == 0, command
            assert expected in done.stdout + done.stderr, command
    assert (checkout / "student/onnx/model_int8.onnx").is_file()  # cp -rL
    assert {"model.safetensors", "README.md"} <= {path.name for path in (tmp_path / "hub/owner/small").iterdir()}
    blocks = sorted({block for page in PAGES for block in python_blocks(page)})
    each_alone = f"for block in {blocks!r}: exec(block, {{}})"
    done = in_bash(f"python -c {shlex.quote(each_alone)}", checkout)
    assert done.returncode == 0, done.stderr[-2000:]


def blocks_of(page: Path) -> list[str]:
    """The code blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    return [
        re.sub(r"^    ", "", found, flags=re.MULTILINE) for found in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    ]


def python_blocks(page: Path) -> list[str]:
    return [block for block in blocks_of(page) if block.startswith("from ")]


def test_every_setting_that_a_page_names_exists() -> None:
    sections = {name.partition(".")[0] for name in SETTINGS}
    for page in PAGES:
        spans = re.findall(r"`(\w+\.\w+)[`:]", page.read_text(encoding="utf-8"))
        named = {name for name in spans if name.partition(".")[0] in sections}
        recipes = [block for block in blocks_of(page) if block.split(":")[0] in sections]
        recipes += re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for recipe in recipes:
            for name, value in yaml.safe_load(recipe).items():
                named |= {f"{name}.{field}" for field in value} if isinstance(value, dict) else {name}
        assert named <= SETTINGS, page


def test_every_file_that_a_page_names_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!http)([^)#]+)", text)
        paths = re.findall(
            r"`((?:recipes|pipeline|stages|data_augment|docs|tests|benchmarks|accelerate_configs)/[^` ]*)", text
        )
        for name in links + paths:
            pattern = re.sub(r"\{.*?\}|TASK|NAME", "*", name)
            assert any(PROJECT.glob(pattern.rstrip("/"))) or any(page.parent.glob(pattern)), (page, name)


def test_every_file_of_the_overview_exists() -> None:
    (overview,) = [block for block in blocks_of(PROJECT / "docs/architecture.md") if block.startswith("run_all.sh")]
    folder = ""
    for line in overview.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0]
        folder = folder if line.startswith(" ") else ""
        for name in names.split(", "):
            assert (PROJECT / folder / name).exists(), name
        folder = folder or names
