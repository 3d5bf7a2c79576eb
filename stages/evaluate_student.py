"""Evaluate the student beside its teacher, on rows that chose nothing.

    accelerate launch -m stages.evaluate_student --recipe recipes/rotten_tomatoes.yaml

Reads:  the teacher (finetune_teacher), the student (distill_predictions), the task's test rows.
Writes: results.json; runs/NAME/results.json is the same with every stage's seconds.
        predictions.parquet: every test row with both models' answers (`comparison.answer_table`).

Both models run in float32, as `from_pretrained` gives them.
"""

import json
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.evaluate.comparison import answer_table, kept_interval, latencies_ms, size
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.scoring import answers, judged, labelled_splits, score
from pipeline.launch.stage_runner import run_stage
from pipeline.plan.run_folder import PREDICTIONS, RESULTS
from pipeline.report.results import table
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS


def main(stage: Stage) -> dict[str, Any]:
    settings = stage.recipe.evaluate_student
    folders = {"teacher": stage.upstream["finetune_teacher"], "student": stage.upstream["distill_predictions"]}
    names = ("test", "test_mismatched") if stage.recipe.task.glue == "mnli" else ("test",)
    task, splits = labelled_splits(stage, folders["teacher"], *names)
    kind = KINDS[task.kind]
    models, outputs, found, figures, sides = {}, {}, {}, {}, {}
    for role, folder in folders.items():
        model = kind.load(folder, label_names=task.label_names, new_head=False, attention="sdpa")
        models[role] = model.to(stage.accelerator.device).eval()
        begin = time.perf_counter()
        outputs[role] = {name: predict_together(model, split.texts, stage) for name, split in splits.items()}
        seconds = time.perf_counter() - begin
        found[role] = {name: answers(task, outputs[role][name], split) for name, split in splits.items()}
        figures[role] = {name: judged(task, found[role][name], split) for name, split in splits.items()}
        scores = {name: score(task, rows) for name, rows in figures[role].items()}
        rows = sum(len(split.dataset) for split in splits.values())
        sides[role] = {
            "score": scores["test"],
            "scores": scores,
            "parts": kind.details(task.metric, figures[role]["test"]),
            **size(model, folder),
            "examples_per_s": rows / seconds,
        }
    if not stage.is_main:
        return {}
    teacher, student = sides["teacher"], sides["student"]
    for side, latency in zip(
        sides.values(), latencies_ms(list(models.values()), rounds=settings.timing_rounds), strict=True
    ):
        side["latency_ms"] = latency
    results = {
        "task": task.name,
        "metric": task.metric,
        "split": "test",
        "rows": len(splits["test"].dataset),
        "labels": task.label_names,
        **sides,
        "kept": student["score"] / teacher["score"] if teacher["score"] > 0 else None,
        "kept_interval": kept_interval(
            lambda rows: score(task, rows),
            teacher=figures["teacher"]["test"],
            student=figures["student"]["test"],
            samples=settings.bootstrap,
            seed=stage.recipe.seed,
        ),
        "agreement": kind.agreement(found["teacher"]["test"], found["student"]["test"]),
        "times_smaller": teacher["parameters"] / student["parameters"],
        "encoder_times_smaller": teacher["encoder_parameters"] / student["encoder_parameters"],
        "times_faster": teacher["latency_ms"] / student["latency_ms"],
        "seed": stage.recipe.seed,
    }
    (stage.output / RESULTS).write_text(json.dumps(results, indent=1), encoding="utf-8")
    tables = [
        answer_table(task, name, {r: found[r][name] for r in sides}, {r: outputs[r][name] for r in sides})
        for name in splits
    ]
    pq.write_table(pa.concat_tables(tables), stage.output / PREDICTIONS)
    stage.say(f"results\n{table(results)}")
    return {"kept": results["kept"], "left_out": dict(task.left_out)}


if __name__ == "__main__":
    run_stage("evaluate_student", main)
