"""Compare the student with its teacher on the test rows, which no model learnt from and no checkpoint was chosen by.

    accelerate launch -m stages.evaluate_student --recipe recipes/rotten_tomatoes.yaml

Reads:  the teacher (finetune_teacher), the student (distill_predictions), the task's test rows.
Writes: results.json; runs/NAME/results.json is the same with every stage's seconds.
        predictions.parquet: every test row with both models' answers (`evaluate.comparison.prediction_table`).
        teacher_statistics.npy: numbers (rows, S) from which the teacher's score of any test rows follows.

Both models run in float32, as `from_pretrained` gives them.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.evaluate.comparison import compare, given_teacher, kept_of_given, measure, prediction_table
from pipeline.evaluate.general import compare_general
from pipeline.evaluate.scoring import LabelledSplit, labelled_splits
from pipeline.launch.stage_runner import run_stage
from pipeline.models.loading import distilled_from, load_tokenizer
from pipeline.models.vocabulary import pieces_kept
from pipeline.plan.run_folder import PREDICTIONS, RESULTS, TEACHER_STATISTICS
from pipeline.report.results import table
from pipeline.runtime.stage import Stage


def main(stage: Stage) -> dict[str, Any]:
    if not stage.recipe.has_task:
        return evaluate_general(stage)
    folders = {"teacher": stage.upstream["finetune_teacher"], "student": stage.upstream["distill_predictions"]}
    names = ("test", "test_mismatched") if stage.recipe.task.glue == "mnli" else ("test",)
    given = bool(stage.recipe.task.soft_labels or stage.inputs.other_teacher)
    task, splits = labelled_splits(stage, folders["teacher"], *names, *(["dev"] if given else []))
    of_given = given_teacher(stage, splits) if given else None
    splits.pop("dev", None)
    read = {"teacher": splits, "student": read_by_student(stage, splits)}
    measured = {role: measure(stage, read[role], folder) for role, folder in folders.items()}
    if not stage.is_main:
        return {}
    results = compare(stage, splits["test"], **measured)
    if of_given:
        results["given_teacher"] = kept_of_given(stage, of_given, measured["student"], task)
    (stage.output / RESULTS).write_text(json.dumps(results, indent=1), encoding="utf-8")
    np.save(stage.output / TEACHER_STATISTICS, measured["teacher"].test_statistics, allow_pickle=False)
    pq.write_table(prediction_table(splits, measured), stage.output / PREDICTIONS)
    stage.say(f"results\n{table(results)}")
    return {"kept": results["kept"], "left_out": dict(task.left_out)}


def read_by_student(stage: Stage, splits: Mapping[str, LabelledSplit]) -> dict[str, LabelledSplit]:
    """The splits as the student's tokenizer cuts them; says how often that is different from the teacher's."""
    teacher, student = stage.upstream["finetune_teacher"], stage.upstream["distill_predictions"]
    tokenizer = load_tokenizer(student)
    cut = {name: split.tokenised_by(tokenizer) for name, split in splits.items()}
    kept, before = pieces_kept(student, tokenizer=teacher)
    if len(kept) < before:
        changed = splits["test"].texts.share_changed(cut["test"].texts, kept)
        stage.say(
            f"the student's vocabulary: {len(kept):,} of the teacher's {before:,} pieces;"
            f" {changed:.1%} of the test texts are cut in another way"
        )
    return cut


def evaluate_general(stage: Stage) -> dict[str, Any]:
    """The same of a general student, on held-out text."""
    teacher = distilled_from(stage.upstream["pretrain_teacher"], stage.recipe.distill_general)
    results, statistics = compare_general(stage, teacher=teacher, student=stage.upstream["distill_general"] / "student")
    if not stage.is_main:
        return {}
    (stage.output / RESULTS).write_text(json.dumps(results, indent=1), encoding="utf-8")
    np.save(stage.output / TEACHER_STATISTICS, statistics, allow_pickle=False)
    stage.say(f"results\n{table(results)}")
    return {"kept": results["kept"]}


if __name__ == "__main__":
    run_stage("evaluate_student", main)
