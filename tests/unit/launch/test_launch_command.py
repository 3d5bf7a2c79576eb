"""The command line of a launch."""

import sys
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from pipeline import PROJECT
from pipeline.errors import UserError
from pipeline.launch.launch_command import CPU_ENVIRONMENT, launch_command, machine_rank, machines_of
from pipeline.runtime.patience import MEETING_SECONDS

ARGUMENTS = ["--recipe", "mine.yaml", "--seed", "1"]

STAGES = ["augment_data", "annotate_data"]
ARGUMENTS = ["--recipe", "mine.yaml", "--seed", "1"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without GPU and with four cores, whose user set nothing."""
    gpus(monkeypatch, 0)
    monkeypatch.setattr("pipeline.launch.launch_command.cpu_cores", lambda: 4)
    for name in ("OMP_NUM_THREADS", *CPU_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("pipeline.launch.launch_command.gpu_count", lambda: count)


def options(*launcher: str) -> tuple[list[str], dict[str, str]]:
    """What stands between the launcher's name and the stages', and the changes of the environment."""
    command, changes = launch_command(STAGES, ARGUMENTS, launcher)
    assert command[:3] == [sys.executable, "-m", "pipeline.launch.accelerate_launch"]
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
    assert (machines_of([]), machine_rank([])) == (1, 0)
    assert machine_rank(["--config_file", config("two_machines"), "--machine_rank", "1"]) == 1
    assert machines_of(["--config_file", config("two_machines")]) == 2
    assert machines_of(["--config_file", config("two_machines"), "--num_machines=3"]) == 3


@pytest.mark.parametrize(("option", "name"), [("--cpu", "cpu"), ("use_cpu: true", "use_cpu")])
def test_a_cpu_beside_gpus_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str, name: str) -> None:
    gpus(monkeypatch, 1)
    (tmp_path / "mine.yaml").write_text(option)
    launcher = [option] if option == "--cpu" else ["--config_file", str(tmp_path / "mine.yaml")]
    with pytest.raises(UserError, match=f"the launcher's {name} is not supported beside GPUs: leave it out"):
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
        (["--num_processes", "x"], "--num_processes: 'x'; give a whole number of at least 1"),
        (["--num_processes", "-1"], "--num_processes: '-1'; give a whole number"),
        (["--num-machines", "0"], "--num_machines: '0'; give a whole number"),
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


@pytest.mark.parametrize("count", [1, 8])
def test_the_gpus_of_all_machines_are_taken(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    gpus(monkeypatch, count)
    words, _ = options("--num_machines", "2", "--machine_rank", "1")
    assert value(words, "--num_processes") == str(2 * count)
    assert "--multi_gpu" in words
