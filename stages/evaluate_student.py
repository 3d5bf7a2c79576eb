"""Compare the student with its teacher on the test rows, which no model learnt from and no checkpoint was chosen by.

    accelerate launch -m stages.evaluate_student --recipe recipes/rotten_tomatoes.yaml

Reads:  the teacher (finetune_teacher), the student (distill_predictions), the task's test rows.
Writes: results.json; runs/NAME/results.json is the same with every stage's seconds.
        predictions.parquet: every test row with both models' answers (`pipeline.evaluate.comparison.prediction_table`).
        teacher_statistics.npy: numbers (rows, S) from which the teacher's score of any test rows follows.

Both models run in float32, as `from_pretrained` gives them.
"""

import json
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
    tokenizer = load_tokenizer(folders["student"])
    read = {"teacher": splits, "student": {name: split.tokenised_by(tokenizer) for name, split in splits.items()}}
    measured = {role: measure(stage, read[role], folder) for role, folder in folders.items()}
    if not stage.is_main:
        return {}
    results = compare(stage, splits["test"], **measured)
    results["vocabulary"] = vocabulary(stage, splits["test"], read["student"]["test"])
    if of_given:
        results["given_teacher"] = kept_of_given(stage, of_given, measured["student"], task)
    pq.write_table(prediction_table(splits, measured), stage.output / PREDICTIONS)
    write_results(stage, results, measured["teacher"].test_statistics)
    return {"kept": results["kept"], "left_out": dict(task.left_out)}


def vocabulary(stage: Stage, test: LabelledSplit, of_student: LabelledSplit) -> dict[str, Any]:
    """How many pieces both vocabularies have, and the share of the test texts that the student's cuts otherwise.

    Args: test, of_student: the test rows as each tokenizer cuts them.
    """
    teacher, student = stage.upstream["finetune_teacher"], stage.upstream["distill_predictions"]
    kept, before = pieces_kept(student, old_tokenizer=teacher)
    changed = test.texts.share_changed(of_student.texts, kept)
    return {"teacher": before, "student": len(kept), "texts_changed": changed}


def evaluate_general(stage: Stage) -> dict[str, Any]:
    """The same of a general student, on held-out text."""
    teacher = distilled_from(stage.upstream["pretrain_teacher"], stage.recipe.distill_general)
    found = compare_general(stage, teacher=teacher, student=stage.upstream["distill_general"] / "student")
    if found is None:  # not the main process
        return {}
    results, statistics = found
    write_results(stage, results, statistics)
    return {"kept": results["kept"]}


def write_results(stage: Stage, results: dict[str, Any], teacher_statistics: np.ndarray) -> None:
    """Write the comparison and the teacher's statistics, and print the table."""
    (stage.output / RESULTS).write_text(json.dumps(results, indent=1), encoding="utf-8")
    np.save(stage.output / TEACHER_STATISTICS, teacher_statistics, allow_pickle=False)
    stage.say(f"results\n{table(results)}")


if __name__ == "__main__":
    run_stage("evaluate_student", main)
