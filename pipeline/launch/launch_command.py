"""The `accelerate launch` command line: what the user's options and this machine make of it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline import PROJECT
from pipeline.errors import UserError, require
from pipeline.hardware import cpu_cores, gpu_count
from pipeline.runtime.patience import MEETING_SECONDS

CPU_ENVIRONMENT = {
    "GOMP_SPINCOUNT": "2000",  # threads wait for the next operation for microseconds: more starves a busy machine
    "MALLOC_MMAP_THRESHOLD_": "1073741824",  # glibc keeps large blocks; asking the system anew costs every page a fault
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192",  # shapes vary with the lengths, and each is compiled
}
# Of Accelerate, for models or machines of another kind.
OTHER_OPTIONS = ("use_deepspeed", "use_fsdp", "use_megatron_lm", "use_parallelism_config", "tpu")
OTHER_TYPES = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA")  # its distributed_type in a configuration file


def launch_command(
    stages: Sequence[str], arguments: Sequence[str], launcher: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The command that runs stages in turn, and what it changes in the environment.

    Args:
        arguments: of the stages: --recipe R and overrides.
        launcher: the user's options of `accelerate launch`; empty: one process on a CPU, or all GPUs.

    Raises: UserError for an OMP_NUM_THREADS that is no number, for more processes than GPUs or that machines do not
    share equally, and for options or a configuration file that cannot work here.

    A configuration file is always named, else the one in the user's home would be taken. Several processes need
    `--multi_gpu` on CPUs too, with ACCELERATE_USE_CPU=true: beside `--cpu`, NO or MULTI_CPU Accelerate starts one.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not threads.isdecimal() or int(threads) < 1:
        raise UserError(f"OMP_NUM_THREADS is {threads!r}: set it to a number of threads, or unset it")
    values, options = _option_values(launcher), list(launcher)
    changes: dict[str, str] = {}
    gpus = gpu_count()
    if "--config_file" not in values:
        options = [*_device_options(values, gpus, machines_of(launcher)), *options]
    settings = {"num_processes": max(1, gpus)} | _settings(options)
    _refuse_what_cannot_work(settings, gpus)
    processes, machines = (_count(settings, name) for name in ("num_processes", "num_machines"))
    require(
        processes % machines == 0,
        f"num_processes: {machines} machines do not share {processes} processes equally; take a multiple of {machines}",
    )
    here = processes // machines
    if 0 < gpus < here and "--config_file" not in values:
        raise UserError(
            f"--num_processes: {here} processes on a machine, which has {gpus} GPU{'s' * (gpus > 1)}; take one for each"
        )
    if processes > 1:
        options = [option for option in options if option not in ("--cpu", "--multi_gpu")] + ["--multi_gpu"]
    if machines > 1 and "--rdzv_conf" not in values:
        options += ["--rdzv_conf", f"timeout={MEETING_SECONDS:.0f}"]
    decided = "--num_cpu_threads_per_process" in values or (gpus and "--config_file" in values)
    if "OMP_NUM_THREADS" not in os.environ and not decided:  # else it takes one, beside GPUs too
        options += ["--num_cpu_threads_per_process", str(max(1, cpu_cores() * machines // processes))]
    if not gpus:
        changes["ACCELERATE_USE_CPU"] = "true"
        changes |= {name: os.environ.get(name, value) for name, value in CPU_ENVIRONMENT.items()}
    accelerate = [sys.executable, "-m", "pipeline.launch.accelerate_launch", "--quiet"]
    return [*accelerate, *options, "-m", "stages", *stages, *arguments], changes


def _device_options(values: Mapping[str, str], gpus: int, machines: int) -> list[str]:
    """The configuration file for this machine, and what it leaves open.

    Args: values: of the user's options. gpus: of each machine.
    """
    kind = ("cpu", "one_gpu", "multi_gpu")[min(gpus, 2)]
    options = ["--config_file", str(PROJECT / "accelerate_configs" / f"{kind}.yaml")]
    if gpus * machines > 1 and "--num_processes" not in values:
        options += ["--num_processes", str(gpus * machines)]
    if not values.keys() & {"--main_process_port", "--machine_rank", "--num_machines"}:
        options += ["--main_process_port", "0"]  # a free one: two runs on one machine do not meet
    return options


def machines_of(launcher: Sequence[str]) -> int:
    """How many machines the user's options of `accelerate launch` ask for. Raises UserError as `launch_command`."""
    return _count(_settings(launcher), "num_machines")


def machine_rank(launcher: Sequence[str]) -> int:
    """Which of the machines this one is, from 0. Raises UserError as `launch_command`."""
    return _count(_settings(launcher), "machine_rank", least=0)


def _settings(options: Sequence[str]) -> dict[str, Any]:
    """What the configuration file and the options say, by name."""
    values = _option_values(options)
    found = _config_file(values["--config_file"]) if "--config_file" in values else {}
    return found | {name.lstrip("-"): value for name, value in values.items()}


def _count(settings: Mapping[str, Any], name: str, *, least: int = 1) -> int:
    """A number of processes or machines; the least for what will be refused."""
    count = str(settings.get(name, least))
    return max(least, int(count)) if count.isdecimal() else least


def _config_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = (json.loads if path.endswith(".json") else yaml.safe_load)(text) or {}
    except OSError as error:
        raise UserError(f"--config_file: {path!r} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"--config_file: {path} is no configuration of Accelerate: give a YAML or JSON file of it")
    return found


def _refuse_what_cannot_work(settings: Mapping[str, Any], gpus: int) -> None:
    """Raises UserError.

    Args:
        settings: of the configuration file and the options, by name.
        gpus: of this machine.
    """
    for name in ("num_processes", "num_machines"):
        count = str(settings.get(name, 1))
        require(count.isdecimal() and int(count) > 0, f"--{name}: {count!r}; give a whole number of at least 1")
    ways = [name for name in OTHER_OPTIONS if settings.get(name, False) is not False]
    if settings.get("distributed_type") in OTHER_TYPES:
        ways.append(f"distributed_type: {settings['distributed_type']}")
    ways += [name for name in ("parallelism_config", "mpirun_config", "mpirun_hostfile") if settings.get(name)]
    if ways:
        raise UserError(
            f"the launcher's {ways[0]} is not supported: every process holds the whole model, on a CPU or on an NVIDIA"
            " GPU; leave it out"
        )
    require(
        settings.get("mixed_precision") != "fp8",
        "the launcher's mixed_precision: fp8 is not supported: the recipe's `precision` decides; leave it out",
    )
    by_option, by_file = "cpu" in settings, settings.get("use_cpu")
    require(
        not gpus or not (by_option or by_file),
        f"the launcher's {'cpu' if by_option else 'use_cpu'} is not supported beside GPUs: leave it out, and set"
        " CUDA_VISIBLE_DEVICES= to use the CPU",
    )
    require(
        str(settings.get("max_restarts", 0)) == "0",
        "the launcher's max_restarts is not supported: leave it out, and give the same command again, which goes on",
    )


def _option_values(arguments: Sequence[str]) -> dict[str, str]:
    """Options by name, written with '_', with their value or ''."""
    values: dict[str, str] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name, _, value = argument.partition("=")
            name = "--" + name.removeprefix("--").replace("-", "_")
            values[name] = value
        elif name:
            values[name] = argument
    return values
