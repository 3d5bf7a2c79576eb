"""How near a student starts to its teacher, by how it starts, and what the fit costs.

    python -m benchmarks.fit [--models recipe|bert-base] [--json FILE] [--SECTION.SETTING VALUE ...]

recipe: the default's backbone and student, on as many blocks of its corpus as a stage would take; bert-base: BERT-base
with random weights to TinyBERT4, for time and memory alone. Losses are those of general distillation (TinyBERT eq. 7 to
9) on 60 other blocks. Every start gets projections by least squares, so that the students alone differ. Each is
measured in a process of its own, and its peak memory is that of the process while the student starts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import BertConfig, BertModel, PreTrainedModel

from benchmarks.cases import TINYBERT4, load_encoder, make_stage
from benchmarks.peak_memory import forget_peak, peak
from pipeline import PROJECT
from pipeline.config.objectives import layer_map
from pipeline.config.student import Student
from pipeline.data.corpus import blocks_of
from pipeline.data.documents import read_documents
from pipeline.losses.tinybert import attention_loss, hidden_loss
from pipeline.models.attention import ATTENTION
from pipeline.models.fit_sample import FitSample, rows_within_memory
from pipeline.models.fitted_start import FittedStart
from pipeline.models.least_squares import ridge
from pipeline.models.loading import load_tokenizer
from pipeline.models.new_student import new_student
from pipeline.models.student_init import init_student
from pipeline.models.trace import Wanted, trace
from pipeline.plan.plan import make_plan

RECIPE = "recipes/rotten_tomatoes.yaml"
STARTS = ("random", "embeddings", "layers", "fitted")
HELD_OUT = 60  # blocks


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", choices=["recipe", "bert-base"], default="recipe")
    parser.add_argument("--start", choices=STARTS, help="this one alone, in this process")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    if given.start:
        figures = {given.start: of_start(given.start, given.models, overrides)}
    else:
        starts = ("fitted",) if given.models == "bert-base" else STARTS
        figures = {start: in_a_process(start, given.models, overrides) for start in starts}
        show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def in_a_process(start: str, models: str, overrides: list[str]) -> dict[str, float]:
    """The figures of a start, measured in a process of its own: the memory of another one is not in its peak."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        words = ["--models", models, "--start", start, "--json", str(path), *overrides]
        subprocess.run([sys.executable, "-m", "benchmarks.fit", *words], cwd=PROJECT, check=True)
        return json.loads(path.read_text(encoding="utf-8"))[start]


def of_start(start: str, models: str, overrides: list[str]) -> dict[str, float]:
    """The figures of a start, measured in this process."""
    plan = make_plan(Path(RECIPE), overrides)
    with tempfile.TemporaryDirectory() as folder:
        stage = make_stage(plan, "distill_layers", Path(folder))
        tokenizer = load_tokenizer(stage.inputs.backbone)
        documents = read_documents(stage.inputs.corpus[0], column="text")
        blocks = list(blocks_of(documents, tokenizer, length=stage.recipe.prepare_corpus.length))
        if models == "bert-base":
            config = BertConfig()
            config._attn_implementation = ATTENTION
            return measure(start, TINYBERT4, cast(Any, BertModel(config, add_pooling_layer=False)).eval(), blocks)
        return measure(start, stage.recipe.student, load_encoder(stage.inputs.backbone).eval(), blocks)


@torch.no_grad()
def measure(start: str, sizes: Student, teacher: PreTrainedModel, blocks: list[np.ndarray]) -> dict[str, float]:
    """Losses by layer, and seconds and peak memory in bytes of the start itself."""
    torch.manual_seed(0)
    settings = replace(sizes, start=start, start_from="backbone")
    student = new_student(settings, teacher).eval()
    N, M = teacher.config.num_hidden_layers, settings.layers
    layers = layer_map(settings.start_layers, teacher_layers=N, student_layers=M)
    lengths = np.array([len(block) for block in blocks[:-HELD_OUT]])
    chosen = rows_within_memory(lengths, width=teacher.config.hidden_size, layers=M)
    fitting, held_out = sample([blocks[row] for row in chosen]), sample(blocks[-HELD_OUT:])
    forget_peak()
    began = time.perf_counter()
    if start == "fitted":
        FittedStart(student, teacher, fitting, layers).run()
    else:
        init_student(student, settings, teacher=teacher, existing=None)
    seconds = time.perf_counter() - began
    peak_memory = peak()
    wanted = [Wanted(tuple(each), attention=True) for each in (layers, layers.values())]
    pairs = [
        [(trace(student, batch, wanted[0]), trace(teacher, batch, wanted[1])) for batch in each.batches]
        for each in (fitting, held_out)
    ]
    found: dict[str, float] = {}
    for own, source in layers.items():
        seen, new = (
            [
                torch.cat([states.hidden_states[layer].flatten(0, 1) for states in side])
                for side, layer in zip(zip(*part, strict=True), (own, source), strict=True)
            ]
            for part in pairs
        )
        projected = ridge(seen[0], seen[1], bias=False)(new[0])
        found["embedding" if own == 0 else f"hidden_{own}"] = float(
            hidden_loss(projected[None], new[1][None], torch.ones(1, len(projected), dtype=torch.bool))
        )
        if own and settings.heads == teacher.config.num_attention_heads:
            gaps = [
                attention_loss(ours.attention[own][0], theirs.attention[source][0], ours.real)
                for ours, theirs in pairs[1]
            ]
            found[f"attention_{own}"] = float(torch.stack(gaps).mean())
    return found | {"seconds": seconds, "tokens": float(fitting.tokens), "peak_memory": float(peak_memory)}


def sample(blocks: list[np.ndarray]) -> FitSample:
    """All of some blocks."""
    lengths = np.array([len(block) for block in blocks])
    return FitSample(
        lambda rows: {"input_ids": [blocks[int(row)] for row in rows]}, np.arange(len(blocks)), lengths, pad_id=0
    )


def show(figures: dict[str, dict[str, float]]) -> None:
    """A column a start."""
    print(f"{'':<14}" + "".join(f"{start:>12}" for start in figures))
    for name in cast(dict[str, float], next(iter(figures.values()))):
        scale, unit = (1e9, " GB") if name == "peak_memory" else (1, "")
        shown = [f"{figure[name] / scale:.3f}{unit}" for figure in figures.values()]
        print(f"{name:<14}" + "".join(f"{value:>12}" for value in shown))


if __name__ == "__main__":
    main()
