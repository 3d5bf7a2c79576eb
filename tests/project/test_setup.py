"""Set-up and the two commands that use it, on stand-ins for uv, pip and Python: nothing is installed."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["run_all.sh", "run_tests.sh", ".ci/run", "pipeline/environment/setup.sh", "pipeline/environment/lint.sh"]
TOOLS = ["bash", "cat", "cksum", "cp", "dirname", "env", "find", "flock", "grep", "mkdir", "mktemp", "rm", "sed"]
TOOLS += ["sleep", "tail"]

# Writes down how it is called. As Python it answers where its environment is, and makes environments.
STAND_IN = """#!/usr/bin/env bash
name=${0##*/}
case "$name $*" in
  *" -I -c "*) (cd "${0%/*}/.." && pwd) ; exit ;;
  *"config get"*) [ -n "${PIP_CONF:-}" ] && sed -n "s/^${*: -1} = //p" "$PIP_CONF" | sed 's/;/\\n/g' ; exit ;;
esac
echo "$name" "$@" >>"$CALLS"
folder=${@: -1}
case "$name $*" in
  *" venv "*) mkdir -p "$folder/bin" && cp "$STAND_IN" "$folder/bin/python" ;;
  *" install "*) sleep "${SLOW:-0}"; [ -z "${BROKEN:-}" ] || { echo 'ERROR: no such torch'; exit 1; } ;;
  *"-m pipeline"*) echo "ran in $PWD with $0: ${*:3}"; echo "code: $PYTHONPATH" ;;
  *" ${FAILING:-nothing fails}"*) exit 1 ;;
esac
"""


class Checkout:
    """A copy of the scripts in a folder with a space in its name, and a PATH of stand-ins and a few real tools."""

    def __init__(self, folder: Path):
        self.root, self.tools, self.calls_file = folder / "the project", folder / "tools", folder / "calls"
        self.seen = 0
        for name in [*SCRIPTS, "pyproject.toml", "pipeline/environment/constraints.txt"]:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))
        (self.root / "recipes").mkdir()
        (self.root / "recipes/a.yaml").touch()
        self.stand_in(self.tools / "python3")

    def stand_in(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_IN)
        path.chmod(0o755)
        return path

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        values = {"PATH": str(self.tools), "CALLS": str(self.calls_file), "STAND_IN": str(self.tools / "python3")}
        return subprocess.Popen(
            [str(self.root / command[0]), *command[1:]],
            cwd=self.root.parent,
            env=values | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start(*command, **environment) as process:
            out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self) -> list[str]:
        """What the stand-ins were asked since the last look."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.seen, unseen = len(lines), lines[self.seen :]
        return unseen


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if " install " in call or " venv " in call]


def test_the_first_run_makes_an_environment_and_installs_the_pinned_project(checkout: Checkout):
    done = checkout.run("run_all.sh", "recipes/a.yaml", "--seed", "3")
    assert done.returncode == 0, done.stderr
    venv = checkout.root / ".venv"
    assert checkout.calls() == [
        f"python3 -m venv {venv}",
        "python -m pip install --no-input -c pipeline/environment/constraints.txt -e .[train,export,wikipedia,"
        "chinese,languages]",
        "python -m pipeline recipes/a.yaml --seed 3",
    ]
    assert (
        done.stdout.splitlines()[0] == f"ran in {checkout.root.parent} with {venv}/bin/python: recipes/a.yaml --seed 3"
    )


def test_the_second_run_installs_nothing(checkout: Checkout):
    checkout.run("run_all.sh")
    checkout.calls()
    second = checkout.run("run_all.sh")
    assert checkout.calls() == ["python -m pipeline"]
    assert second.stderr == ""


def test_what_the_tests_need_is_all_that_a_run_needs(checkout: Checkout):
    checkout.run("run_tests.sh", "-k", "x")
    checkout.calls()
    checkout.run("run_all.sh")
    checkout.run("run_tests.sh", "-k", "x")
    assert checkout.calls() == ["python -m pipeline", "python -m pytest -n 3 --dist worksteal -k x"]


def test_another_checkout_with_the_same_pins_runs_its_own_code_in_the_same_environment(checkout: Checkout):
    checkout.run("run_all.sh")
    checkout.calls()
    clone = checkout.root.rename(checkout.root.with_name("a clone"))
    environment = shutil.copytree(clone / ".venv", checkout.root.parent / "environment")
    checkout.root = clone
    done = checkout.run("run_all.sh", VIRTUAL_ENV=str(environment))
    assert installs(checkout.calls()) == []
    assert done.stdout.splitlines()[-1] == f"code: {clone}"


