"""A launch: its processes, output, signals and end."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import FAILED, INTERRUPTED, OK
from pipeline.launch.launcher import GRACE_SECONDS, LAUNCHED_BY, NO_REPORT, command_is_gone, run_launched, stop_signals
from pipeline.launch.stage_logs import StageLogs
from tests.helpers.launched import alive, wait_for


def launched(code: str, log: Path, *arguments: str, **changes: str) -> tuple[int, str]:
    logs = StageLogs(log.parent, [log.stem])
    return run_launched([sys.executable, "-c", textwrap.dedent(code), *arguments], changes, logs)


def test_output_is_shown_and_logged_attempt_after_attempt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import os, sys; print('one', flush=True); print(os.environ['WORD'], file=sys.stderr)"
    log = tmp_path / "runs/mine/logs/stage.log"
    assert launched(code, log, WORD="two") == (OK, "")
    assert launched(code, log, WORD="three") == (OK, "")
    assert log.read_text() == "one\ntwo\none\nthree\n"
    assert capfd.readouterr() == ("", log.read_text())


def test_a_launched_stage_finds_the_project_wherever_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert launched("import pipeline.errors", tmp_path / "stage.log") == (OK, "")


def test_which_process_of_a_cluster_s_job_this_is_stays_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "MV2_X"):
        monkeypatch.setenv(name, "of a job")
    monkeypatch.setenv("RANKED", "kept")
    code = "import os; print(*(name for name, value in os.environ.items() if value in ('of a job', 'kept')))"
    assert launched(code, tmp_path / "stage.log") == (OK, "")
    assert (tmp_path / "stage.log").read_text().split() == ["RANKED"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux binds processes to cores")
def test_what_a_launcher_with_torch_starts_may_use_every_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("OMP_PLACES", "cores")
    started = "import os; print(len(os.sched_getaffinity(0)))"
    code = f"import subprocess, sys, torch; subprocess.run([sys.executable, '-c', {started!r}])"
    assert launched(code, tmp_path / "stage.log") == (OK, "")
    assert int((tmp_path / "stage.log").read_text()) == len(os.sched_getaffinity(0))


def test_after_a_signal_the_launcher_waits_as_long_as_the_command(tmp_path: Path) -> None:
    code = "import os; print(os.environ['TORCH_ELASTIC_SHUTDOWN_TIMEOUT'])"
    assert launched(code, tmp_path / "stage.log") == (OK, "")
    assert 60 < int((tmp_path / "stage.log").read_text()) < GRACE_SECONDS


@pytest.mark.parametrize("status", [1, 3, 75])
def test_an_end_without_a_word_is_a_failure(tmp_path: Path, status: int) -> None:
    assert launched(f"raise SystemExit({status})", tmp_path / "stage.log") == (FAILED, NO_REPORT)


def test_an_end_without_a_word_on_one_of_several_machines_may_be_another_one_s(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    _, sentence = run_launched(command, {}, StageLogs(tmp_path, ["stage"]), 2)
    assert sentence.endswith("options are wrong, or not all machines were started")


def test_a_launcher_that_ends_well_is_believed_whatever_was_reported_before(tmp_path: Path) -> None:
    code = """
        import os, pathlib
        pathlib.Path(os.environ["DISTILL_STATUS_FILE"]).write_text('{"status": 1, "message": "process 1 is gone"}')
    """
    assert launched(code, tmp_path / "stage.log") == (OK, "")


@pytest.mark.parametrize("said", [{"status": 2, "message": "error: no"}, {"status": 75, "message": "saved"}])
def test_the_status_is_what_the_stage_wrote_not_what_the_launcher_made_of_it(tmp_path: Path, said: dict) -> None:
    code = f"""
        import os, pathlib
        pathlib.Path(os.environ["DISTILL_STATUS_FILE"]).write_text('''{json.dumps(said)}''')
        raise SystemExit(1)
    """
    assert launched(code, tmp_path / "stage.log") == (said["status"], said["message"])


@pytest.fixture
def deaf() -> Iterator[None]:
    """This process survives a signal that comes before or after the launch."""
    before = {number: signal.signal(number, lambda *_: None) for number in stop_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# A launcher with a stage below it; once both listen it asks its parent, as a user would, to stop. Neither lives long.
FAMILY = """
    import os, signal, subprocess, sys, time

    parent = os.getppid()

    def stopped(number, _):
        os.write(2, f"{sys.argv[1]} {signal.Signals(number).name}\\n".encode())  # whole, beside the other's line
        if sys.argv[1] == "launcher":
            stage.wait()
        os._exit(1)

    signal.signal(signal.SIGTERM, stopped)
    if sys.argv[1] == "launcher":
        stage = subprocess.Popen([sys.executable, "-c", sys.argv[2], "stage"], stdout=subprocess.PIPE, text=True)
        stage.stdout.readline()
    print("ready", flush=True)
    for _ in range(20):
        if sys.argv[1] == "launcher" and os.getppid() == parent:
            os.kill(parent, int(sys.argv[3]))
        time.sleep(0.5)
