"""Load a recipe: a YAML file of `pipeline.config.Recipe`, its base, and what the command line changes.

    base: tinybert.yaml          # optional: start from another recipe beside this one, and say only what differs
    task: {train: [reviews.csv]}

Relative paths inside a recipe, and in overrides, are taken from the project's folder, wherever the command is run.
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import rebuild_dataclass

from pipeline import PROJECT
from pipeline.config import Recipe
from pipeline.config.fields import WRONG, help_texts
from pipeline.errors import UserError, nearest

YAML_FAILURES = (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError)  # of dates such as 2001-99-99
Keys = tuple[str, ...]
Where = dict[Keys, str]  # a key's path -> where it was written: file:line, or the option


class AnchorError(yaml.MarkedYAMLError):
    """A recipe holds an anchor or an alias."""


class RecipeLoader(yaml.SafeLoader):
    """YAML without anchors and aliases: with them one text can stand for a tree of any size, or without an end."""

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
    tree = _read(path, where, seen=())
    for keys, value, option in parse_overrides(overrides):
        _set(tree, keys, value)
        for depth in range(1, len(keys)):
            where.setdefault(keys[:depth], option)  # a section that only the command line names
        where[keys] = option
    tree.setdefault("name", path.stem)
    rebuild_dataclass(cast(Any, Recipe))  # once: the sections' validators become parts of its own
    try:
        return TypeAdapter(Recipe).validate_python(tree)
    except ValidationError as error:
        raise UserError(_sentence(error, path=path, where=where)) from None


def parse_overrides(words: Sequence[str]) -> Iterator[tuple[Keys, Any, str]]:
    """`--a.b value` and `--a.b=value` as (("a", "b"), value, "--a.b"); values are read as YAML."""
    rest = iter(words)
    for word in rest:
        option, has_value, value = word.partition("=")
        if not option.startswith("--") or len(option) == 2:
            raise UserError(f"{word!r} is not an option; settings are written --section.field value")
        if not has_value:
            try:
                value = next(rest)
            except StopIteration:
                raise UserError(f"{option} wants a value") from None
        yield tuple(option[2:].split(".")), _parse_yaml(value, option), option


def fields(section: Any = Recipe, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting as (dotted name, default, help), for `--help`."""
    for name, info in section.__pydantic_fields__.items():
        inner = info.annotation
        if hasattr(inner, "__pydantic_fields__"):
            yield from fields(inner, prefix=f"{prefix}{name}.")
        else:
            default = "required" if info.is_required() else info.get_default(call_default_factory=True)
            yield f"{prefix}{name}", str(default), _help(section, name)


def _help(section: Any, name: str) -> str:
    """The text under a field, in the section or in the class that it inherits the field from."""
    return next(texts[name] for base in section.__mro__ if name in (texts := help_texts(base)))


def _parse_yaml(text: str, place: str) -> Any:
    try:
        return yaml.load(text, Loader=RecipeLoader)
    except YAML_FAILURES:
        raise UserError(f"{place}: {text!r} is not valid YAML; quote it") from None


def _read(path: Path, where: Where, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The tree of one file merged onto its base's."""
    if path.resolve() in seen:
        raise UserError(f"{path}: base: the recipe is its own base")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the recipe as UTF-8") from None
    except OSError:
        beside = [other.name for other in path.parent.glob("[!.]*.yaml")]
        ours = [f"recipes/{other.name}" for other in (PROJECT / "recipes").glob("*.yaml")]
        raise UserError(f"{path}: no such recipe{nearest(path.name, beside or ours)}") from None
    tree, places = _parse_recipe(text, path)
    base = tree.pop("base", None)
    below: dict[str, Any] = {}
    if base is not None:
        if not isinstance(base, str):
            raise UserError(f"{path}: base: must be the name of another recipe beside this one")
        below = _read(path.parent / base, where, (*seen, path.resolve()))
    where.update(places)
    return _merge(below, tree)


def _parse_recipe(text: str, path: Path) -> tuple[dict[str, Any], Where]:
    """A file's settings, and where each key stands. Raises UserError for anything else than a mapping."""
    tree, places = None, {}
    try:
        loader = RecipeLoader(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            places = dict(_places(node, path))
            tree = loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
    except YAML_FAILURES as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(f"{place}: {'' if isinstance(error, AnchorError) else 'not valid YAML: '}{problem}") from None
    if not isinstance(tree, dict):
        raise UserError(
            f"{path}: a recipe is a mapping of settings, such as 'backbone: hub:google-bert/bert-base-uncased'"
        )
    return tree, places


def _places(node: yaml.MappingNode, path: Path, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Where each key stands, as file:line.

    Raises: UserError for a key given twice: YAML would keep the last one and say nothing.
    """
    seen = set()
    for key_node, value_node in node.value:
        here = (*keys, str(key_node.value))
        place = f"{path}:{key_node.start_mark.line + 1}"
        if here in seen:
            raise UserError(f"{place}: {'.'.join(here)} is given twice; keep one")
        seen.add(here)
        yield here, place
        if isinstance(value_node, yaml.MappingNode):
            yield from _places(value_node, path, here)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _set(tree: dict[str, Any], keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(tree.get(key), dict):
            tree[key] = {}
        tree = tree[key]
    tree[keys[-1]] = value


def _sentence(error: ValidationError, *, path: Path, where: Where) -> str:
    """The first thing wrong with a recipe; unknown keys first, since they explain missing ones."""
    problems = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "unexpected_keyword_argument")
    problem = problems[0]
    kind, context = problem["type"], problem.get("ctx", {})
    keys = tuple(str(part) for part in problem["loc"])
    if kind == WRONG:
        keys += tuple(filter(None, [context["setting"]]))
    place = next((where[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in where), str(path))
    name = ".".join(keys)
    prefix = place if place == f"--{name}" else f"{place}: {name}"
    if kind == "unexpected_keyword_argument":
        section = _section(keys[:-1])
        return f"{prefix}: unknown setting{nearest(keys[-1], section.__pydantic_fields__ if section else ())}"
    if kind == "missing":
        return f"{prefix}: missing; every recipe must give it"
    if kind == WRONG:
        return f"{prefix}: {context['sentence']}"
    own, message = context.get("error"), problem["msg"]  # an error of `fields`; pydantic's sentence
    message = str(own) if kind == "value_error" else message[0].lower() + message[1:]
    return f"{prefix}: {reprlib.repr(problem['input'])} does not fit: {message}"


def _section(keys: Keys) -> Any:
    section: Any = Recipe
    for key in keys:
        info = section.__pydantic_fields__.get(key)
        section = info.annotation if info else None
        if not hasattr(section, "__pydantic_fields__"):
            return None
    return section
