"""A table in the place of a recipe: `./run_all.sh reviews.csv` writes a recipe for it, from recipes/your_data.yaml.

The columns are found by their names, or given by options. The recipe stays in recipes/, to be changed and run again.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.config.fields import is_folder_name
from pipeline.config.recipe_file import RecipeLoader, parse_overrides
from pipeline.data.text_files import format_suffix, is_compressed
from pipeline.errors import UserError, nearest, require

TEMPLATE = PROJECT / "recipes" / "your_data.yaml"
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
USUAL = {  # names of columns; the first one wins, of the others only one may be there
    "text": ("text", "sentence", "review", "content", "comment", "message", "document", "body", "tweet", "question"),
    "label": ("label", "category", "class", "sentiment", "target", "labels", "topic", "intent", "stars", "rating"),
}
MANY = 5  # columns that are not used, of which the names are said
OPTIONS = {"text": "--text", "text_pair": "--text-pair", "label": "--label"}


def is_table(path: Path) -> bool:
    """Whether the name is that of a table, not of a recipe."""
    return format_suffix(path) in SUFFIXES


def recipe_for(
    table: Path, columns: Mapping[str, str | None], overrides: Sequence[str], *, folder: Path = TEMPLATE.parent
) -> Path:
    """Write the recipe of a table, unless it is there already; says what it took and where it wrote. Returns its path.

    Args: columns: `text`, `label` and `text_pair` as the user named them, or None.
    Raises: UserError for a table that is not there, for columns that cannot be told, and for a file of the recipe's
        name that somebody else wrote or changed.
    """
    beside = [path.name for path in table.absolute().parent.glob("*") if is_table(path)]
    require(table.is_file(), f"{table}: no such table{nearest(table.name, beside)}")
    require(_is_utf8(table), f"{str(table)!a}: a recipe cannot hold this path, which is not UTF-8; rename it")
    given = {keys: value for keys, value, _ in parse_overrides(overrides)}
    in_task = {name: columns[name] or given.get(("task", name)) for name in OPTIONS}
    found = find_columns(table, in_task)
    name = str(given.get(("name",)) or recipe_name(table))
    require(is_folder_name(name), f"--name: {name!r} names a folder; use letters, digits, '.', '_' and '-'")
    path, text = folder / f"{name}.yaml", recipe_text(table, found)
    if not path.exists():
        print(f"{_shown(path)} is new: the recipe of this run, yours to change", file=sys.stderr)
    elif path.read_text(encoding="utf-8") != text and not _is_unchanged(path, table):
        raise UserError(
            f"{_shown(path)} exists already: it was changed, or belongs to another table; run it"
            f" (./run_all.sh {_shown(path)}), or give this run another name (--name OTHER)"
        )
    write_atomically(path, text)
    pair = f", {found['text_pair']!r} is the second text" if found["text_pair"] else ""
    left = [name for name in column_names(table) if name not in found.values()]
    unused = f"; not used: {', '.join(map(repr, left[:MANY]))}{', ...' if len(left) > MANY else ''}" if left else ""
    print(f"{table}: {found['text']!r} is the text{pair}, {found['label']!r} the label{unused}", file=sys.stderr)
    return path


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path.absolute()).encode())
    except UnicodeEncodeError:
        return False


def column_names(table: Path) -> Sequence[str]:
    """The names of a table's columns."""
    from pipeline.data import tables  # noqa: PLC0415 (a run that is finished must start at once)

    return tables.column_names(table)


def find_columns(table: Path, given: Mapping[str, Any]) -> dict[str, str | None]:
    """The columns of text, second text and label: those given, else those whose names say so."""
    names = column_names(table)
    columns = {role: None if value is None else str(value) for role, value in given.items()}
    for role, column in columns.items():
        require(
            column in (None, *names), f"{table}: {OPTIONS[role]}: no column {column!r}{nearest(column or '', names)}"
        )
    for role, usual in USUAL.items():
        if columns[role] is None:
            free = [name for name in names if name not in columns.values()]
            columns[role] = _only_usual(free, usual)
    if columns["text_pair"] is None:
        columns["text_pair"] = _only_usual(names, ("text_pair",))
    for role, other in (("label", "text"), ("text", "label")):
        if columns[role] is None and columns[other] is not None and len(names) == 2:
            columns[role] = next(name for name in names if name != columns[other])
    for role in USUAL:
        if columns[role] is None:
            shown = ", ".join(names[:20])
            raise UserError(f"{table}: which column is the {role}? Say it with {OPTIONS[role]} COLUMN; it has {shown}")
    return columns


def _only_usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the first usual name, or the only one with another; None where there is none, or are several."""
    known = [name for name in names if name.strip().lower() in usual]
    first = [name for name in known if name.strip().lower() == usual[0]]
    return first[0] if first else known[0] if len(known) == 1 else None


def recipe_name(table: Path) -> str:
    """`reviews` for data/reviews.csv.gz; what a folder's name cannot hold becomes a hyphen."""
    name = Path(table.stem).stem if is_compressed(table) else table.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "table"


def recipe_text(table: Path, columns: Mapping[str, str | None]) -> str:
    """The template, its marked lines filled in."""
    values = {"train": _location(table)} | {role: column for role, column in columns.items() if column is not None}
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    lines[0] = "# Written by ./run_all.sh for one table, from recipes/your_data.yaml. Change what you like, and run it."
    for number, line in enumerate(lines):
        setting = re.match(r"  (?:# )?(\w+):", line)
        if setting and setting[1] in values:
            remark = line.partition(" # ")[2] if not line.startswith("  #") else ""
            value = json.dumps(values.pop(setting[1]), ensure_ascii=False)
            lines[number] = f"  {setting[1]}: {value}{remark and ' # '}{remark}"
    assert not values, f"{TEMPLATE} lacks lines for {', '.join(values)}"
    return "\n".join(lines) + "\n"


def _location(table: Path) -> str:
    """A table's path as a recipe has it. A link keeps its own name: what it points to may have none of a table."""
    path = table.parent.resolve() / table.name
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)


def _is_unchanged(path: Path, table: Path) -> bool:
    """Whether a recipe is as this module would write it for the table, with the columns that it names."""
    try:
        task = yaml.load(path.read_text(encoding="utf-8"), Loader=RecipeLoader)["task"]
        columns = {role: task.get(role) for role in OPTIONS}
        return path.read_text(encoding="utf-8") == recipe_text(table, columns)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, OSError):
        return False


def _shown(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)
