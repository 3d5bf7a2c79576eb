"""What the folder of a run holds, for those who tell of it: the report and the model card. Never imports torch."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.atomic import checksum
from pipeline.artifacts.store import MANIFEST, intact
from pipeline.errors import UserError
from pipeline.plan.run_folder import PREDICTIONS, RECIPE, RESULTS
from pipeline.plan.stages import STAGES

if TYPE_CHECKING:
    from pipeline.tasks.augmented import Part

ROWS_READ = 10_000  # of the augmented dataset, from its beginning: the report is made in seconds for any size


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run, finished or not."""

    folder: Path
    stages: Mapping[str, dict[str, Any]]
    """The manifest of each stage that is done, in the order they run."""
    results: Mapping[str, Any] | None
    """What evaluate_student measured."""
    recipe: str
    """The whole recipe, YAML; empty where the folder has none."""

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def digest(self) -> str:
        """Changes with anything that a report shows."""
        made_by = [(stage, checksum(self.folder / stage / MANIFEST)) for stage in self.stages]
        return hashlib.sha256(json.dumps([made_by, self.recipe]).encode()).hexdigest()[:16]


def read_facts(folder: Path) -> Facts:
    """Raises: UserError where the folder is not that of a run."""
    manifests: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        try:
            manifest = json.loads((folder / stage / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(manifest, dict) or not isinstance(manifest.get("upstream"), dict):
            continue
        if all(up in manifests and _is_linked(folder, up, known) for up, known in manifest["upstream"].items()):
            manifests[stage] = manifest  # else the link is of an earlier run, and this one has not come so far
    if not manifests:
        raise UserError(f"{folder} is not the folder of a run: it links to no finished stage; give runs/NAME")
    recipe = folder / RECIPE
    results = None
    if "evaluate_student" in manifests:
        results = json.loads(intact(folder / "evaluate_student", RESULTS).read_text(encoding="utf-8"))
    return Facts(
        folder=folder,
        stages=manifests,
        results=results,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
    )


def _is_linked(folder: Path, stage: str, known: Mapping[str, str]) -> bool:
    manifest = folder / stage / MANIFEST
    return manifest.is_file() and checksum(manifest) == known["identity"]


def predictions(facts: Facts) -> list[dict[str, Any]]:
    """Every test row with both models' answers (`comparison.answer_table`); none where the task has no such answers."""
    folder = facts.folder / "evaluate_student"
    if "evaluate_student" not in facts.stages or not (folder / PREDICTIONS).is_file():
        return []
    import pyarrow.parquet as pq  # noqa: PLC0415 (a finished run reads none)

    rows = pq.read_table(intact(folder, PREDICTIONS)).to_pylist()
    return rows if rows and isinstance(rows[0].get("label"), str | float) else []


def disagreements(rows: Iterable[Mapping[str, Any]], *, most: int) -> list[dict[str, Any]]:
    """Where the two differ: of a classification the cases that both are surest of, of a regression the widest gaps."""

    def weight(row: Mapping[str, Any]) -> float:
        if isinstance(row["teacher"], float):
            return abs(row["teacher"] - row["student"])
        return row["teacher_probability"] + row["student_probability"]

    return sorted((dict(row) for row in rows if row["teacher"] != row["student"]), key=weight, reverse=True)[:most]


def confusion(rows: Iterable[Mapping[str, Any]], role: str, names: Sequence[str]) -> list[list[int]]:
    """Counts: a line for each right label, a column for each answer of a model."""
    counts = Counter((row["label"], row[role]) for row in rows)
    return [[counts[label, answer] for answer in names] for label in names]


def curves(manifest: Mapping[str, Any]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """The loss curves that a stage kept: objective -> layer ('' without one) -> steps and values."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for point in manifest.get("metrics", {}).get("curve", ()):
        for term, value in point.items():
            if term == "step":
                continue
            objective, _, layer = term.rpartition("_")
            objective, layer = (objective, layer) if layer.isdigit() else (term, "")
            steps, values = found.setdefault(objective, {}).setdefault(layer, ([], []))
            steps.append(point["step"])
            values.append(value)
    return found


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The first rows of an augmented dataset, counted."""

    examples: "list[list[Part]]"
    """Original texts in parts: ('', kept), ('old', what was there), ('new', what stands there now)."""
    rows: int
    variants: int
    words: int
    """Of the originals of those variants."""
    replaced: dict[str, int]
    """Words by source."""
    replacements: int
    """Different pairs of an old and a new word."""
    vocabulary: tuple[int, int]
    """Different words in the originals, and in all rows."""
    pairs: tuple[int, int]
    """Different pairs of neighbouring words, the same way."""


def augmentation(facts: Facts, *, examples: int) -> Augmentation | None:
    """Examples and diversity of the augmented dataset's first rows; None where there are no variants."""
    folder = facts.folder / "augment_data"
    files = sorted(file.relative_to(folder).as_posix() for file in folder.glob("data/*.parquet"))
    if "augment_data" not in facts.stages or not files:
        return None
    import pyarrow.parquet as pq  # noqa: PLC0415 (a finished run reads none)

    from pipeline.tasks.augmented import parts_of  # noqa: PLC0415

    rows = next(pq.ParquetFile(intact(folder, files[0])).iter_batches(ROWS_READ)).to_pylist()
    varied = list(_with_original(rows))
    if not varied:
        return None
    columns = {replacement["column"] for _, row in varied for replacement in row["replaced"]}
    originals = [row for row in rows if row["variant"] == 0]
    first = {row["source_id"]: (original, row) for original, row in reversed(varied)}
    spread = list(first.values())[:: max(1, len(first) // examples)][:examples]
    return Augmentation(
        examples=[parts_of(original[row["replaced"][0]["column"]], row["replaced"]) for original, row in spread],
        rows=len(rows),
        variants=len(varied),
        words=sum(len(original[row["replaced"][0]["column"]].split()) for original, row in varied if row["replaced"]),
        replaced=dict(Counter(word["source"] for _, row in varied for word in row["replaced"]).most_common()),
        replacements=len({(word["old"], word["new"]) for _, row in varied for word in row["replaced"]}),
        vocabulary=(_different(originals, columns, 1), _different(rows, columns, 1)),
        pairs=(_different(originals, columns, 2), _different(rows, columns, 2)),
    )


def _with_original(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each variant beside its original, which stands before it."""
    original: dict[str, Any] = {}
    for row in rows:
        if row["variant"] == 0:
            original = row
        elif row["replaced"]:
            yield original, row


def _different(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], length: int) -> int:
    """Different runs of so many words; words are what blanks part."""
    words = (row[column].lower().split() for row in rows for column in columns)
    return len({tuple(text[at : at + length]) for text in words for at in range(len(text) - length + 1)})
