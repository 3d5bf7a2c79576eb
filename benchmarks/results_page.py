"""README's one table, and docs/results.md: every part of `benchmarks.all` as it stands in results/."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import results
from pipeline.report.results import shipped_lines

NOT_RUN = "not run"
CURVES = "Loss by step, and score on dev by epoch, for each start"
FORMS = {  # of figures, by name
    "kept": ".1%",
    "kept_interval": ".1%",
    "agreement": ".1%",
    "masked": ".1%",
    "median_ms": ".2f",
    "p99_ms": ".2f",
    "ms_before": ".2f",
    "ms_after": ".2f",
}
SPEEDS = {  # the parts of `benchmarks.speed`, and what they do
    "speed_general": "general distillation, BERT-base to TinyBERT4",
    "speed_layers": "distillation of layers",
    "speed_predictions": "distillation of predictions",
    "speed_augment": "candidates for words",
}
SIDES = ("ours", "reference")
Known = Mapping[str, Mapping[str, Any] | None]


def page() -> str:
    """docs/results.md: every part, or that it was not run."""
    from benchmarks.all import PARTS  # noqa: PLC0415 (which writes this page)

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
        if found:
            cells = [found["commit"], found["machine"], found["day"], duration(found["seconds"])]
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
        if of is None or part in ("default", "baselines"):
            continue
        said = [f"`{of['command']}`, {of['machine']}", ""]
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
        if part == "starts":
            found[titles[part]] += ["", f"![{CURVES}](learning_curves.svg)"]
    return found


def headline() -> str:
    """README's one table: the teacher, what ships, and what one would take instead."""
    default, baselines = results.read("default"), results.read("baselines")
    lines = ["| | accuracy on test | on disk | one text | to make |", "|---|---|---|---|---|"]
    said = []
    if default:
        figures = default["figures"]
        teacher, ships = figures["teacher"], figures["shipped"]
        lines += [
            f"| teacher, in PyTorch | {_percent(teacher['score'])} | {_megabytes(teacher)}"
            f" | {_milliseconds(teacher)} | |",
            f"| **the student that ships**, int8 ONNX | **{_percent(ships['score'])}** | **{_megabytes(ships)}**,"
            f" {ships['times_smaller']:.1f} times smaller | **{_milliseconds(ships)}**,"
            f" {ships['times_faster']:.1f} times faster | {duration(figures.get('seconds'))} |",
        ]
        said.append(f"The first two rows were measured at commit {default['commit']} ({default['machine']}).")
    for row in instead(baselines):
        cells = [NOT_RUN, "", "", ""]
        if "not_run" not in row:
            cells = [_percent(row["score"]), _megabytes(row), _milliseconds(row), duration(row["seconds"])]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    if baselines:
        same = default and all(default[key] == baselines[key] for key in ("commit", "machine"))
        where = "there too" if same else f"at commit {baselines['commit']} ({baselines['machine']})"
        said.append(f"The others were measured {where}.")
        said.append('"One text" is a forward pass of 32 tokens in the first two rows, and text to label in the others.')
        ships = next((row for row in baselines["figures"] if row["way"] == "ships" and "not_run" not in row), None)
        if same and ships:
            said.append(f"From text to label the student that ships takes {_milliseconds(ships)}.")
        said.append("The time to make the student that ships includes the training of its teacher; the others do not.")
    paragraphs = [textwrap.wrap(" ".join(each), 118) for each in (said, _other_runs()) if each]
    return "\n".join([*lines, *(line for each in paragraphs for line in ("", *each)), ""])


def _other_runs() -> list[str]:
    """A sentence on the default run without bf16, and one on its other seeds."""
    default, float32, quality = map(results.read, ("default", "float32", "quality"))
    said = []
    if float32 and not (default and default["machine"] == float32["machine"]):
        figures = float32["figures"]
        said.append(
            f"Without bf16 ({float32['machine']}) the run takes {duration(figures['seconds'])}, and what ships has"
            f" {_percent(figures['shipped']['score'])} of its teacher's {_percent(figures['teacher']['score'])}."
        )
    if quality:
        rows = quality["figures"]["rows"]
        said.append(
            f"Over {len(rows)} seeds the student, before its export, keeps {quality['figures']['mean']['kept']:.1%} of"
            f" its teacher's accuracy ({min(row['kept'] for row in rows):.1%} to"
            f" {max(row['kept'] for row in rows):.1%}; {quality['machine']})."
        )
    return said


