"""A table in place of a recipe: `./run_all.sh reviews.csv` writes a recipe for it, from recipes/your_data.yaml.

The columns are found by their names, or given by options; the settings of the command line are written too. The recipe
stays in recipes/, to be changed and run again.
"""

import glob
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline import PROJECT, in_project
from pipeline.artifacts.atomic import write_atomically
from pipeline.config.fields import is_folder_name
from pipeline.config.recipe_file import RecipeLoader, parse_overrides, set_in
from pipeline.data.text_files import format_suffix, is_compressed
from pipeline.errors import UserError, link_to_nothing, nearest, require

TEMPLATE = PROJECT / "recipes" / "your_data.yaml"
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
USUAL = {  # names of columns; the first one wins, of the others only one may be there
    "text": ("text", "sentence", "review", "content", "comment", "message", "document", "body", "tweet", "question"),
    "label": ("label", "category", "class", "sentiment", "target", "labels", "topic", "intent", "stars", "rating"),
}
GIVEN = "# Settings of the command line: "  # the second line of a recipe for which some were given
MANY = 5  # columns that are not used, of which the names are said
OPTIONS = {"text": "--text", "text_pair": "--text-pair", "label": "--label"}
FILES = ("--task.train", "--task.dev", "--task.test", "--task.unlabelled")
ELSEWHERE = ("--name", *(f"--task.{role}" for role in OPTIONS))  # the recipe's name, and lines that the columns fill in


def is_table(path: Path) -> bool:
    """Whether the name is that of a table, not of a recipe."""
    return format_suffix(path) in SUFFIXES


class TableRecipe(NamedTuple):
    """The recipe of a table."""

    path: Path  # the recipe, or where one stays that was written with other options, the template
    overrides: list[str]  # that make it the table's
    remarks: list[str]  # lines that say what was taken, and where it was written


def recipe_for(
    table: Path, columns: Mapping[str, str | None], overrides: Sequence[str], *, only_look: bool = False
) -> TableRecipe:
    """Write the recipe of a table, unless it is there already.

    Args:
        columns: `text`, `label` and `text_pair` as the user named them, or None.
        overrides: settings of the command line; the recipe holds them.
        only_look: leave a recipe that is there as it is.

    Raises: UserError for a table that is not there, for columns that cannot be told, and for a file of the recipe's
        name that somebody else wrote or changed.
    """
    require(not table.is_dir(), f"{table} is a folder; name a table in it")
    from pipeline.data import squad  # noqa: PLC0415 (imports the readers of tables)

    beside = [path.name for path in table.absolute().parent.glob("*") if is_table(path) and path.is_file()]
    require(table.is_file(), f"{table}: no such table{link_to_nothing(table)}{nearest(table.name, beside)}")
    require(
        not squad.is_nested(table),
        f"{table} holds questions as SQuAD does: name it as task.train in a copy of recipes/xquad.yaml",
    )
    require(_is_utf8(table), f"{str(table)!a}: a recipe cannot hold this path, which is not UTF-8; rename it")
    given = {keys: value for keys, value, _ in parse_overrides(overrides)}
    in_task = {name: columns[name] or given.get(("task", name)) for name in OPTIONS}
    header = given.get(("task", "header"))
    found = find_columns(table, in_task, header=header)
    name = str(given.get(("name",)) or recipe_name(table))
    require(is_folder_name(name), f"--name: {name!r} names a folder; use letters, digits, '.', '_' and '-'")
    settings = [word for pair in _pairs(overrides) if pair[0] not in ELSEWHERE for word in pair]
    path, text = TEMPLATE.with_name(f"{name}.yaml"), recipe_text(table, found, settings)
    remarks = [*_write(path, text, table, only_look=only_look), _columns_taken(table, found, header)]
    if path.read_text(encoding="utf-8") == text:
        return TableRecipe(path, list(overrides), remarks)
    return TableRecipe(TEMPLATE, _as_overrides(name, table, found, settings), remarks)


def _write(path: Path, text: str, table: Path, *, only_look: bool) -> list[str]:
    """Write a recipe where there is none, or none of other options that must stay; returns what is to say of it."""
    if not path.exists():
        write_atomically(path, text)
        return [f"{in_project(path)} is new: the recipe of this run, yours to change"]
    if path.read_text(encoding="utf-8") == text:
        return []
    before = _options_of(path, table)
    if before is None:
        raise UserError(
            f"{in_project(path)} exists already: it was changed, or belongs to another table; run it"
            f" (./run_all.sh {in_project(path)}), or give this run another name (--name OTHER)"
        )
    if only_look:
        return [f"{in_project(path)} would be written anew; its options are: {shlex.join(before)}"]
    write_atomically(path, text)
    return [f"{in_project(path)} is written anew; its options were: {shlex.join(before)}"]


def _columns_taken(table: Path, found: Mapping[str, str | None], header: Any) -> str:
    pair = f", {found['text_pair']!r} is the second text" if found["text_pair"] else ""
    left = [name for name in column_names(table, header=header) if name not in found.values()]
    unused = f"; not used: {', '.join(map(repr, left[:MANY]))}{', ...' if len(left) > MANY else ''}" if left else ""
    return f"{table}: {found['text']!r} is the text{pair}, {found['label']!r} the label{unused}"


