"""README's one table, and docs/results.md: every part of `benchmarks.all` as it stands in results/."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import results
from benchmarks.runs import note_of, sentence
from benchmarks.speed_page import SPEEDS, Known, speed_lines
from benchmarks.tables import block, cell, duration, table, where
from pipeline.report.results import shipped_lines

NOT_RUN = "not run"
VARIANTS = "Score on test of each seed's student, and their mean, by the number of variants"
CURVES = "Loss by step, and score on dev by epoch, for each start"


def page() -> str:
    """docs/results.md: every part, or that it was not run."""
    from benchmarks.all import PARTS, RUNS  # noqa: PLC0415 (which writes this page)

    known = {part: results.read(part) for part in PARTS}
    lines = [
        "# Results",
        "",
        "Made by `python -m benchmarks.pages` from `results/`, which `python -m benchmarks.all` fills. What has no",
        "file there was not run in this way yet. Older figures stand, with their commits, in the",
        "[log of experiments](experiments.md).",
        "",
        "A commit here is the last one that changed the product (`pipeline/`, `stages/`, `data_augment/`, `recipes/`):",
        "later ones changed tests, benchmarks or pages. Scores are of test rows that chose nothing. A processor with",
        "AVX512-BF16 or AMX computes in bf16, one with neither in float32.",
        "",
        "| part | commit | machine | day | took |",
        "|---|---|---|---|---|",
    ]
    for part, found in known.items():
        cells = [NOT_RUN, "", "", ""]
        if part == "float32" and is_default_in_float32(known):
            cells = ["the default run itself", "", "", ""]
        elif found:
            took = found["seconds"] if part in RUNS or not PARTS[part].reads_runs else None  # older files have one
            cells = [found["commit"], found["machine"], found["day"], duration(took)]
        lines.append(f"| {PARTS[part].title} | {' | '.join(cells)} |")
    lines += ["", "## The default run", "", headline().rstrip()]
    if known["default"]:
        lines += ["", "![Accuracy over latency and over megabytes](trade_offs.svg)"]
    for title, body in sections(known, {part: PARTS[part].title for part in PARTS}).items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def sections(known: Known, titles: Mapping[str, str]) -> dict[str, list[str]]:
    """Title -> lines, of every part that was run but those of README's table; trainings' speeds and tasks share one."""
    from benchmarks.all import RUNS  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for part, of in known.items():
        if of is None or part in ("default", "baselines") or (part == "float32" and is_default_in_float32(known)):
            continue
        made = f". {sentence(of['figures'])}".removesuffix(". ")
        said = [f"`{of['command']}`, {where(of)}{made}", ""]
        if part in SPEEDS:
            found.setdefault("Speed beside the method as it is written", speed_lines(known))
        elif part.startswith("task_"):
            found.setdefault("Other tasks", task_lines(known))
        elif part in RUNS:
            found[titles[part]] = said + run_lines(of["figures"])
        elif part == "memory":
            found[titles[part]] = said + memory_lines(of["figures"])
        else:
            found[titles[part]] = said + table(of["figures"])
        if part == "export":
            found[titles[part]] += ["", *textwrap.wrap(_clocks(known.get("default")), 118)]
        if part == "starts":
            found[titles[part]] += ["", f"![{CURVES}](learning_curves.svg)"]
        if part == "augmentation":
            found[titles[part]] += ["", f"![{VARIANTS}](variants.svg)"]
    return found


def fit_lines() -> str:
    """The losses of each start before any training, a column a start; '' before they were measured."""
    fit = results.read("fit")
    if fit is None:
        return ""
    starts = fit["figures"]
    kinds = {"embedding": "embedding loss", "hidden": "hidden losses", "attention": "attention losses"}
    lines = [f"| | {' | '.join(starts)} |", "|---" * (len(starts) + 1) + "|"]
    for kind, title in kinds.items():
        found = [[of[name] for name in of if name.partition("_")[0] == kind] for of in starts.values()]
        cells = [" ".join(f"{loss:#.3g}" for loss in losses) for losses in found]
        lines.append(f"| {title}{', by layer' if kind != 'embedding' else ''} | {' | '.join(cells)} |")
    tokens = int(next(iter(starts.values()))["tokens"])
    return "\n".join([*lines, "", f"The fit reads {tokens:,} tokens ({where(fit)})."]) + "\n"


def is_default_in_float32(known: Known) -> bool:
    """Whether the default run was in float32 by itself, on a machine without bf16: then both are one run."""
    default, float32 = known.get("default"), known.get("float32")
    return bool(default and float32 and default["figures"] == float32["figures"])


def _clocks(default: Mapping[str, Any] | None) -> str:
    """Why the export is not as much faster in its own benchmark as in the default run."""
    said = (
        "Milliseconds of the thread's own processor time, with one thread. Beside OpenVINO they are of the wall clock,"
        " and below 1 time faster is slower."
    )
    if default is None:
        return said
    threads = note_of(default["figures"])["threads"]
    many = f"{' or '.join(map(str, threads))} threads" if threads else "as many threads as the stage takes"
    faster = default["figures"]["shipped"]["times_faster"]
    return f"{said} The {faster:.1f} times of the default run are by the wall clock, with {many}."


def headline() -> str:
    """README's one table: the teacher, what ships, and what one would take instead."""
    default, baselines = results.read("default"), results.read("baselines")
    lines = ["| | accuracy on test | on disk | one text | to make |", "|---|---|---|---|---|"]
    rows = {row["way"]: row for row in baselines["figures"]} if baselines else {}
    teacher = rows.get("teacher", {})
    for row in rows.values():
        if "not_run" in row:
            lines.append(f"| {row['name']} | {NOT_RUN} | | | |")
            continue
        cells = [_percent(row["score"]), _megabytes(row), _milliseconds(row)]
        name, made = row["name"], duration(row["seconds"])
        if row["way"] == "ships":
            cells = [f"**{cell}**" for cell in cells]
            name, made = f"**{name}**, int8 ONNX", duration(default["figures"]["seconds"]) if default else ""
        if teacher and row["way"] in ("ships", "teacher_int8"):
            cells[1] += f", {teacher['disk_bytes'] / row['disk_bytes']:.1f} times smaller"
            cells[2] += f", {teacher['latency_ms'] / row['latency_ms']:.1f} times faster"
        lines.append(f"| {name} | {' | '.join(cells)} | {made} |")
    said = []
    if baselines:
        said = [
            '"One text" is the time from a text to its label, tokens included. "To make" leaves out set-up and'
            " downloads; for the student that ships it includes training its teacher."
        ]
    paragraphs = [textwrap.wrap(" ".join(each), 118) for each in (said, _other_runs()) if each]
    return "\n".join([*lines, *(line for each in paragraphs for line in ("", *each)), ""])