def instead(baselines: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of what one would take instead."""
    return [row for row in baselines["figures"] if row["way"] != "ships"] if baselines else []


def run_lines(figures: Mapping[str, Any]) -> list[str]:
    """What a run of the pipeline printed, and what it took."""
    return [*block(shipped_lines(figures)).splitlines(), "", f"In all {duration(figures['seconds'])}."]


def speed_lines(known: Known) -> list[str]:
    """The trainings and the proposals beside a plain version of each: padded, with eager attention, in float32."""
    lines = [
        "`python -m benchmarks.speed WHAT`: the same models, texts and batches, in turn in one process. Memory is the",
        "peak of a process that runs one of them alone.",
        "",
        "| | this pipeline | as written | times | of what the machine multiplies | memory | as written |",
        "|---|---|---|---|---|---|---|",
    ]
    for part, title in SPEEDS.items():
        if (of := known.get(part)) is None:
            continue
        figures = of["figures"]
        rates = (f"{figures[way]:,.{0 if figures[way] >= 10 else 1}f} {figures['unit']}" for way in SIDES)
        share = f"{figures['share_of_peak']:.0%} ({figures['matrix_rate'] / 1e9:,.0f} GFLOP/s, {figures['precision']})"
        memory = (cell(f"memory_{way}", figures.get(f"memory_{way}", "")) for way in SIDES)
        cells = (title, *rates, f"{figures['ratio']:.1f}", share, *memory)
        lines.append(f"| {' | '.join(cells)} |")
    if augment := known.get("speed_augment"):
        figures = augment["figures"]
        share = figures["way"].get("word_share")  # older figures have none
        words = f" and asks for {share:.0%} of the words, which is enough for its variants;" if share else ""
        said = (
            f"The default masks {figures['way']['mask_share']:.0%} of the tokens at once,{words}"
            f" {figures['shared_with_algorithm_1']:.0%} of the candidates are those of Algorithm 1. That masks one word"
            f" at a time, and all of them: {figures['one_word']:,.0f} {figures['unit']} by this pipeline."
        )
        lines += ["", *textwrap.wrap(said, 118)]
    return lines


def memory_lines(figures: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Peak memory, a line for each length in tokens."""
    lines = ["| tokens | this pipeline | as written |", "|---|---|---|"]
    for length, ours in figures["ours"].items():
        theirs = figures["reference"].get(length)
        lines.append(f"| {length} | {cell('memory', ours)} | {cell('memory', theirs) if theirs else NOT_RUN} |")
    return lines


def task_lines(known: Known) -> list[str]:
    """A line for each run of another task."""
    rows = [row for part, of in known.items() if of and part.startswith("task_") for row in of["figures"]]
    return ["`python -m benchmarks.tasks --data FOLDER`", "", *table(rows)]


def table(figures: Any) -> list[str]:
    """Figures as a table: rows, or rows by name; of a page of its own, the tables."""
    if isinstance(figures, str):
        lines = figures.splitlines()
        return lines[next((at for at, line in enumerate(lines) if line.startswith("|")), 0) :]
    rows = figures
    if isinstance(figures, dict):
        rows = [*figures["rows"], {"seed": "mean", **figures["mean"]}] if "rows" in figures else _named(figures)
    names = list(dict.fromkeys(name for row in rows for name in row if not isinstance(row[name], dict)))
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", f"|{'---|' * len(names)}"]
    return lines + [f"| {' | '.join(cell(name, row.get(name, '')) for name in names)} |" for row in rows]


def _named(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures by name as rows that begin with it."""
    nested = all(isinstance(of, dict) for of in figures.values())
    return [{"of": name, **(of if nested else {"figure": of})} for name, of in figures.items()]


def cell(name: str, value: Any) -> str:
    """A figure by what it is called: bytes as MB, shares in percent, scores with four digits."""
    if isinstance(value, list):
        return ", ".join(cell(name, each) for each in value)
    if value is None or isinstance(value, str):
        return value or ""
    if "bytes" in name or "memory" in name:
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"
    if name.endswith("seconds"):
        return duration(value)
    usual = "," if isinstance(value, int) else ",.0f" if value >= 1000 else ".1f" if value >= 10 else ".4f"
    return f"{value:{FORMS.get(name, usual)}}"


def block(lines: Sequence[str]) -> str:
    """What a program printed, in Markdown."""
    return "\n".join(["```text", *lines, "```", ""])


def duration(seconds: float | None) -> str:
    """In seconds, from 100 on in minutes."""
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _megabytes(model: Mapping[str, Any]) -> str:
    return f"{model['disk_bytes'] / 1e6:.1f} MB"


def _milliseconds(model: Mapping[str, Any]) -> str:
    return f"{model['latency_ms']:.2f} ms"
