"""The results of a run as a user reads them: a table in the terminal, and report.html, one file without network."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.atomic import write_atomically
from pipeline.config.data import CORRELATIONS
from pipeline.plan.stages import STAGES
from pipeline.report.run_summary import Facts, augmentation, confusion, curves, disagreements, predictions, read_facts
from pipeline.report.templates import render

REPORT = "report.html"
COMPARISON = "comparison.html"
CASES = 20  # of disagreement
EXAMPLES = 8  # of augmentation
LABELS_SHOWN = 15  # a larger confusion matrix cannot be read
MEASURES = (  # of a model: its name, where it stands, how it is written
    ("parameters", "parameters", lambda value: f"{value / 1e6:,.1f}M"),
    ("of these in the layers", "encoder_parameters", lambda value: f"{value / 1e6:,.1f}M"),
    ("on disk", "disk_bytes", lambda value: f"{value / 1e6:,.1f} MB"),
    ("latency", "latency_ms", lambda value: f"{value:,.1f} ms"),
    ("throughput", "examples_per_s", lambda value: f"{value:,.0f} texts/s"),
)


def table(results: dict[str, Any]) -> str:
    """The results as a user reads them."""
    teacher, student = results["teacher"], results["student"]

    def line(name: str, left: str, right: str, remark: str = "") -> str:
        return f"{name:<28}{left:>12}{right:>12}   {remark}".rstrip()

    kept = ""
    if results["kept"] is not None and results["kept_interval"]:
        low, high = results["kept_interval"]
        kept = f"{results['kept']:.1%} kept (95%: {low:.1%} to {high:.1%})"
    lines = [line(f"{results['task']}, {results['split']}", "teacher", "student")]
    lines.append(line(results["metric"], f"{teacher['score']:.4f}", f"{student['score']:.4f}", kept))
    parts = teacher.get("parts", {})
    for name in parts if len(parts) > 1 else ():
        lines.append(line(f"  {name}", f"{teacher['parts'][name]:.4f}", f"{student['parts'][name]:.4f}"))
    for name in teacher["scores"].keys() - {results["split"]}:
        lines.append(line(f"  on {name}", f"{teacher['scores'][name]:.4f}", f"{student['scores'][name]:.4f}"))
    rows = (
        ("parameters, millions", "parameters", 1e-6, "times_smaller", "smaller"),
        ("  of these in the layers", "encoder_parameters", 1e-6, "encoder_times_smaller", "smaller"),
        ("on disk, MB", "disk_bytes", 1e-6, "", ""),
        ("latency, ms", "latency_ms", 1, "times_faster", "faster (batch 1, 32 tokens)"),
        ("throughput, texts/s", "examples_per_s", 1, "", ""),
    )
    for name, key, unit, ratio, word in rows:
        remark = f"{results[ratio]:.1f} times {word}" if ratio else ""
        lines.append(line(name, f"{teacher[key] * unit:,.1f}", f"{student[key] * unit:,.1f}", remark))
    alike = f"the student gives the teacher's answer on {results['agreement']:.1%} of the rows"
    if results["metric"] in CORRELATIONS:
        alike = f"the student's scores correlate with the teacher's at {results['agreement']:.3f}"
    lines.append(f"{alike}; seed {results['seed']}")
    return "\n".join(lines)


def refresh_report(folder: Path) -> Path:
    """The report of a run; one that shows what the run holds is left alone, and costs no library that draws."""
    facts, path = read_facts(folder), folder / REPORT
    if f'content="{facts.digest()}"' not in _beginning(path):
        write_atomically(path, page(facts))
    return path


def _beginning(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(1000)


def page(facts: Facts) -> str:
    """The report's HTML."""
    from pipeline.report import plots  # noqa: PLC0415 (matplotlib takes most of a second, and a finished run needs none)

    results, rows = facts.results, predictions(facts)
    tested = [row for row in rows if row["split"] == "test"]
    return render(
        "report.html.jinja",
        facts=facts,
        flat=lambda tree: [(name.removeprefix("."), value) for name, value in _flat("", tree)],
        results=results,
        unfinished=[stage for stage in ("evaluate_student",) if stage not in facts.stages],
        models=(found := models(facts)),
        measures=MEASURES,
        picture=plots.bars(list(_measures(facts, found))) if found else "",
        exported=facts.stages.get("export_student", {}).get("metrics", {}),
        correlation=bool(results) and results["metric"] in CORRELATIONS,
        curves={
            stage: {objective: plots.loss_curves(objective, lines) for objective, lines in curves(manifest).items()}
            for stage, manifest in facts.stages.items()
        },
        answers=_answers(tested, (results or {}).get("labels") or ()),
        disagreements=(cases := disagreements(rows, most=CASES)),
        scores=bool(cases) and isinstance(cases[0]["label"], float),
        differing=sum(row["teacher"] != row["student"] for row in rows),
        tested=len(rows),
        augmentation=augmentation(facts, examples=EXAMPLES),
        times=plots.times({stage: manifest["seconds"] for stage, manifest in facts.stages.items()}),
    )


