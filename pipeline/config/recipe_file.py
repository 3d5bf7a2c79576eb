"""Load a recipe: a YAML file of `pipeline.config.Recipe`, its base, and what the command line changes.

    base: tinybert.yaml          # optional: start from another recipe beside this one, and say only what differs
    task: {train: [reviews.csv]}

Relative paths inside a recipe, and in overrides, are taken from the project's folder, wherever the command is run.
"""

import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import rebuild_dataclass

from pipeline import PROJECT
from pipeline.config import Recipe
from pipeline.config.fields import WRONG
from pipeline.errors import UserError, link_to_nothing, nearest, require

YAML_FAILURES = (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError)  # of dates such as 2001-99-99
SIGNS = re.compile(r"[^\w\s~{}\[\]'\"-]+")  # YAML reads | as an empty text, and a comma as a mistake
COMMENT = re.compile(r"(?![\[{'\"])(?:.*\s)?#")  # YAML takes what follows for a comment; a shell's word has none
RENAMED = {  # older settings, and what says the same now
    "student.embeddings": "student.start: embeddings in place of 'teacher', or student.start: random",
    "student.copy_layers": "student.start: layers, and student.start_layers for which ones",
    "student.copy_from": "student.start_from",
}
NUMBERS = {  # as YAML 1.1 has them, without those of base 2, 8, 16 and 60
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
TIMESTAMP = "tag:yaml.org,2002:timestamp"
NULLS = ("null", "Null", "NULL", "~", "")
Keys = tuple[str, ...]
Where = dict[Keys, str]  # a key's path -> where it was written: file:line, or the option


class AnchorError(yaml.MarkedYAMLError):
    """A recipe holds an anchor or an alias."""


class RecipeLoader(yaml.SafeLoader):
    """YAML without three of its traps.

    Anchors and aliases: with them one text can stand for a tree of any size, or without an end. Numbers that are none
    to most people: 010 is a text here, not 8, and 1:30 is not 90. Dates: 2026-11-28 is a text too, as in a run's name.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, NUMBERS.get(tag, pattern)) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if anchor := getattr(event, "anchor", None):
            problem = f"'{anchor}' is a YAML anchor or alias, which recipes cannot have; write its content out here"
            raise AnchorError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, with `--section.field value` pairs on top.

    Raises: UserError that names the file and line (or the option), the key, and the nearest valid one.
    """
    where: Where = {}
    tree = _read(path, where)
    for keys, value, option in parse_overrides(overrides):
        set_in(tree, keys, value)
        for depth in range(1, len(keys)):
            where.setdefault(keys[:depth], option)  # a section that only the command line names
        where[keys] = option
    if tree.get("name", "") == "":
        tree["name"] = path.stem
    rebuild_dataclass(cast(Any, Recipe))  # once: the sections' validators become parts of its own
    try:
        return TypeAdapter(Recipe).validate_python(tree).resolved()
    except ValidationError as error:
        raise UserError(_sentence(error, path=path, where=where)) from None


def parse_overrides(arguments: Sequence[str]) -> Iterator[tuple[Keys, Any, str]]:
    """`--a.b value` and `--a.b=value` as (("a", "b"), value, "--a.b").

    Values are read as YAML; one of signs alone, such as |, stands for itself, and so does one with a # of its own.
    """
    rest = iter(arguments)
    for argument in rest:
        option, has_value, value = argument.partition("=")
        if not option.startswith("--") or len(option) == 2:
            raise UserError(f"{argument!r} is not an option; settings are written --section.field value")
        if not has_value and (value := next(rest, None)) is None:
            raise UserError(f"{option} wants a value")
        try:
            yield tuple(option[2:].split(".")), _value(value), option
        except YAML_FAILURES:
            raise UserError(f"{option}: {value!r} is not valid YAML; quote it") from None


def _value(text: str) -> Any:
    if SIGNS.fullmatch(text) or COMMENT.match(text):
        return text
    found = yaml.load(text, Loader=RecipeLoader)
    return text if found is None and text not in NULLS else found


def _read(path: Path, where: Where, earlier: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tree of one file merged onto its base's. `earlier` are the recipes that lead to this base."""
    require(path.resolve() not in earlier, f"{path}: base: the recipe is its own base")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(
            f"{path}: not UTF-8; save the recipe as UTF-8. A table of texts is .csv, .tsv, .jsonl, .json or .parquet"
        ) from None
    except PermissionError:
        raise UserError(f"{path}: the recipe may not be read; change its permissions") from None
    except OSError:
        beside = [other.name for other in path.parent.glob("[!.]*.yaml") if other.exists()]
        ours = [f"recipes/{other.name}" for other in (PROJECT / "recipes").glob("*.yaml")]
        raise UserError(f"{path}: no such recipe{link_to_nothing(path)}{nearest(path.name, beside or ours)}") from None
    tree, locations = _parse_recipe(text, path)
    base = tree.pop("base", None)
    require(base is None or isinstance(base, str), f"{path}: base: must be the name of another recipe beside this one")
    below = {} if base is None else _read(path.parent / base, where, (*earlier, path.resolve()))
    where.update(locations)
    return _merge(below, tree)


def _parse_recipe(text: str, path: Path) -> tuple[dict[str, Any], Where]:
    """A file's settings, and the file:line of each. Raises UserError for anything else than a mapping."""
    tree, locations = None, {}
    try:
        loader = RecipeLoader(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            locations = dict(_locations(node, path))
            tree = loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
    except YAML_FAILURES as error:
        mark = getattr(error, "problem_mark", None)
        location = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(
            f"{location}: {'' if isinstance(error, AnchorError) else 'not valid YAML: '}{problem}"
        ) from None
    if not isinstance(tree, dict):
        example = "backbone: hub:google-bert/bert-base-uncased"
        raise UserError(f"{path}: a recipe is a mapping of settings, such as '{example}'")
    return tree, locations


def _locations(node: yaml.MappingNode, path: Path, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Each key with its file:line. Raises UserError for a key given twice: YAML would keep the last one in silence."""
    found = set()
    for key_node, value_node in node.value:
        here = (*keys, str(key_node.value))
        location = f"{path}:{key_node.start_mark.line + 1}"
        require(here not in found, f"{location}: {'.'.join(here)} is given twice; keep one")
        found.add(here)
        yield here, location
        if isinstance(value_node, yaml.MappingNode):
            yield from _locations(value_node, path, here)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def set_in(tree: dict[str, Any], keys: Keys, value: Any) -> None:
    """Give a setting of a recipe's tree a value; sections that are missing are made."""
    for key in keys[:-1]:
        if not isinstance(tree.get(key), dict):
            tree[key] = {}
        tree = tree[key]
    tree[keys[-1]] = value


def _sentence(error: ValidationError, *, path: Path, where: Where) -> str:
    """The first thing wrong with a recipe; unknown keys first, since they explain missing ones."""
    problem = min(error.errors(include_url=False), key=lambda e: e["type"] != "unexpected_keyword_argument")
    kind, context = problem["type"], problem.get("ctx", {})
    keys = tuple(str(part) for part in problem["loc"])
    if kind == WRONG and context["setting"]:
        keys += (context["setting"],)
    location = next((where[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in where), str(path))
    name = ".".join(keys)
    prefix = location if location == f"--{name}" else f"{location}: {name}"
    if kind == "unexpected_keyword_argument":
        hint = f"; write {RENAMED[name]}" if name in RENAMED else nearest(keys[-1], _names_in(keys[:-1]))
        return f"{prefix}: unknown setting{hint}"
    if kind == "missing":
        return f"{prefix}: missing; every recipe must give it"
    if kind == WRONG:
        return f"{prefix}: {context['sentence']}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    message = str(context["error"]) if kind == "value_error" else message  # of `fields`
    return f"{prefix}: {reprlib.repr(problem['input'])} does not fit: {message}"


def _names_in(keys: Keys) -> Iterable[str]:
    """The names of a section's settings; none where the keys do not lead to a section."""
    section: Any = Recipe
    for key in keys:
        info = getattr(section, "__pydantic_fields__", {}).get(key)
        section = info.annotation if info else None
    return getattr(section, "__pydantic_fields__", ())