def test_uv_is_used_where_there_is_one_and_looks_where_pip_looks(checkout: Checkout):
    uv = checkout.stand_in(checkout.tools / "uv")
    uv.write_text(STAND_IN.replace('"$@" >>', '"$@" "links=${UV_FIND_LINKS:-}" >>'))
    checkout.run("run_all.sh", PIP_FIND_LINKS="/wheels /more")
    venv = checkout.root / ".venv"
    assert installs(checkout.calls()) == [
        f"uv venv --seed --python >=3.11,<3.14 {venv} links=",
        f"uv pip install --python {venv}/bin/python -c pipeline/environment/constraints.txt -e .[train,export,"
        "wikipedia,chinese,languages] links=/wheels,/more",
    ]


def test_uv_looks_where_pip_s_configuration_says(checkout: Checkout):
    uv = checkout.stand_in(checkout.tools / "uv")
    seen = '"links=$UV_FIND_LINKS default=$UV_DEFAULT_INDEX more=$UV_INDEX"'
    uv.write_text(STAND_IN.replace('"$name" "$@" >>', f'"$name" {seen} >>'))
    configuration = checkout.root.parent / "pip.conf"
    lines = ["find-links = ;/wheels;/more", "index-url = http://one", "extra-index-url = http://two http://three"]
    configuration.write_text("".join(f"global.{line}\n" for line in lines))
    checkout.run("run_all.sh", PIP_CONF=str(configuration))
    calls = [call for call in checkout.calls() if call.startswith("uv ")]
    assert calls[-1] == "uv links=/wheels,/more default=http://one more=http://two http://three"


@pytest.mark.parametrize(("lacking", "says"), [
    ("ensurepip", "python3 cannot make environments; install what is missing (sudo apt install python3-venv), or uv"),
    ("version", "no Python 3.11 to 3.13 on PATH; install one, or uv, or name one with PYTHON=..."),
])  # fmt: skip
def test_a_machine_on_which_no_environment_can_be_made_says_what_to_install(
    checkout: Checkout, lacking: str, says: str
):
    python = checkout.tools / "python3"
    python.write_text(STAND_IN.replace("name=", f'[[ "$*" != *{lacking}* ]] || exit 1\nname=', 1))
    failed = checkout.run("run_all.sh")
    assert failed.returncode == 1
    assert f"set-up of {checkout.root}/.venv failed ({says}); " in failed.stderr


def test_a_python3_that_is_too_new_gives_way_to_an_older_one(checkout: Checkout):
    too_new = STAND_IN.replace("name=", '[[ "$*" != *version* ]] || exit 1\nname=', 1)
    (checkout.tools / "python3").write_text(too_new)
    checkout.stand_in(checkout.tools / "python3.12")
    checkout.run("run_all.sh")
    assert checkout.calls()[0].startswith("python3.12 -m venv ")


@pytest.mark.parametrize("chosen", ["named", "venv", "conda"])
def test_a_named_python_comes_before_an_active_environment_and_both_before_our_own(checkout: Checkout, chosen: str):
    order = {"named": "PYTHON", "venv": "VIRTUAL_ENV", "conda": "CONDA_PREFIX"}
    environment = {}
    for name in list(order)[list(order).index(chosen) :]:
        python = checkout.stand_in(checkout.root.parent / f"my {name}" / "bin" / "python")
        environment[order[name]] = str(python if name == "named" else python.parents[1])
    done = checkout.run("run_all.sh", **environment)
    assert f"with {checkout.root.parent}/my {chosen}/bin/python:" in done.stdout
    assert not (checkout.root / ".venv").exists()


def test_the_base_environment_of_conda_is_left_alone(checkout: Checkout) -> None:
    python = checkout.stand_in(checkout.root.parent / "conda" / "bin" / "python")
    done = checkout.run("run_all.sh", CONDA_PREFIX=str(python.parents[1]), CONDA_DEFAULT_ENV="base")
    assert f"with {checkout.root}/.venv/bin/python:" in done.stdout