"""


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_whole_group_and_the_run_is_interrupted(tmp_path: Path, number: int) -> None:
    handler = signal.getsignal(number)
    status = launched(FAMILY, tmp_path / "stage.log", "launcher", textwrap.dedent(FAMILY), str(int(number)))
    assert status == (INTERRUPTED, "")
    assert set((tmp_path / "stage.log").read_text().splitlines()) == {"ready", "launcher SIGTERM", "stage SIGTERM"}
    assert signal.getsignal(number) is handler


def test_a_closed_terminal_is_no_reason_to_stop_under_nohup(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        code = "import os, signal, time; os.kill(os.getppid(), signal.SIGHUP); time.sleep(0.5); print('worked on')"
        assert launched(code, tmp_path / "stage.log") == (OK, "")
        assert (tmp_path / "stage.log").read_text() == "worked on\n"
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("deaf")
def test_who_does_not_stop_within_the_grace_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.launch.launcher.GRACE_SECONDS", 0.1)
    code = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        parent = os.getppid()
        for _ in range(50):
            if os.getppid() == parent:
                os.kill(parent, signal.SIGTERM)
            time.sleep(0.2)
        print("lived on")
    """
    assert launched(code, tmp_path / "stage.log") == (INTERRUPTED, "")
    assert (tmp_path / "stage.log").read_text() == ""


# A command that launches a launcher, and that one a stage, which takes a while to import its modules.
COMMAND = """
    import sys
    from pathlib import Path

    from pipeline.launch.launcher import run_launched
    from pipeline.launch.stage_logs import StageLogs

    folder = Path(sys.argv[1])
    run_launched([sys.executable, "-c", *sys.argv[2:], str(folder)], {}, StageLogs(folder, ["stage"]))
"""
LAUNCHER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
STAGE = """
    import os, sys, time
    from pathlib import Path

    from pipeline.launch.launcher import command_is_gone, follow_parent

    folder = Path(sys.argv[1])
    (folder / "numbers").write_text(f"{os.getppid()} {os.getpid()}")
    while not (folder / "imported").exists():
        time.sleep(0.05)
    follow_parent()
    (folder / "found").write_text("gone" if command_is_gone() else "there")
"""


ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux sends a signal when a parent is gone")


@ONLY_LINUX
@pytest.mark.parametrize(("killed", "found"), [(None, "there"), ("command", "gone"), ("launcher", "gone")])
def test_a_stage_knows_that_its_command_or_launcher_was_killed_while_it_imported(
    tmp_path: Path, killed: str | None, found: str
) -> None:
    words = [textwrap.dedent(code) for code in (COMMAND, LAUNCHER, STAGE)]
    command = subprocess.Popen([sys.executable, "-c", words[0], str(tmp_path), *words[1:]])
    numbers = tmp_path / "numbers"
    wait_for(lambda: numbers.exists() and " " in numbers.read_text(), command)
    launcher, stage = map(int, numbers.read_text().split())
    if killed:
        os.kill({"command": command.pid, "launcher": launcher}[killed], signal.SIGKILL)
        until_gone([launcher])
    (tmp_path / "imported").touch()
    until_gone([stage])
    command.wait(timeout=60)
    assert (tmp_path / "found").read_text() == found


def until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 60
    while alive(pids):
        assert time.monotonic() < end
        time.sleep(0.05)


@ONLY_LINUX
@pytest.mark.parametrize(
    ("launched_by", "gone"),
    [
        (None, False),  # by hand
        ("{here} {parent}", False),
        ("{here} 4194305", True),  # no process has such a number
        ("another machine pid:[4026531836] 4194305", False),
    ],
)
def test_the_number_of_a_command_counts_where_it_was_given(
    monkeypatch: pytest.MonkeyPatch, launched_by: str | None, gone: bool
) -> None:
    monkeypatch.delenv(LAUNCHED_BY, raising=False)
    if launched_by:
        here = f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
        monkeypatch.setenv(LAUNCHED_BY, launched_by.format(here=here, parent=os.getppid()))
    assert command_is_gone() is gone
