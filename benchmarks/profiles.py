"""Where the time of a training step goes: operators on the host, and on a GPU also kernels and waits for it."""

import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from pipeline import PROJECT

SHOWN = 15
STEP = "Optimizer.step"  # of the profiler's name for an optimiser's step
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "aten::item", "aten::nonzero")
COPIES = ("Memcpy", "Memset")
Run = Callable[[int], Any]


def profiled(run: Run, steps: int, *, on_gpu: bool, name: str) -> dict[str, Any]:
    """Run some steps three times: by the clock alone, under the profiler, and looking for what waits for the GPU.

    Returns: figures a step, printed too. What a run does once, such as making an optimiser, is shared by its steps.
    """
    run(2)  # what is compiled or allocated at the first step
    began = perf_counter()
    run(steps)
    seconds = perf_counter() - began
    with torch.profiler.profile() as profiler:
        run(steps)
    events = profiler.key_averages()
    host = [event for event in events if event.device_type.name == "CPU"]
    device = [event for event in events if event.device_type.name != "CPU" and not event.is_user_annotation]
    done = sum(event.count for event in host if event.key.startswith(STEP)) or steps
    figures: dict[str, Any] = {
        "steps": done,
        "wall_ms": 1e3 * seconds / done,
        "operators_ms": sum(event.self_cpu_time_total for event in host) / 1e3 / done,
        "operators": _largest(host, "self_cpu_time_total"),
    }
    if on_gpu:
        figures |= {
            "gpu_busy_ms": sum(event.self_device_time_total for event in device) / 1e3 / done,
            "kernels": sum(event.count for event in device if not event.key.startswith(COPIES)) / done,
            "launches": sum(event.count for event in host if event.key.startswith(LAUNCHES)) / done,
            "copies_to_host": sum(event.count for event in device if "DtoH" in event.key) / done,
            "copies_to_gpu": sum(event.count for event in device if "HtoD" in event.key) / done,
            "waits": {event.key: event.count / done for event in host if event.key in WAITS},
            "waits_of": {place: count / done for place, count in waits_for_gpu(run, steps).most_common(SHOWN)},
            "gpu_operators": _largest(device, "self_device_time_total"),
        }
    _show(figures, name)
    return figures


def waits_for_gpu(run: Run, steps: int) -> Counter[str]:
    """How often each line of this project waits for the GPU; a backward pass has its own thread, and shows no line."""
    found: Counter[str] = Counter()

    def note(message: Warning | str, *_: Any) -> None:
        if "synchroniz" in str(message):
            found[_line_of_project()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def _line_of_project() -> str:
    """The innermost line of this project on the stack, and the library's below it where there is one."""
    stack = [frame for frame in traceback.extract_stack() if frame.filename not in (__file__, warnings.__file__)]
    ours = [frame for frame in stack if Path(frame.filename).is_relative_to(PROJECT)]
    found = [f"{Path(frame.filename).relative_to(PROJECT)}:{frame.lineno}" for frame in ours[-1:]]
    if stack and stack[-1] not in ours:
        found.append(f"{'/'.join(Path(stack[-1].filename).parts[-2:])}:{stack[-1].lineno}")
    return " > ".join(found) or "no line"


def _largest(events: list[Any], clock: str) -> list[dict[str, Any]]:
    """The events that take most of a clock's time, with their shares of it."""
    whole = sum(getattr(event, clock) for event in events) or 1
    largest = sorted(events, key=lambda event: -getattr(event, clock))[:SHOWN]
    return [{"name": e.key, "share": getattr(e, clock) / whole, "calls": e.count} for e in largest]


def _show(figures: dict[str, Any], name: str) -> None:
    print(f"{name}: {figures['wall_ms']:,.1f} ms a step, {figures['operators_ms']:,.1f} ms in operators of the host")
    if "gpu_busy_ms" in figures:
        print(
            f"  the GPU is busy for {figures['gpu_busy_ms']:,.1f} ms a step, with {figures['kernels']:,.0f} kernels;"
            f" copies to it {figures['copies_to_gpu']:,.1f}, from it {figures['copies_to_host']:,.1f}; waits: "
            + ", ".join(f"{key} {count:,.1f}" for key, count in figures["waits"].items())
        )
        for place, count in figures["waits_of"].items():
            print(f"  waits at {place:<80}{count:>8,.1f} a step")
    for kind in ("operators", "gpu_operators"):
        for row in figures.get(kind, []):
            print(f"  {row['name'][:90]:<92}{row['share']:>6.1%}{row['calls']:>8} calls")