def test_help_and_a_recipe_that_is_not_there_need_no_packages(checkout: Checkout) -> None:
    asked = checkout.run("run_all.sh", "recipes/a.yaml", "--help")
    assert asked.returncode == 0 and "./run_all.sh [RECIPE or TABLE] [options]" in asked.stdout
    wrong = checkout.run("run_all.sh", "recipes/b.yaml")
    assert (wrong.returncode, wrong.stderr) == (2, "run_all.sh: recipes/b.yaml: no such recipe or table\n")
    assert checkout.calls() == []


def test_a_link_to_the_command_runs_its_project(checkout: Checkout) -> None:
    (checkout.tools / "readlink").symlink_to(shutil.which("readlink") or pytest.skip("no readlink here"))
    link = checkout.root.parent / "distill"
    link.symlink_to(checkout.root / "run_all.sh")
    done = checkout.run("../distill")
    assert done.returncode == 0, done.stderr
    assert f"code: {checkout.root}" in done.stdout


def test_a_changed_pin_is_installed(checkout: Checkout):
    checkout.run("run_all.sh")
    checkout.calls()
    with (checkout.root / "pipeline/environment/constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    checkout.run("run_all.sh")
    assert len(installs(checkout.calls())) == 1


def test_a_set_up_that_was_killed_is_made_anew(checkout: Checkout):
    process = checkout.start("run_all.sh", SLOW="30")
    while not any("pip install" in call for call in checkout.calls()):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    half_copied = checkout.root / ".venv/half-copied"
    half_copied.touch()
    assert checkout.run("run_all.sh").returncode == 0
    assert not half_copied.exists()


def test_ctrl_c_during_a_set_up_is_an_interruption_and_the_same_command_tries_again(checkout: Checkout):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, the shell could not hear it
    process = checkout.start("run_all.sh", SLOW="30")
    while not any("pip install" in call for call in checkout.calls()):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75
    assert said.splitlines()[-1] == "run_all.sh: set-up was interrupted; the same command tries again"
    assert checkout.run("run_all.sh").returncode == 0


def test_of_two_set_ups_at_once_one_waits_for_the_other(checkout: Checkout):
    both = [checkout.start("run_all.sh", SLOW="0.5") for _ in range(2)]
    assert [process.communicate(timeout=30) and process.returncode for process in both] == [0, 0]
    calls = checkout.calls()
    assert len(installs(calls)) == 2  # one venv, one pip install
    assert calls[-2:] == ["python -m pipeline"] * 2


def test_a_set_up_that_fails_says_why_in_one_sentence_and_is_tried_again(checkout: Checkout):
    failed = checkout.run("run_all.sh", BROKEN="yes")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == (
        f"run_all.sh: set-up of {checkout.root}/.venv failed (no such torch); "
        f"{checkout.root}/.setup.log has the rest, and the same command tries again"
    )
    assert checkout.run("run_all.sh").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHON", "/nowhere/bin/python"), ("VIRTUAL_ENV", "/nowhere"), ("CONDA_PREFIX", "/nowhere")],
)
def test_a_python_that_does_not_work_is_named_and_what_chose_it(checkout: Checkout, name: str, value: str):
    failed = checkout.run("run_all.sh", **{name: value})
    assert failed.returncode == 1
    assert failed.stderr == (
        f"run_all.sh: /nowhere/bin/python ({name}) is not a working Python 3.11 to 3.13;"
        f" activate or name another, or unset PYTHON, VIRTUAL_ENV and CONDA_PREFIX to get .venv\n"
    )


def test_without_arguments_every_check_runs_even_after_one_failed(checkout: Checkout):
    done = checkout.run("run_tests.sh", FAILING="-m ruff check")
    calls = [call for call in checkout.calls() if call not in installs([call])]
    assert {" ".join(call.split()[1:4]) for call in calls} == {
        "-m ruff check",
        "-m ruff format",
        "-m pyright --pythonpath",
        "-c from importlinter.cli",
        "-m pytest -n",
    }
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "lint.sh: failed: ruff"
    assert done.stderr.splitlines()[-1] == "run_tests.sh: failed: linters"


def test_a_python_named_from_here_is_used_from_everywhere(checkout: Checkout) -> None:
    checkout.stand_in(checkout.root.parent / "own" / "bin" / "python")
    done = checkout.run("run_all.sh", "--list", PYTHON="own/bin/python")
    assert done.returncode == 0, done.stderr
    assert str(checkout.root.parent / "own/bin/python") in done.stdout
