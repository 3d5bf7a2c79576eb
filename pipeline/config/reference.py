"""What there is to set: every section of a recipe and every setting, for `--help` and for the documentation."""

import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pipeline.config import Recipe
from pipeline.config.fields import help_texts

PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a recipe."""

    name: str  # with its section: distill_layers.epochs
    type: str
    default: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """The settings of one stage, or of what several stages share; its name is empty for those of the whole recipe."""

    name: str
    help: str
    settings: tuple[Setting, ...]


def sections() -> Iterator[Section]:
    """Every section: first the settings that stand in none, then the others in the order of the recipe."""
    fields: dict[str, Any] = vars(Recipe)["__pydantic_fields__"]
    inner = {name: info.annotation for name, info in fields.items() if hasattr(info.annotation, "__pydantic_fields__")}
    alone = tuple(_setting(Recipe, name) for name in fields if name not in inner)
    yield Section(name="", help="The whole run.", settings=alone)
    for name, section in inner.items():
        found = tuple(_setting(section, field, prefix=f"{name}.") for field in section.__pydantic_fields__)
        yield Section(name=name, help=" ".join((inspect.getdoc(section) or "").split()), settings=found)


def settings() -> Iterator[Setting]:
    """Every setting, section by section."""
    for section in sections():
        yield from section.settings


def help_page(width: int) -> str:
    """Every setting under its section, for a terminal of some width: what is wrapped stands under its own beginning."""
    lines = []
    for section in sections():
        lines += ["", *textwrap.wrap(f"{section.name}: {section.help}" if section.name else "the whole run", width)]
        for setting in section.settings:
            lines.append(f"  {setting.name} = {setting.default}")
            lines += textwrap.wrap(setting.help, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _setting(section: Any, name: str, *, prefix: str = "") -> Setting:
    info = section.__pydantic_fields__[name]
    declared_in = next(base for base in section.__mro__ if name in help_texts(base))
    return Setting(
        name=f"{prefix}{name}",
        type=_type_name(info.annotation, info.metadata),
        default="required" if info.is_required() else _written(info.get_default(call_default_factory=True)),
        help=" ".join(help_texts(declared_in)[name].split()),
    )


def _written(default: Any) -> str:
    """A default as a recipe writes it."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    return str(default) or '""'


def _type_name(annotation: Any, metadata: Any = ()) -> str:
    """A type in words, with the bounds of its values."""
    marks = [mark for each in metadata for mark in (each, *getattr(each, "metadata", ()))]  # a Field holds its own
    limits = [
        f"{words} {getattr(mark, bound):g}" for bound, words in BOUNDS.items() for mark in marks if hasattr(mark, bound)
    ]
    return ", ".join([_plain_type(annotation), *limits])


def _plain_type(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _type_name(inside[0], annotation.__metadata__)
    if origin is Literal:
        return " | ".join(map(str, inside))
    if origin in (Union, types.UnionType):
        return " | ".join(_plain_type(one) for one in inside)
    if origin is tuple:
        return f"list ({_plain_type(inside[0])})"
    if origin is dict:
        return f"mapping of {_plain_type(inside[0])} to {_plain_type(inside[1])}"
    return PLAIN.get(annotation, str(annotation))
