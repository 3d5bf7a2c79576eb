"""Write what is made of the code and of results/: README's table, docs/results.md, settings and commands of the docs.

    python -m benchmarks.pages                                  # from results/
    python -m benchmarks.pages --run runs/rotten_tomatoes       # take this finished run into results/default.json first

A test compares the pages with what this would write.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pictures, results
from benchmarks.reference_pages import commands_page, settings_page
from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.errors import require
from pipeline.report.results import shipped_lines

README, RESULTS_PAGE = PROJECT / "README.md", PROJECT / "docs" / "results.md"
TRADE_OFFS, CURVES = PROJECT / "docs" / "trade_offs.svg", PROJECT / "docs" / "learning_curves.svg"
SETTINGS_PAGE = PROJECT / "docs" / "reference" / "settings.md"
COMMANDS_PAGE = PROJECT / "docs" / "reference" / "commands.md"
TABLE, END = "<!-- made by python -m benchmarks.pages -->\n", "<!-- end -->\n"
PRINTED, ANSWERED = "<!-- what the default run printed -->\n", "<!-- what its student answered -->\n"
QUESTIONS = ("A quiet triumph.", "Dull and far too long.")  # of README's second command
NOT_RUN = "not run"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="the folder of a finished default run")
    given = parser.parse_args()
    if given.run:
        results.write("default", figures_of(given.run), command="./run_all.sh", at_commit=commit_of(given.run))
    for path in write_all():
        print(path.relative_to(PROJECT))


def write_all() -> list[Path]:
    """Bring every page up to date; returns their paths."""
    written = dict(pages())
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with the text that it should have."""
    readme, default = README.read_text(encoding="utf-8"), results.read("default")
    if default:
        readme = _between(readme, PRINTED, _block(shipped_lines(default["figures"])))
        readme = _between(readme, ANSWERED, _block(default["figures"]["answers"]))
    yield README, _between(readme, TABLE, headline())
    yield RESULTS_PAGE, results_page()
    for path, picture in ((TRADE_OFFS, trade_offs()), (CURVES, learning_curves())):
        if picture:
            yield path, picture
    yield SETTINGS_PAGE, settings_page()
    yield COMMANDS_PAGE, commands_page()


def _between(page: str, begin: str, text: str) -> str:
    """A page with another text between a marker and the next end."""
    before, _, rest = page.partition(begin)
    return f"{before}{begin}{text}{END}{rest.partition(END)[2]}"


def _block(lines: Sequence[str]) -> str:
    """What a program printed, in Markdown."""
    return "\n".join(["```text", *lines, "```", ""])


def figures_of(run: Path) -> dict[str, Any]:
    """What a finished run measured, without what differs by row. Raises UserError for a run without its export."""
    path = run / "results.json"
    require(path.is_file(), f"{path} is not there; finish the run first")
    found = json.loads(path.read_text(encoding="utf-8"))
    require("shipped" in found, f"{path} says nothing of the exported student; run the stage export_student again")
    keys = ("score", "disk_bytes", "latency_ms", "examples_per_s", "parameters", "encoder_parameters")
    sides = {role: {key: found[role][key] for key in keys} for role in ("teacher", "student")}
    kept = ("kept", "kept_interval", "agreement", "rows", "seed", "metric", "task", "split")
    seconds = sum(found["seconds"].values()) + sum(found["start_seconds"].values())
    command = [sys.executable, "-m", "pipeline.predict", str(run / "export_student"), *QUESTIONS]
    answers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    own = {"shipped": found["shipped"], "seconds": round(seconds), "answers": answers}
    return sides | own | {key: found[key] for key in kept}


def commit_of(run: Path) -> str | None:
    """The commit at which a run was exported; None where its machine had no git."""
    manifest = json.loads((run / "export_student" / "stage.json").read_text(encoding="utf-8"))
    found: str | None = manifest["git_commit"]
    return found[:7] if found else None


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
            f" {ships['times_faster']:.1f} times faster | {_duration(figures.get('seconds'))} |",
        ]
        said.append(f"The first two rows were measured at commit {default['commit']} ({default['machine']}).")
    for row in _instead(baselines):
        cells = [_percent(row["score"]), _megabytes(row), _milliseconds(row), _duration(row["seconds"])]
        cells = cells if "not_run" not in row else [NOT_RUN, "", "", ""]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    if baselines:
        same = default and all(default[key] == baselines[key] for key in ("commit", "machine"))
        where = "there too" if same else f"at commit {baselines['commit']} ({baselines['machine']})"
        said.append(f"The others were measured {where}.")
        said.append("Time of one text: of the first two a forward pass of 32 tokens, of the others from text to label.")
        ships = next((row for row in baselines["figures"] if row["way"] == "ships" and "not_run" not in row), None)
        if same and ships:
            said.append(f"From text to label the student that ships takes {_milliseconds(ships)}.")
        said.append("The time to make the student that ships includes the training of its teacher; the others do not.")
    return "\n".join([*lines, "", *textwrap.wrap(" ".join(said), 118), ""])


