"""Tags of words, as files write them: which strings can be tags, what they mean, and the same in IOB2."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.errors import UserError

OUTSIDE = "O"
UNNAMED = "ENTITY"  # the type of entities whose tags are a bare prefix
BARE = {"", OUTSIDE, *"BIES"}  # tags that are only a prefix
PREFIXED = re.compile(r"([BIESLUM])[-_](.+)")
LOWER_PREFIXED = re.compile(r"[bieslum][-_].+")
NUMBER = re.compile(r"-?\d+", re.ASCII)
AS_OUTSIDE = ("", "o", "0")  # other ways to write O
MOST_TYPES = 100  # of a column without prefixes; one with more holds words


class Tag(NamedTuple):
    """One of the different tags of a file."""

    text: str
    where: str  # the place where it first stands, as errors name it


def meanings(found: Iterable[Tag], known: Sequence[str], *, where: str) -> Mapping[str, str]:
    """For each different tag of a file its name: O, a prefix and a type, or a type alone.

    Numbers are looked up in the known names. `o` and `0` stand for O, `b-per` for B-per.

    Args:
        found: the different tags of the file.
        known: the names that the recipe, or the Parquet file, gives.
        where: the file, and the column if there are several.

    Raises: UserError for what can be no tags.
    """
    tags = {tag.text: tag for tag in found}
    named = [text for text in tags if text not in AS_OUTSIDE]
    if all(map(NUMBER.fullmatch, filter(None, tags))) and any(tags):
        return {text: _numbered(tag, known) for text, tag in tags.items()}
    lower = [text for text in named if LOWER_PREFIXED.fullmatch(text)]
    if lower and len(lower) == len([text for text in named if text != OUTSIDE]):
        named = [text[0].upper() + text[1:] for text in lower]
    prefixed = [text for text in named if PREFIXED.fullmatch(text)]
    others = [text for text in named if text != OUTSIDE and text not in prefixed]
    if prefixed and others:
        raise UserError(
            f"{tags[others[0]].where} holds '{others[0]}', no tag beside '{prefixed[0]}'; a tag is {OUTSIDE}, or a"
            f" prefix and a type as in '{prefixed[0]}'"
        )
    if numbers := [text for text in others if NUMBER.fullmatch(text) and text not in known]:
        raise UserError(f"{tags[numbers[0]].where} holds the number {numbers[0]} among names; give each word its tag")
    outside = not tags.keys().isdisjoint((*AS_OUTSIDE, OUTSIDE))
    if others and not set(others) <= set(known) and (not outside or len(others) > MOST_TYPES):
        wrong = f"more than {MOST_TYPES} types" if outside else f"no word has {OUTSIDE}, the tag outside of all names"
        raise UserError(
            f"{where} holds {_some(others)}, which are no tags: none has a prefix such as B-, and {wrong}; give the"
            " column of the tags in task.label, or list all tags in task.labels"
        )
    return {text: _plain(text, lower=bool(lower)) for text in tags}


def look_like_tags(texts: Iterable[str]) -> bool:
    """Whether all are O or have a prefix, and some have one."""
    found = set(texts)
    return found <= {*AS_OUTSIDE, OUTSIDE} | {text for text in found if PREFIXED.fullmatch(text)} and any(
        PREFIXED.fullmatch(text) for text in found
    )


def _plain(text: str, *, lower: bool) -> str:
    if text in AS_OUTSIDE:
        return OUTSIDE
    return text[0].upper() + text[1:] if lower and LOWER_PREFIXED.fullmatch(text) else text


def _numbered(tag: Tag, known: Sequence[str]) -> str:
    number = int(tag.text or 0)
    if not 0 <= number < len(known):
        raise UserError(f"{tag.where} holds the tag number {number}; name the tags, from 0 on, in task.labels")
    return known[number]


def _some(texts: Sequence[str]) -> str:
    shown = ", ".join(f"'{text[:20]}'" for text in texts[:3])
    return f"{shown}, ..." if len(texts) > 3 else shown


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags of a sentence in IOB2: B- on the first word of an entity, I- on its others.

    IOB1 uses B- only between two neighbouring entities of one type. S-, U- and E-, L-, M- are the prefixes of BIOES and
    BILOU. Equal neighbouring tags without a prefix are one entity. Where all tags of a sentence are bare prefixes
    (B, I, O), the type of its entities is ENTITY.
    """
    found: list[str] = []
    inside = None  # the type of the entity that the next word may continue
    if set(tags) <= BARE:
        tags = [tag if tag in ("", OUTSIDE) else f"{tag}-{UNNAMED}" for tag in tags]
    for tag in tags:
        prefixed = PREFIXED.fullmatch(tag)
        prefix, name = prefixed.groups() if prefixed else ("I", tag)
        if tag == OUTSIDE or not tag:
            found.append(OUTSIDE)
            inside = None
            continue
        begins = prefix in "BSU" or name != inside
        found.append(f"{'B' if begins else 'I'}-{name}")
        inside = None if prefix in "SUEL" and prefixed else name
    return tuple(found)
