"""Write what is made of the code and of results/: README's table, docs/results.md, settings and commands of the docs.

    python -m benchmarks.pages                                  # from results/
    python -m benchmarks.pages --run runs/rotten_tomatoes       # take this finished run into results/default.json first

A test compares the pages with what this would write.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import pictures, results, results_page
from benchmarks.reference_pages import commands_page, settings_page
from benchmarks.results_page import headline, how_long, seeds_kept
from benchmarks.runs import note, read
from benchmarks.scale_page import scale_lines
from benchmarks.tables import block
from benchmarks.tasks import answers
from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import MANIFEST
from pipeline.errors import require
from pipeline.export.onnx_session import FLOAT32
from pipeline.report.results import shipped_lines

README, RESULTS_PAGE = PROJECT / "README.md", PROJECT / "docs" / "results.md"
TRADE_OFFS, CURVES = PROJECT / "docs" / "trade_offs.svg", PROJECT / "docs" / "learning_curves.svg"
QUICKSTART, MULTI_LABEL = PROJECT / "docs" / "quickstart.md", PROJECT / "docs" / "multi_label.md"
SCALE, FITTED_START = PROJECT / "docs" / "scale.md", PROJECT / "docs" / "fitted_start.md"
VARIANTS = PROJECT / "docs" / "variants.svg"
SETTINGS_PAGE = PROJECT / "docs" / "reference" / "settings.md"
COMMANDS_PAGE = PROJECT / "docs" / "reference" / "commands.md"
TABLE, END = "<!-- made by python -m benchmarks.pages -->\n", "<!-- end -->\n"
SUMMARY = "<!-- what the default run brings -->\n"
PRINTED, ANSWERED = "<!-- what the default run printed -->\n", "<!-- what its student answered -->\n"
PRINTED_EMOTIONS, RATES = (
    "<!-- what the run of GoEmotions printed -->\n",
    "<!-- what the measured rates make of it -->\n",
)
NEARNESS = "<!-- how near each start is -->\n"
QUESTIONS = ("A quiet triumph.", "Dull and far too long.")  # of README's second command


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="the folder of a finished default run")
    given = parser.parse_args()
    if given.run:
        of = {"at_commit": commit_of(given.run), "on": manifest_of(given.run)["machine"]}
        results.write("default", figures_of(given.run), command="./run_all.sh", **of)
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
    default = results.read("default")
    for path in (README, QUICKSTART):
        page = path.read_text(encoding="utf-8")
        if default:
            page = _between(page, PRINTED, block(shipped_lines(default["figures"])) + how_long())
            page = _between(page, ANSWERED, block(default["figures"]["answers"]))
        if path == README:
            page = _between(_between(page, TABLE, headline()), SUMMARY, seeds_kept())
        yield path, page
    yield RESULTS_PAGE, results_page.page()
    yield SCALE, _between(SCALE.read_text(encoding="utf-8"), RATES, scale_lines())
    yield FITTED_START, _between(FITTED_START.read_text(encoding="utf-8"), NEARNESS, results_page.fit_lines())
    emotions = results.read("task_goemotions")
    if emotions:
        printed = emotions["figures"][0]["printed"]
        page = _between(MULTI_LABEL.read_text(encoding="utf-8"), PRINTED_EMOTIONS, block(printed["table"]))
        yield MULTI_LABEL, _between(page, ANSWERED, block(printed["answers"]))
    drawn = ((TRADE_OFFS, trade_offs()), (CURVES, learning_curves()), (VARIANTS, scores_by_variants()))
    for path, picture in drawn:
        if picture:
            yield path, picture
    yield SETTINGS_PAGE, settings_page()
    yield COMMANDS_PAGE, commands_page()


def _between(page: str, begin: str, text: str) -> str:
    """A page with another text between a marker and the next end."""
    before, _, rest = page.partition(begin)
    return f"{before}{begin}{text}{END}{rest.partition(END)[2]}"


def figures_of(run: Path) -> dict[str, Any]:
    """What a finished run measured, without what differs by row. Raises UserError for a run without its export."""
    path = run / "results.json"
    require(path.is_file(), f"{path} is not there; finish the run first")
    found = json.loads(path.read_text(encoding="utf-8"))
    require("shipped" in found, f"{path} says nothing of the exported student; run the stage export_student again")
    keys = ("score", "disk_bytes", "latency_ms", "examples_per_s", "parameters", "encoder_parameters")
    sides = {role: {key: found[role][key] for key in keys} for role in ("teacher", "student")}
    sides["teacher"]["latency_ms"] = found["shipped"]["teacher_latency_ms"]  # measured beside what ships
    kept = ("kept", "kept_interval", "agreement", "rows", "seed", "metric", "task", "split")
    stages = note(read({stage: run / stage / MANIFEST for stage in found["seconds"]}))
    seconds = sum(found["seconds"].values()) + sum(found["start_seconds"].values())
    seconds = round(seconds) if len(stages["threads"]) < 2 else None  # else they do not add up
    forms = manifest_of(run)["metrics"]["forms"]
    side_files = found["shipped"]["disk_bytes"] - forms[found["shipped"]["file"]]["bytes"]
    float32 = forms[FLOAT32]
    exported = {"score": float32["test_score"], "disk_bytes": float32["bytes"] + side_files}
    sides["float32_onnx"] = exported | {key: float32[key] for key in ("latency_ms", "examples_per_s")}
    own = {"shipped": found["shipped"], "seconds": seconds, "stages": stages, "answers": answers(run, QUESTIONS)}
    return sides | own | {key: found[key] for key in kept}


def commit_of(run: Path) -> str:
    """The commit of the product with which a run was exported."""
    found: str | None = manifest_of(run)["git_commit"]  # None: its machine had no git
    return results.commit(found) if found else results.UNKNOWN


def manifest_of(run: Path) -> dict[str, Any]:
    """What the export of a run wrote about itself."""
    return json.loads((run / "export_student" / MANIFEST).read_text(encoding="utf-8"))


def trade_offs() -> str | None:
    """The picture of README's table: accuracy over latency and over megabytes; None before it was measured."""
    baselines = results.read("baselines")
    if baselines is None:
        return None
    rows = [row for row in baselines["figures"] if "not_run" not in row]
    return pictures.numbered_trade_offs([(row["name"], row) for row in rows], metric=rows[0]["metric"])


def learning_curves() -> str | None:
    """The picture of the starts: how fast a student learns from each; None before they were measured."""
    starts, default = results.read("starts"), results.read("default")
    if starts is None or default is None:
        return None
    rows = {row["student.start"]: row["curves"] for row in starts["figures"]}
    losses = {start: (curves["steps"], curves["layer_loss"]) for start, curves in rows.items()}
    scores = {start: curves["dev_scores"] for start, curves in rows.items()}
    return pictures.learning_curves(losses, scores, metric=default["figures"]["metric"])


def scores_by_variants() -> str | None:
    """The picture of augmentation; None before it was measured."""
    augmentation, default = results.read("augmentation"), results.read("default")
    if augmentation is None or default is None:
        return None
    scores = {int(row["augment_data.variants"]): row["scores"] for row in augmentation["figures"]}
    return pictures.scores_by_variants(scores, metric=default["figures"]["metric"])


if __name__ == "__main__":
    main()