def _instead(baselines: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of what one would take instead."""
    return [row for row in baselines["figures"] if row["way"] != "ships"] if baselines else []


def trade_offs() -> str | None:
    """The picture of README's table: accuracy over latency and over megabytes; None before the default was run."""
    default = results.read("default")
    if default is None:
        return None
    figures = default["figures"]
    models = [
        ("teacher, in PyTorch", figures["teacher"]),
        ("student, in PyTorch", figures["student"]),
        ("the student that ships, int8 ONNX", figures["shipped"]),
    ]
    ours = len(models)
    models += [(row["name"], row) for row in _instead(results.read("baselines")) if "not_run" not in row]
    return pictures.numbered_trade_offs(models, metric=figures["metric"], ours=ours)


def learning_curves() -> str | None:
    """The picture of the starts: how fast a student learns from each; None before they were measured."""
    starts, default = results.read("starts"), results.read("default")
    if starts is None or default is None:
        return None
    rows = {row["student.start"]: row["curves"] for row in starts["figures"]}
    losses = {start: (curves["steps"], curves["layer_loss"]) for start, curves in rows.items()}
    scores = {start: curves["dev_scores"] for start, curves in rows.items()}
    return pictures.learning_curves(losses, scores, metric=default["figures"]["metric"])


def results_page() -> str:
    """docs/results.md: every part, or that it was not run."""
    from benchmarks.all import PARTS, RUNS  # noqa: PLC0415 (which writes these pages)

    now = [
        "# Results",
        "",
        "Made by `python -m benchmarks.pages` from `results/`, which `python -m benchmarks.all` fills. What has no",
        "file there was not run in this way yet. Older figures stand, with their commits, in the",
        "[log of experiments](experiments.md) and in `benchmarks/README.md`.",
        "",
        "| part | commit | day | took |",
        "|---|---|---|---|",
    ]
    known = {part: results.read(part) for part in PARTS}
    for part, found in known.items():
        title = PARTS[part].title
        if found:
            now.append(f"| {title} | {found['commit']} | {found['day']} | {_duration(found['seconds'])} |")
        else:
            now.append(f"| {title} | {NOT_RUN} | | |")
    now += ["", "## The default run", "", headline().rstrip()]
    if known["default"]:
        now += ["", "![Accuracy over latency and over megabytes](trade_offs.svg)"]
    for part, found in known.items():
        if found and part not in ("default", "baselines"):
            now += [
                "",
                f"## {PARTS[part].title}",
                "",
                f"`{found['command']}`, {found['machine']}",
                "",
                *(run_lines(found["figures"]) if part in RUNS else _table(found["figures"])),
            ]
        if found and part == "starts":
            now += ["", "![Loss by step, and score on dev by epoch, for each start](learning_curves.svg)"]
    return "\n".join(now) + "\n"


def run_lines(figures: Mapping[str, Any]) -> list[str]:
    """What a run of the pipeline printed, and what it took."""
    return [*_block(shipped_lines(figures)).splitlines(), "", f"In all {_duration(figures['seconds'])}."]


def _table(figures: Any) -> list[str]:
    """Figures as they are: rows as a table, single figures one below the other, a text as it is."""
    if isinstance(figures, str):
        return figures.splitlines()
    rows = figures.get("rows", figures) if isinstance(figures, dict) else figures
    if isinstance(rows, dict):
        nested = all(isinstance(row, dict) for row in rows.values())
        rows = [{"of": name, **(row if nested else {"figure": row})} for name, row in rows.items()]
    names = list(dict.fromkeys(name for row in rows for name in row if not isinstance(row[name], dict)))
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", f"|{'---|' * len(names)}"]
    return lines + [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _megabytes(model: Mapping[str, Any]) -> str:
    return f"{model['disk_bytes'] / 1e6:.1f} MB"


def _milliseconds(model: Mapping[str, Any]) -> str:
    return f"{model['latency_ms']:.2f} ms"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