def seeds_kept() -> str:
    """A sentence of README's beginning: what the default brings, its quality over several seeds; '' before that was
    measured.
    """
    default, quality = results.read("default"), results.read("quality")
    if not default or not quality:
        return ""
    teacher, ships, rows = default["figures"]["teacher"], default["figures"]["shipped"], quality["figures"]["rows"]
    said = (
        f"From a MiniLM of {_megabytes(teacher)} that takes {_milliseconds(teacher)} a text on a CPU, the default run"
        f" makes a student of {_megabytes(ships)} that takes {_milliseconds(ships)} and keeps"
        f" {quality['figures']['mean']['ships_kept']:.1%} of its accuracy (mean of {len(rows)} seeds)."
    )
    return "\n".join(textwrap.wrap(said, 118)) + "\n"


def how_long() -> str:
    """A line that says how long the stages of the default run took; '' where that is not known."""
    known = {part: results.read(part) for part in ("default", "float32", "avx2")}
    default = known["default"]
    if not default or not default["figures"]["seconds"]:
        return ""
    said = f"{duration(default['figures']['seconds'])} ({default['machine']})"
    others = {"float32": "in float32", "avx2": "in float32 with PyTorch limited to AVX2"}
    times = []
    for part, how in others.items():
        other = known[part]
        if other and other["figures"]["seconds"] and not (part == "float32" and is_default_in_float32(known)):
            there = "" if other["machine"] == default["machine"] else f" ({other['machine']})"
            times.append(f"{how} {duration(other['figures']['seconds'])}{there}")
    return f"\nIts stages took {said}{''.join(f'; {time}' for time in times)}.\n"