def models(facts: Facts) -> dict[str, Mapping[str, Any]]:
    """What was measured of teacher, student, and each file to ship, by its name; of the last on dev only."""
    if facts.results is None:
        return {}
    found = {role: facts.results[role] for role in ("teacher", "student")}
    if exported := facts.stages.get("export_student", {}).get("metrics"):
        found["teacher"] = found["teacher"] | {"dev_score": facts.stages["finetune_teacher"]["metrics"]["dev_score"]}
        found["student"] = found["student"] | {"dev_score": exported["score_before"]}
        for name, form in exported["forms"].items():
            figures = {key: value for key, value in form.items() if key != "score"}
            found[Path(name).name] = figures | {"dev_score": form["score"], "disk_bytes": form["bytes"]}
    return found


def _measures(
    facts: Facts, found: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, list[tuple[str, float, str]]]]:
    assert facts.results is not None
    score = ("score", lambda value: f"{value:.4f}")
    for name, key, write in ((facts.results["metric"], *score), *MEASURES):
        yield name, [(model, side[key], write(side[key])) for model, side in found.items() if key in side]


def _answers(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, str]:
    """A picture of each model's answers beside the labels: a confusion matrix, or a scatter for a regression."""
    from pipeline.report import plots  # noqa: PLC0415

    if not rows or len(labels) > LABELS_SHOWN:
        return {}
    colours = {"teacher": plots.TEACHER, "student": plots.STUDENT}
    if labels:
        return {role: plots.matrix(confusion(rows, role, labels), labels, colour=c) for role, c in colours.items()}
    right = [row["label"] for row in rows]
    return {role: plots.scatter(right, [row[role] for row in rows], colour=c) for role, c in colours.items()}


def comparison_page(runs: Sequence[Facts]) -> str:
    """Several runs side by side: results, the settings in which they differ, times."""
    from pipeline.report import plots  # noqa: PLC0415

    finished = [facts for facts in runs if facts.results is not None]
    picture = ""
    if finished and len({facts.results["metric"] for facts in finished if facts.results}) == 1:
        picture = plots.bars(list(_students(finished)))
    return render(
        "comparison.html.jinja",
        runs=runs,
        measures=MEASURES,
        picture=picture,
        differences=differences(runs),
        stages=[stage for stage in STAGES if any(stage in facts.stages for facts in runs)],
    )


def _students(runs: Sequence[Facts]) -> Iterator[tuple[str, list[tuple[str, float, str]]]]:
    """The first run's teacher, then every run's student."""
    sides = [("teacher", runs[0].results["teacher"])] if runs[0].results else []
    sides += [(facts.name, facts.results["student"]) for facts in runs if facts.results]
    assert runs[0].results is not None
    yield runs[0].results["metric"], [(name, side["score"], f"{side['score']:.4f}") for name, side in sides]
    for measure, key, write in MEASURES:
        yield measure, [(name, side[key], write(side[key])) for name, side in sides]


def differences(runs: Sequence[Facts]) -> dict[str, list[str]]:
    """The settings in which runs differ: dotted name -> what each says; '–' where a run has no such stage yet."""
    flat = [
        dict(item for stage, manifest in facts.stages.items() for item in _flat(stage, manifest["settings"]))
        for facts in runs
    ]
    names = dict.fromkeys(name for settings in flat for name in settings)
    found = {name: [settings.get(name, "–") for settings in flat] for name in names}
    return {
        name: [str(value) for value in line] for name, line in found.items() if len({str(v) for v in line} - {"–"}) > 1
    }


def _flat(prefix: str, tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _flat(f"{prefix}.{key}", value)
    else:
        yield prefix, tree
