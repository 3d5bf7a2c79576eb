"""Launching: the command line of `accelerate launch`, and a launched command from its start to its end."""

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
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from pipeline import PROJECT
from pipeline.errors import FAILED, INTERRUPTED, OK, UserError
from pipeline.launch.launcher import (
    CPU_ENVIRONMENT,
    GRACE_SECONDS,
    LAUNCHED_BY,
    NO_REPORT,
    command_is_gone,
    launch_command,
    machines_of,
    run_launched,
    stop_signals,
)
from pipeline.launch.stage_logs import StageLogs
from pipeline.runtime.patience import MEETING_SECONDS
from tests.helpers.launched import alive, wait_for

STAGES = ["augment_data", "annotate_data"]
ARGUMENTS = ["--recipe", "mine.yaml", "--seed", "1"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without GPU and with four cores, whose user set nothing."""
    gpus(monkeypatch, 0)
    monkeypatch.setattr("pipeline.launch.launcher.cpu_cores", lambda: 4)
    for name in ("OMP_NUM_THREADS", *CPU_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("pipeline.launch.launcher.gpu_count", lambda: count)


def options(*launcher: str) -> tuple[list[str], dict[str, str]]:
    """What stands between the launcher's name and the stages', and the changes of the environment."""
    command, changes = launch_command(STAGES, ARGUMENTS, launcher)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert command[-8:] == ["-m", "stages", *STAGES, *ARGUMENTS]
    return command[3:-8], changes


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def config(name: str) -> str:
    return str(PROJECT / f"accelerate_configs/{name}.yaml")


def test_without_a_gpu_one_process_has_all_cores() -> None:
    words, changes = options()
    assert value(words, "--config_file") == config("cpu")
    assert value(words, "--num_cpu_threads_per_process") == "4"
    assert value(words, "--main_process_port") == "0"
    assert "--multi_gpu" not in words
    assert changes == {"ACCELERATE_USE_CPU": "true", **CPU_ENVIRONMENT}


@pytest.mark.parametrize("launcher", [["--num_processes", "2"], ["--num_processes=2"]])
def test_two_processes_on_cpus_are_several_and_share_the_cores(launcher: list[str]) -> None:
    words, changes = options(*launcher)
    assert words.count("--multi_gpu") == 1
    assert value(words, "--num_cpu_threads_per_process") == "2"
    assert changes["ACCELERATE_USE_CPU"] == "true"


@pytest.mark.parametrize("kind", ["NO", "MULTI_CPU", "MULTI_GPU"])
@pytest.mark.parametrize("launcher", [[], ["--cpu"], ["--num_processes", "4"]], ids=" ".join)
def test_accelerate_starts_as_many_processes_as_a_configuration_file_or_an_option_asks_for(
    tmp_path: Path, kind: str, launcher: list[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"distributed_type: '{kind}'\nuse_cpu: true\nnum_processes: 2\n")
    words, _ = options("--config_file", str(path), *launcher)
    asked = launch_command_parser().parse_args([*words, "-m", "stages"])
    understood, _, _ = _validate_launch_command(asked)
    assert (understood.multi_gpu, understood.cpu) == (True, False)  # else it starts one
    assert understood.num_processes == (4 if "--num_processes" in launcher else 2)


def test_a_single_process_may_ask_for_the_cpu() -> None:
    assert "--cpu" in options("--cpu")[0]


@pytest.mark.parametrize(("count", "machines"), [("3", "2"), ("1", "2"), ("4", "3")])
def test_processes_that_machines_do_not_share_equally_are_refused(count: str, machines: str) -> None:
    sentence = f"{machines} machines do not share {count} processes equally; take a multiple of {machines}"
    with pytest.raises(UserError, match=sentence):
        options("--num_processes", count, "--num_machines", machines, "--machine_rank", "0")


def test_machines_wait_as_long_for_each_other_as_their_processes_do() -> None:
    launcher = ["--num_processes", "2", "--num_machines", "2", "--machine_rank", "0"]
    assert value(options(*launcher)[0], "--rdzv_conf") == f"timeout={MEETING_SECONDS:.0f}"
    given = options(*launcher, "--rdzv_conf", "timeout=60")[0]
    assert given.count("--rdzv_conf") == 1 and value(given, "--rdzv_conf") == "timeout=60"
    assert "--rdzv_conf" not in options("--num_processes", "2")[0]


def test_machines_are_counted_in_the_configuration_file_and_in_options() -> None:
    assert machines_of([]) == 1
    assert machines_of(["--config_file", config("two_machines")]) == 2
    assert machines_of(["--config_file", config("two_machines"), "--num_machines=3"]) == 3


@pytest.mark.parametrize("option", ["--cpu", "use_cpu: true"])
def test_a_cpu_beside_gpus_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str) -> None:
    gpus(monkeypatch, 1)
    (tmp_path / "mine.yaml").write_text(option)
    launcher = [option] if option == "--cpu" else ["--config_file", str(tmp_path / "mine.yaml")]
    with pytest.raises(UserError, match="cpu is not supported beside GPUs: leave it out, and set CUDA_VISIBLE"):
        options(*launcher)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 1)
    with pytest.raises(UserError, match="2 processes on a machine, which has 1 GPU; take one for each"):
        options("--num_processes", "2")
    assert (
        value(options("--num_processes", "2", "--num_machines", "2", "--machine_rank", "0")[0], "--num_processes")
        == "2"
    )


def test_what_the_user_gives_is_passed_on_and_not_given_twice() -> None:
    words, _ = options("--num_processes", "2", "--multi_gpu", "--num_cpu_threads_per_process", "1")
    assert words.count("--multi_gpu") == words.count("--num_cpu_threads_per_process") == 1
    words, _ = options("--main_process_port", "29511")
    assert words.count("--main_process_port") == 1


@pytest.mark.parametrize(("count", "threads"), [(1, "4"), (2, "2")])
def test_the_processes_of_gpus_share_the_cores_too(monkeypatch: pytest.MonkeyPatch, count: int, threads: str) -> None:
    gpus(monkeypatch, count)
    words, changes = options()
    assert value(words, "--num_cpu_threads_per_process") == threads
    assert changes == {}


def test_a_configuration_file_of_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    two = config("two_machines")
    assert options("--config_file", two) == (
        ["--quiet", "--config_file", two, "--multi_gpu", "--rdzv_conf", "timeout=1800"],
        {},
    )


@pytest.mark.parametrize(
    ("launcher", "sentence"),
    [
        (["--use_deepspeed"], "use_deepspeed is not supported: every process holds the whole model"),
        (["--use-fsdp"], "use_fsdp is not supported"),
        (["--use_megatron_lm"], "use_megatron_lm is not supported"),
        (["--use_parallelism_config"], "use_parallelism_config is not supported"),
        (["--tpu"], "tpu is not supported"),
        (["--mixed_precision", "fp8"], "mixed_precision: fp8 is not supported: the recipe's `precision` decides"),
        (["--mixed_precision=fp8"], "mixed_precision: fp8 is not supported"),
        (["--max_restarts", "3"], "max_restarts is not supported: leave it out, and give the same command again"),
        (["--mpirun_hostfile", "hosts"], "mpirun_hostfile is not supported"),
        (["--config_file", "/no/where.yaml"], "--config_file: .*/no/where.yaml.* cannot be read: No such file"),
        (["--config_file"], "--config_file: '' cannot be read"),
    ],
)
def test_options_that_cannot_work_are_refused_before_the_launch(launcher: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        options(*launcher)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        *((f"distributed_type: {way}", f"distributed_type: {way} is not supported")
          for way in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA")),
        ("mixed_precision: fp8", "mixed_precision: fp8 is not supported"),
        ("parallelism_config: {parallelism_config_tp_size: 2}", "parallelism_config is not supported"),
        ("[", "is no configuration of Accelerate"),
        ("a word", "is no configuration of Accelerate"),
    ],
)  # fmt: skip
def test_configuration_files_that_cannot_work_are_refused_too(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        options("--config_file", str(tmp_path / "mine.yaml"))


def test_a_configuration_may_be_json_and_say_that_it_shares_no_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{\n\t"num_processes": 1,\n\t"use_deepspeed": false\n}')
    assert value(options("--config_file", str(path))[0], "--config_file") == str(path)


def test_precisions_that_change_nothing_are_let_through() -> None:
    assert value(options("--mixed_precision", "bf16")[0], "--mixed_precision") == "bf16"


def test_no_restarts_are_let_through() -> None:
    assert value(options("--max_restarts", "0")[0], "--max_restarts") == "0"


def test_the_cores_are_shared_by_the_processes_that_a_configuration_file_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "four.yaml"
    path.write_text("num_processes: 4\nnum_machines: 2\n")
    words, _ = options("--config_file", str(path))
    assert value(words, "--num_cpu_threads_per_process") == "2"  # two of the four run on each machine, on its 4 cores


def test_each_machine_s_processes_share_its_cores() -> None:
    words, _ = options("--num_processes", "4", "--num_machines", "4", "--machine_rank", "1")
    assert value(words, "--num_cpu_threads_per_process") == "4"


def test_several_machines_choose_their_own_port() -> None:
    words, _ = options("--machine_rank", "1")
    assert "--main_process_port" not in words


def test_threads_that_the_user_chose_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    words, changes = options()
    assert "--num_cpu_threads_per_process" not in words
    assert changes["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize(("count", "name"), [(1, "one_gpu"), (2, "multi_gpu")])
def test_gpus_are_all_taken(monkeypatch: pytest.MonkeyPatch, count: int, name: str) -> None:
    gpus(monkeypatch, count)
    words, changes = options()
    assert value(words, "--config_file") == config(name)
    assert words[words.index("--num_processes") :][1:2] == ["2"] if count > 1 else "--num_processes" not in words
    assert changes == {}


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