def _other_runs() -> list[str]:
    """Sentences on the default run in float32, and one on its other seeds."""
    known = {part: results.read(part) for part in ("default", "float32", "quality")}
    default, float32, quality = known.values()
    said = []
    if float32 and not is_default_in_float32(known):
        figures = float32["figures"]
        takes = f", and the run takes {duration(figures['seconds'])}" if figures["seconds"] else ""
        said.append(
            f"In float32 ({float32['machine']}) the student that ships scores"
            f" {_percent(figures['shipped']['score'])}, its teacher {_percent(figures['teacher']['score'])}{takes}."
        )
    if quality:
        rows = quality["figures"]["rows"]
        other = not default or default["commit"] != quality["commit"]
        at = f"commit {quality['commit']}, " if other else ""
        said.append(
            f"Over {len(rows)} seeds what ships keeps {quality['figures']['mean']['ships_kept']:.1%} of its teacher's"
            f" accuracy ({min(row['ships_kept'] for row in rows):.1%} to"
            f" {max(row['ships_kept'] for row in rows):.1%}; {at}{quality['machine']})."
        )
    return said


def run_lines(figures: Mapping[str, Any]) -> list[str]:
    """What a run of the pipeline printed, and what it took."""
    took = "Its stages ran with different numbers of threads, so their times do not add up."
    if figures["seconds"] is not None:
        took = f"In all {duration(figures['seconds'])}."
    return [*block(shipped_lines(figures)).splitlines(), "", took]


def memory_lines(figures: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Peak memory, a line for each length in tokens."""
    lines = ["| tokens | this pipeline | as written |", "|---|---|---|"]
    for length, ours in figures["ours"].items():
        theirs = figures["reference"].get(length)
        lines.append(f"| {length} | {cell('memory', ours)} | {cell('memory', theirs) if theirs else NOT_RUN} |")
    return lines


def task_lines(known: Known) -> list[str]:
    """A line for each run of another task, and what its students keep in the mean."""
    tasks = [of["figures"] for part, of in known.items() if of and part.startswith("task_")]
    rows = [row for of_task in tasks for row in of_task]
    means = [_mean_kept(of_task) for of_task in tasks if len(of_task) > 1]
    made = [f"- {of_task[0]['task']}: {said}" for of_task in tasks if (said := sentence(of_task))]
    clock = ["A student is more times faster with one thread, since its teacher gains more from a second one."]
    paragraphs = [lines for lines in (table(rows), means, clock, made) if lines]
    return ["`python -m benchmarks.tasks --data FOLDER`", *(line for lines in paragraphs for line in ("", *lines))]


def _mean_kept(rows: Sequence[Mapping[str, Any]]) -> str:
    """What ships keeps, in the mean over the seeds of a task."""
    kept = [row["kept"] for row in rows]
    return (
        f"- {rows[0]['task']}: what ships keeps {statistics.mean(kept):.1%} in the mean of {len(kept)} seeds"
        f" ({min(kept):.1%} to {max(kept):.1%})."
    )


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _megabytes(model: Mapping[str, Any]) -> str:
    return f"{model['disk_bytes'] / 1e6:.1f} MB"


def _milliseconds(model: Mapping[str, Any]) -> str:
    return f"{model['latency_ms']:.2f} ms"
