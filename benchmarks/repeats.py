"""Whether a training ends with the same bytes again, and what a GPU's repeatable algorithms cost."""

import copy
from typing import Any

import torch

from benchmarks.both_ways import Case
from pipeline.training.checkpoints import own_tensors


def repeated(case: Case, steps: int) -> dict[str, dict[str, Any]]:
    """Three trainings from one start, by the algorithms that stages take, and by any that torch has.

    Of each way: whether the weights of the last two are equal, and the units a second of the last.
    """
    as_stages_are = torch.are_deterministic_algorithms_enabled()
    start, found = copy.deepcopy(case.job.model.state_dict()), {}
    try:
        for name, repeatable in {"as stages are": as_stages_are, "by any algorithm": False}.items():
            torch.use_deterministic_algorithms(repeatable)
            ends, rate = [], 0.0
            for _ in range(3):  # what is compiled or allocated at a first step belongs to the first alone
                case.job.model.load_state_dict(start)
                rate, _ = case.run_ours(steps)
                ends.append(own_tensors(case.job.model))
            same = all(torch.equal(tensor, ends[2][key]) for key, tensor in ends[1].items())
            found[name] = {"repeatable": repeatable, "same_bytes": same, "rate": rate, "unit": case.unit}
            print(f"{name}: {'the same bytes' if same else 'OTHER BYTES'} again, {rate:,.0f} {case.unit}")
    finally:
        torch.use_deterministic_algorithms(as_stages_are)
    return found
