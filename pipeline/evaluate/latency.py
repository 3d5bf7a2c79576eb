"""Milliseconds of a forward pass: batch 1, 32 tokens."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

LATENCY_TOKENS = 32
PASSES = 10  # of a model in a turn of `latencies_in_turn`
FEWEST_TURNS, MOST_TURNS, TURNS_SECONDS = 5, 25, 10.0


def latencies_ms(
    models: Sequence[PreTrainedModel], *, rounds: int, inputs: Sequence[str] = ("input_ids", "attention_mask")
) -> list[float]:
    """Median milliseconds of one forward pass of each model, batch 1, 32 tokens, the models taking turns.

    Args: inputs: the names of what the models take; an ONNX file takes no less.
    """
    device = models[0].device
    pieces = min(model.config.vocab_size for model in models)
    ids = torch.randint(5, pieces, (1, LATENCY_TOKENS), generator=torch.Generator().manual_seed(0))
    known = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    given = {name: known[name].to(device) for name in inputs}
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for round_ in range(rounds + 3):  # the first few warm up
            for model, taken in zip(models, times, strict=True):
                start = time.perf_counter()
                model(**given)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_ >= 3:
                    taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def latencies_in_turn(
    teacher: PreTrainedModel, forms: Mapping[str, Any], inputs: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Milliseconds of a forward pass of the teacher and of each form, as `latencies_ms`, in the median of the turns.

    A machine's speed changes, so a latency compares only with one of the same seconds, and where others use the machine
    few turns are too few. A turn has several passes, since the threads of ONNX Runtime spin for a while after the last.

    Args: inputs: the names of what the forms take.
    """
    of_teacher: list[float] = []
    of_forms: dict[str, list[float]] = {name: [] for name in forms}
    began = time.perf_counter()
    for turn in range(MOST_TURNS):
        if turn >= FEWEST_TURNS and time.perf_counter() - began > TURNS_SECONDS:
            break
        of_teacher += latencies_ms([teacher], rounds=PASSES)
        for name, model in forms.items():
            of_forms[name] += latencies_ms([model], rounds=PASSES, inputs=inputs)
    return statistics.median(of_teacher), {name: statistics.median(found) for name, found in of_forms.items()}
