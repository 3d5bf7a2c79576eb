"""One stage at work, as its script and the library see it: its part of the plan, its folders, its processes."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from tqdm import tqdm

from pipeline.config import Recipe
from pipeline.errors import Interrupted
from pipeline.hardware import Precision
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.runtime.processes import wait_until_seen

if TYPE_CHECKING:
    from pipeline.plan.stage_specs import StageSpec


@dataclass
class StopRequest:
    """Whether a signal asked this process to stop. All stages of a process share one: none may miss it."""

    came: bool = False

    def __call__(self, *_: object) -> None:
        """As the handler of a signal: the work ends at its next safe point."""
        self.came = True


class Bar(tqdm):
    """A progress bar that says, beside the time left of its own work, that of the whole run.

    Args: after: the seconds that what follows this work is likely to take; 0: nothing is said.
    """

    def __init__(self, *, after: float, **settings: Any) -> None:
        self.after = after
        super().__init__(**settings)

    @property
    def format_dict(self) -> dict[str, Any]:
        found = dict(super().format_dict)
        done, elapsed = found["n"] - found["initial"], found["elapsed"]
        rate = found["rate"] or (done / elapsed if elapsed else 0)
        if self.after and rate:
            left = self.format_interval((found["total"] - found["n"]) / rate + self.after)
            found["postfix"] = ", ".join(filter(None, [found["postfix"], f"whole run {left} left"]))
        return found


@dataclass(kw_only=True)
class Stage:
    """One stage at work, as its script sees it."""

    recipe: Recipe
    spec: "StageSpec"
    inputs: RecipeInputs
    upstream: Mapping[str, Path]  # folders of the artifacts that this stage reads
    accelerator: Accelerator
    work: Path  # kept after a crash: checkpoints and finished shards
    output: Path  # becomes the artifact
    stop: StopRequest = field(default_factory=StopRequest)
    seconds_after: float = 0.0  # that the stages after it in this launch are likely to take

    @property
    def name(self) -> str:
        return self.spec.stage

    @property
    def precision(self) -> Precision:
        return self.spec.settings["precision"]

    @property
    def is_main(self) -> bool:
        return self.accelerator.is_main_process

    @property
    def on_gpu(self) -> bool:
        """Whether this process works ahead of its device, and waits where it reads what lies there."""
        return self.accelerator.device.type != "cpu"

    def autocast(self) -> torch.autocast:
        """bf16 autocast, or nothing, as the plan resolved the precision."""
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def say(self, text: str) -> None:
        """A line for the user, from the main process."""
        if self.is_main:
            print(f"[{self.name}] {text}", file=sys.stderr, flush=True)

    def bar(self, *, total: int, done: int = 0, unit: str) -> tqdm:
        """A progress bar of the main process, with rate and time left; a line a second, since a log keeps them too."""
        after = self.seconds_after
        return Bar(
            total=total, initial=done, unit=unit, desc=self.name, mininterval=1.0, disable=not self.is_main, after=after
        )

    def track(self, values: Mapping[str, float], step: int) -> None:
        """A point of the curves, for the tracker the recipe names."""
        if self.accelerator.trackers:
            self.accelerator.log({f"{self.name}/{name}": value for name, value in values.items()}, step=step)

    def sum_over_processes(self, tensor: Tensor) -> Tensor:
        """The sum of every process's tensor, on the CPU."""
        return torch.as_tensor(self.accelerator.reduce(tensor.to(self.accelerator.device), reduction="sum")).cpu()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the main process's numbers, in place."""
        if self.accelerator.num_processes > 1:
            for tensor in tensors:
                whole = broadcast(tensor.detach().to(self.accelerator.device), from_process=0)
                tensor.data.copy_(cast(Tensor, whole))

    def stop_if_asked_here(self, after: str) -> None:
        """Raises Interrupted where a signal reached this process, which no other may wait for; `after` is finished."""
        if self.stop.came:
            raise Interrupted(f"{self.name} stopped after {after}; the same command goes on")

    def stop_asked(self) -> bool:
        """Whether a signal reached any process. All processes get the same answer, so all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return self.stop.came
        return bool(self.sum_over_processes(torch.tensor([float(self.stop.came)])).item())

    def work_through(
        self, work: Callable[[int], object], *, results: Sequence[Path], sizes: Sequence[int], unit: str
    ) -> None:
        """Do this process's share of numbered units of work; returns when this one sees the results of all.

        Args:
            work: does the unit of a number, and keeps its result (`artifacts.shards.write_once`).
            results: the files or folders that all units leave.
            sizes, unit: of all units, and what they count, for the progress bar.

        Raises: Interrupted after a unit, where a signal reached this process.
        """
        with self.bar(total=sum(sizes), unit=unit) as bar:
            for number in self.own_share(len(sizes)):
                work(number)
                bar.update(sizes[number] * self.accelerator.num_processes)
                self.stop_if_asked_here(f"shard {number + 1} of {len(sizes)}")
        self.accelerator.wait_for_everyone()
        wait_until_seen(results)

    def own_share(self, count: int) -> range:
        """The numbers below `count` that are this process's share."""
        return range(self.accelerator.process_index, count, self.accelerator.num_processes)
