"""What a token costs on this machine: a forward pass and a training step of each stage, best of several.

python -m pipeline.distill.token_costs --recipe R [--section.field value ...]     what --dry-run asks; prints JSON

The models have their own shapes and run in the precision that will run, on sequences as long as the recipe's.
"""

import argparse
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import cache_folder
from pipeline.distill.meter import Meter
from pipeline.hardware import cpu_name, gpu_capabilities, gpu_count, resolve_precision
from pipeline.models.loading import load_tokenizer
from pipeline.models.saved_model import model_shape
from pipeline.plan.estimate import (
    CHARACTERS_A_TOKEN,
    TRAINED,
    Costs,
    Counts,
    Estimate,
    corpus_tokens,
    estimates,
    reused_rows,
)
from pipeline.plan.plan import Plan, make_plan
from pipeline.runtime.processes import quiet_libraries
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets

SAMPLE = 500  # rows of each split that are tokenised
BUSY_CORES = 0.5  # of all: with more of them at work for others the costs are doubtful


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.distill.token_costs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", type=Path, required=True)
    given, overrides = parser.parse_known_args()
    plan = make_plan(given.recipe, overrides, checked=False)
    found = estimated(plan, processes=max(1, gpu_count()), again=True)
    print(json.dumps({"stages": found, "busy": busy()}))


def expected_seconds(plan: Plan) -> dict[str, float]:
    """The seconds of every unfinished stage, on the processes of this launch."""
    found = estimated(plan, processes=PartialState().num_processes)
    return {stage: estimate.seconds for stage, estimate in found.items()}


def estimated(plan: Plan, *, processes: int, again: bool = False) -> dict[str, Estimate]:
    """Seconds and bytes of every unfinished stage.

    Args:
        processes: those that share the work.
        again: measure also what was measured on this machine before; the best counts.
    """
    quiet_libraries()
    counts = count(plan)
    book = CostBook(cache_folder(Path(plan.recipe.run.artifacts)) / "token_costs.json", plan, counts, again=again)
    meter = Meter(plan, counts)
    stages = {stage: getattr(plan.recipe, stage) for stage in TRAINED if stage in plan.why}
    costs = Costs(
        teacher=book.cost("teacher", meter.teacher) / processes,
        student=book.cost("student", meter.student) / processes,
        steps={
            stage: book.cost(stage, partial(meter.step, stage, settings)) / processes
            for stage, settings in stages.items()
            if settings.epochs
        },
    )
    book.save()
    return estimates(plan, counts, costs)


def busy() -> str:
    """What makes costs that were measured just now doubtful: other work on this machine; '' where there is little."""
    load, cores = os.getloadavg()[0] - 1, os.cpu_count() or 1  # less this process; of the whole machine, both
    return f"load {load:.1f} on {cores} cores" if load > BUSY_CORES * cores else ""


def count(plan: Plan) -> Counts:
    """The tokens of a run's texts, counted on some of them."""
    task, tokens, rows = plan.recipe.task, {}, {}
    length = plan.recipe.prepare_corpus.length
    if not plan.recipe.has_task:
        return Counts(
            rows={},
            tokens={},
            lengths=np.array([length]),
            corpus=corpus_tokens(plan, 0.0),
            corpus_length=length,
            labels=0,
        )
    data, lengths = read_task(task, plan.inputs.task), np.empty(0, dtype=np.int64)
    tokenizer = None
    if plan.recipe.pretrain_teacher.tokenizer == "backbone":
        tokenizer = load_tokenizer(plan.inputs.backbone)
    for split, dataset in as_datasets(data).items():
        number = len(dataset)
        chosen = np.unique(np.linspace(0, number - 1, min(number, SAMPLE)).astype(int))
        columns = data.text_columns
        if tokenizer is None:
            found = _guessed_lengths([data.splits[str(split)][int(row)].texts for row in chosen], task.max_length)
        else:
            found = TokenisedTexts(
                dataset.select(chosen), tokenizer, text_columns=columns, max_length=task.max_length, task=task
            ).lengths
        rows[split], tokens[split] = number, float(found.sum()) * number / max(1, len(chosen))
        lengths = found if split == "train" else lengths
    return Counts(
        rows=rows,
        tokens=tokens,
        lengths=lengths,
        corpus=corpus_tokens(plan, tokens["train"]),
        corpus_length=length,
        labels=len(data.label_names),
        reused=reused_rows(plan),
    )


def _guessed_lengths(texts: Sequence[Sequence[str]], max_length: int) -> np.ndarray:
    """Tokens of rows before the tokenizer is made: about four bytes each, in Latin letters and in Chinese."""
    sizes = np.array([sum(len(text.encode()) for text in row) for row in texts])
    return np.minimum(max_length, 2 + np.ceil(sizes / CHARACTERS_A_TOKEN)).astype(np.int64)


class CostBook:
    """The best costs measured so far, by what was measured on which hardware; in a file of the cache.

    Args: again: measure also what stands in it.
    """

    def __init__(self, path: Path, plan: Plan, counts: Counts, *, again: bool) -> None:
        self.path, self.plan, self.again = path, plan, again
        self.hardware = [cpu_name(), torch.get_num_threads(), gpu_capabilities(), torch.__version__]
        self.lengths = [round(float(counts.lengths.mean())), counts.corpus_length]
        self.known: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_text(encoding="utf-8"))
            self.known = found if isinstance(found, dict) else {}

    def cost(self, what: str, measure: Callable[[], float]) -> float:
        """Seconds a token: the best known. Args: what: a stage, 'teacher' or 'student'."""
        key = self._key(what)
        if self.again or key not in self.known:
            self.known[key] = min(measure(), self.known.get(key, float("inf")))
        return self.known[key]

    def save(self) -> None:
        with contextlib.suppress(OSError):  # a full disk
            write_atomically(self.path, json.dumps(self.known, indent=1))

    def _key(self, what: str) -> str:
        spec = self.plan.stages.get(what)
        settings = {} if spec is None else {name: spec.settings[name] for name in spec.settings if name != "epochs"}
        models = [repr(model_shape(self.plan.inputs.backbone, "backbone")), repr(self.plan.recipe.student)]
        precision = resolve_precision(self.plan.recipe.precision)
        measured = [what, spec and spec.version, settings, models, precision, self.lengths, self.hardware]
        return hashlib.sha256(json.dumps(measured, default=str).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