def from_here(overrides: Sequence[str]) -> list[str]:
    """The overrides, in which files of the task that lie in the current folder are named as a recipe names the table.

    Raises: UserError for overrides that are none, and for what a recipe cannot hold.
    """
    list(parse_overrides(overrides))
    for text in overrides:
        require(_is_utf8(Path(text)), f"{text!a}: a recipe cannot hold this setting, which is not UTF-8; rename it")
    pairs = [(option, _from_here(option, value) if option in FILES else value) for option, value in _pairs(overrides)]
    return [word for pair in pairs for word in pair]


def _from_here(option: str, value: str) -> str:
    [(_, files, _)] = parse_overrides([option, value])
    files = files if isinstance(files, list) else [files]
    here = [isinstance(file, str) and bool(os.path.exists(file) or glob.glob(file)) for file in files]  # noqa: PTH110, PTH207 - no error for what is no path
    return json.dumps([_location(Path(file)) if is_here else file for file, is_here in zip(files, here, strict=True)])


def _pairs(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--a.b value` and `--a.b=value` as ("--a.b", "value")."""
    rest = iter(overrides)
    for argument in rest:
        option, equals, value = argument.partition("=")
        yield option, value if equals else next(rest)


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path.absolute()).encode())
    except UnicodeEncodeError:
        return False


def column_names(table: Path, *, header: Any = None) -> Sequence[str]:
    """The names of a table's columns. Args: header: `task.header`, for a table without a line of names."""
    if header:
        return [str(name) for name in (header if isinstance(header, list) else [header])]
    from pipeline.data import tables  # noqa: PLC0415 (a run that is finished must start at once)

    return tables.column_names(table)


def find_columns(table: Path, given: Mapping[str, Any], *, header: Any = None) -> dict[str, str | None]:
    """The columns of text, second text and label: those given, else those whose names say so."""
    names = column_names(table, header=header)
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


def recipe_text(table: Path, columns: Mapping[str, str | None], settings: Sequence[str] = ()) -> str:
    """The template, its marked lines filled in. Args: settings: of the command line: options and values in turn."""
    sections = _sections(settings)
    values = _task_settings(table, columns, sections.pop("task", {}))
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    lines[0] = "# Written by ./run_all.sh for one table, from recipes/your_data.yaml. Change what you like, and run it."
    for number, line in enumerate(lines):
        setting = re.match(r"  (?:# )?(\w+):", line)
        if setting and setting[1] in values:
            remark = line.partition(" # ")[2] if not line.startswith("  #") else ""
            value = _as_yaml(values.pop(setting[1]))
            lines[number] = f"  {setting[1]}: {value}{remark and ' # '}{remark}"
    after = 1 + next(number for number, line in enumerate(lines) if line.startswith("  label:"))
    lines[after:after] = [f"  {name}: {_as_yaml(value)}" for name, value in values.items()]
    for name, section in sections.items():
        is_section = isinstance(section, dict) and section
        lines += ["", f"{name}:" if is_section else f"{name}: {_as_yaml(section)}"]
        lines += [f"  {key}: {_as_yaml(value)}" for key, value in section.items()] if is_section else []
    if settings:
        lines.insert(1, GIVEN + shlex.join(settings))
    return "\n".join(lines) + "\n"


def _task_settings(table: Path, columns: Mapping[str, str | None], given: Mapping[str, Any]) -> dict[str, Any]:
    named = {role: column for role, column in columns.items() if column is not None}
    return {"train": _location(table), **named, **given}


def _as_overrides(name: str, table: Path, columns: Mapping[str, str | None], settings: Sequence[str]) -> list[str]:
    """What the template needs to be the recipe of a table."""
    task = _task_settings(table, columns, _sections(settings)["task"])
    pairs = [("--name", _as_yaml(name)), *((f"--task.{key}", _as_yaml(value)) for key, value in task.items())]
    pairs += [pair for pair in _pairs(settings) if pair[0].partition(".")[0] != "--task"]
    return [word for pair in pairs for word in pair]


def _sections(settings: Sequence[str]) -> dict[str, Any]:
    """Settings of the command line as the tree of a recipe."""
    tree: dict[str, Any] = {"task": {}}
    for keys, value, _ in parse_overrides(settings):
        set_in(tree, keys, value)
    return tree if isinstance(tree["task"], dict) else {**tree, "task": {}}


def _as_yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _location(table: Path) -> str:
    """A table's path as a recipe has it. A link keeps its own name: what it points to may have none of a table."""
    return in_project(table.parent.resolve() / table.name)


def _options_of(path: Path, table: Path) -> list[str] | None:
    """The options with which this module wrote a recipe for the table; None where it is not as it wrote it."""
    try:
        text = path.read_text(encoding="utf-8")
        task = yaml.load(text, Loader=RecipeLoader)["task"]
        columns = {role: task.get(role) for role in OPTIONS}
        second = text.split("\n")[1]
        settings = shlex.split(second.removeprefix(GIVEN)) if second.startswith(GIVEN) else []
        if text != recipe_text(table, columns, settings):
            return None
        options = [word for role, name in columns.items() if name is not None for word in (OPTIONS[role], name)]
        return options + settings
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OSError, UserError):
        return None
