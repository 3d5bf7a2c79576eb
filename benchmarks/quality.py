"""What distillation keeps, over several seeds, beside the same student trained on the labels alone.

    python -m benchmarks.quality [--recipe R] [--seeds 0 1 2] [--json FILE] [--section.field value ...]

For each seed: the recipe, as the run NAME-seed-S; then a student of the same size with random weights, fine-tuned on
the labels by the pipeline's own finetune_teacher, for as many epochs as both steps of task distillation take together,
the epoch with the best dev score. Both are scored on the same test rows. Artifacts are shared and kept, so the
benchmark can be stopped and started again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.cases import load_encoder
from benchmarks.runs import made_by
from pipeline import PROJECT
from pipeline.config import Recipe
from pipeline.errors import WorkFailed, status_of
from pipeline.evaluate.scoring import labelled_split
from pipeline.heads import head_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.models.attention import can_pack
from pipeline.models.collate import collate
from pipeline.models.loading import backbone_of, copy_model_files, load_tokenizer
from pipeline.models.new_student import new_student
from pipeline.models.saved_model import TOKENIZER_FILES
from pipeline.plan.plan import Plan, make_plan
from pipeline.plan.run_folder import RESULTS
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import as_datasets
from pipeline.training.batches import cut_into_micro_batches

LABELS_ALONE_RATE = 5e-4  # that of the default recipe's layer stage


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    rows = [measure(given.recipe, seed, overrides) for seed in given.seeds]
    heads = f"{'teacher':>9}{'student':>9}{'kept':>8}{'ships':>9}{'kept':>8}{'labels alone':>14}{'gain':>8}"
    print(f"{'seed':<6}{heads}")
    for row in rows:
        print(f"{row['seed']:<6}{_line(row)}")
    mean = {key: _mean([row[key] for row in rows]) for key in rows[0] if key not in ("seed", "stages")}
    print(f"{'mean':<6}{_line(mean)}")
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, "mean": mean}, indent=1), encoding="utf-8")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None  # None: a teacher learnt too little


def _line(row: dict[str, Any]) -> str:
    kept, ships_kept = ("-" if row[key] is None else f"{row[key]:.1%}" for key in ("kept", "ships_kept"))
    gain = (row["student"] - row["labels_alone"]) * 100
    of_student = f"{row['teacher']:>9.4f}{row['student']:>9.4f}{kept:>8}{row['ships']:>9.4f}{ships_kept:>8}"
    return f"{of_student}{row['labels_alone']:>14.4f}{gain:>7.1f} points"


def measure(recipe: Path, seed: int, overrides: list[str]) -> dict[str, Any]:
    """One seed: the pipeline's results and the labels-alone student's score."""
    name = f"{recipe.stem}-seed-{seed}"
    arguments = [*overrides, "--seed", str(seed)]
    distilled = run(recipe, [*arguments, "--name", name])
    found = json.loads((distilled.run_folder / RESULTS).read_text(encoding="utf-8"))
    return {
        "seed": seed,
        "teacher": found["teacher"]["score"],
        "student": found["student"]["score"],
        "kept": found["kept"],
        "ships": found["shipped"]["score"],
        "ships_kept": found["shipped"]["kept"],
        "stages": made_by(distilled),
        "labels_alone": labels_alone(distilled, recipe, [*arguments, "--name", f"{name}-labels-alone"]),
    }


def run(recipe: Path, arguments: list[str], *options: str) -> Plan:
    """Run a recipe; returns its plan. Raises WorkFailed where the run fails, which says why."""
    words = [sys.executable, "-m", "pipeline", str(recipe), *options, *arguments]
    status = subprocess.run(words, check=False, cwd=PROJECT).returncode
    if status:
        raise WorkFailed(f"{recipe.name} ended with status {status}")
    return make_plan(recipe, arguments, checked=False)


def labels_alone(distilled: Plan, recipe: Path, arguments: list[str]) -> float:
    """The test score of the same student, from random weights, trained on the labels."""
    return on_labels(
        random_student(distilled), recipe, arguments, epochs=epochs_of(distilled.recipe), rate=LABELS_ALONE_RATE
    )


def epochs_of(settings: Recipe) -> float:
    """Of both steps of task distillation together."""
    return settings.distill_layers.epochs + settings.distill_predictions.epochs


def random_student(distilled: Plan) -> Path:
    """The student of a run that has its backbone, with random weights, as a folder."""
    settings = distilled.recipe
    backbone = backbone_of(distilled.stages["pretrain_teacher"].artifact.folder)
    torch.manual_seed(settings.seed)
    student = new_student(settings.student, load_encoder(backbone))
    return saved(student, distilled.run_folder / "labels-alone", tokenizer_of=backbone)


def layers_and_labels(distilled: Plan, recipe: Path, arguments: list[str]) -> float:
    """The test score of the student after layer distillation, trained on the labels instead of the predictions."""
    settings = distilled.recipe.distill_predictions
    source = distilled.stages["distill_layers"].artifact.folder / "student"
    folder = saved(load_encoder(source), distilled.run_folder / "layers-alone", tokenizer_of=source)
    return on_labels(folder, recipe, arguments, epochs=settings.epochs, rate=settings.learning_rate)


def saved(student: PreTrainedModel, folder: Path, *, tokenizer_of: Path) -> Path:
    """A folder with the student's encoder. The same student gives the same bytes, so what was trained on them stays."""
    copy_model_files(tokenizer_of, folder, TOKENIZER_FILES)
    student.save_pretrained(folder)
    return folder


def on_labels(student: Path, recipe: Path, arguments: list[str], *, epochs: float, rate: float) -> float:
    """The test score of an encoder that is trained on the labels."""
    plan = train_on_labels(student, recipe, arguments, epochs=epochs, rate=rate)
    return test_score(plan, plan.stages["finetune_teacher"].artifact.folder)


def train_on_labels(student: Path, recipe: Path, arguments: list[str], *, epochs: float, rate: float) -> Plan:
    """The run in which the pipeline's own finetune_teacher trains an encoder; its best epoch on dev counts."""
    changes = {
        "--backbone": student,
        "--pretrain_teacher.epochs": 0,
        "--augment_data.variants": 0,  # the student has no masked-LM head, which would propose words
        "--pretrain_teacher.from_scratch": "false",
        "--pretrain_teacher.tokenizer": "backbone",
        "--finetune_teacher.allow_majority": "true",
        "--finetune_teacher.epochs": epochs,
        "--finetune_teacher.learning_rate": rate,
    }
    more = [str(word) for pair in changes.items() for word in pair]
    return run(recipe, [*arguments, *more], "--until", "finetune_teacher")


@torch.inference_mode()
def test_score(plan: Plan, folder: Path, other: PreTrainedModel | None = None) -> float:
    """The task's metric of a saved model on the test rows, in float32.

    Args: other: scored in its place, with its tokenizer.
    """
    task = read_task(plan.recipe.task, plan.inputs.task)
    split = labelled_split(as_datasets(task)["test"], task, plan.recipe.task, load_tokenizer(folder))
    head, texts = head_of(task.kind), split.texts
    model = other or head.load(folder, label_names=task.label_names, new_head=False).eval()
    bounds, packed = texts.bounds(np.arange(len(texts))), can_pack(model)
    outputs = np.zeros((bounds[-1], head.width(model)), dtype=np.float32)
    for rows in cut_into_micro_batches(np.arange(len(texts)), texts.lengths, 8192, packed=packed):
        batch = collate(texts.columns(rows), texts.pad_id, packed=packed)
        for row, output in zip(rows, head.outputs(model, batch).numpy(), strict=True):
            outputs[bounds[row] : bounds[row + 1]] = output[: texts.lengths[row]] if task.kind.per_token else output
    return split.score(outputs)


if __name__ == "__main__":
    sys.exit(status_of(main))
