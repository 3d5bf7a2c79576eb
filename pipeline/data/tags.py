"""Tags of words, as files write them: which strings can be tags, what they mean, and the same in IOB2."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.data.labels import HIDDEN, IS_HIDDEN, label_name, two_spellings
from pipeline.errors import UserError, require

OUTSIDE = "O"
UNNAMED = "ENTITY"  # the type of entities whose tags are a bare prefix
BARE = {"", OUTSIDE, *"BIESLUM"}  # tags that are only a prefix
PREFIXED = re.compile(r"([BIESLUM])[-_](.+)")
LOWER_PREFIXED = re.compile(r"[bieslum][-_].+")
NUMBER = re.compile(r"-?\d+", re.ASCII)
AS_OUTSIDE = ("", "o", "0")  # other ways to write O
RARE_OUTSIDE = 3  # times: where a type is more often than that, O is no tag but a word
MOST_TYPES = 100  # of a column without prefixes; one with more holds words


class Tag(NamedTuple):
    """One of the different tags of a file."""

    text: str
    where: str  # file and line where it first stands, as errors name it
    words: int = 1  # that have it


def meanings(found: Iterable[Tag], known: Sequence[str], *, where: str) -> Mapping[str, str]:
    """For each different tag of a file its name: O, a prefix and a type, or a type alone.

    Numbers are looked up in the known names. `o` and `0` stand for O, `b-per` for B-per.

    Args:
        found: the different tags of the file.
        known: the names that the recipe, or the Parquet file, gives.
        where: the file, and the column if there are several.

    Raises: UserError for what can be no tags.
    """
    texts: dict[str, str] = {}
    tags: dict[str, Tag] = {}
    for tag in found:
        name = texts[tag.text] = label_name(tag.text)
        before = tags.get(name, tag._replace(text=name, words=0))
        tags[name] = before._replace(words=before.words + tag.words)
    names = _names(tags, usual_names(known), where)
    return {text: names[name] for text, name in texts.items()}


def usual_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of tags with O for `o` and `0`, and where all are like `b-per` with B-per for it."""
    lower = _are_lower(names)
    return tuple(_plain(name, lower=lower) for name in names)


def _names(tags: Mapping[str, Tag], known: Sequence[str], where: str) -> Mapping[str, str]:
    named = [text for text in tags if text not in AS_OUTSIDE]
    if all(map(NUMBER.fullmatch, filter(None, tags))) and any(tags):
        require(tags.keys() != {HIDDEN}, f"{where}: all tags are {HIDDEN}; {IS_HIDDEN}")
        require(
            OUTSIDE in known or not any(map(PREFIXED.fullmatch, known)),
            f"{where} holds numbers of tags, and task.labels lacks {OUTSIDE}, the tag outside of all names; list all"
            " tags in the order of their numbers",
        )
        return {text: _numbered(tag, known) for text, tag in tags.items()}
    if alike := two_spellings([text for text in named if text not in known]):
        other, text = alike
        raise UserError(f"{tags[text].where} holds the tag {text!a}, elsewhere written {other!a}; write both alike")
    lower = _are_lower(tags)
    named = [_plain(text, lower=lower) for text in named] if lower else named
    prefixed = [text for text in named if PREFIXED.fullmatch(text)]
    others = [text for text in named if text != OUTSIDE and text not in prefixed]
    if prefixed and others:
        raise UserError(
            f"{tags[others[0]].where} holds '{others[0]}', no tag beside '{prefixed[0]}'; a tag is {OUTSIDE}, or a"
            f" prefix and a type as in '{prefixed[0]}'"
        )
    if numbers := [text for text in others if NUMBER.fullmatch(text) and text not in known]:
        raise UserError(f"{tags[numbers[0]].where} holds the number {numbers[0]} among names; give each word its tag")
    if others and not set(others) <= set(known):
        _check_types(tags, others, where)
    return {text: _plain(text, lower=lower) for text in tags}


def _check_types(tags: Mapping[str, Tag], types: Sequence[str], where: str) -> None:
    """Raises UserError for strings without prefixes that are no types of a tagger: words, or tags of another form."""
    if pair := _other_prefixes(types):
        raise UserError(
            f"{where} holds '{pair[0]}' and '{pair[1]}', whose prefixes are not read; write them as in B-PER and I-PER,"
            " or list all tags in task.labels"
        )
    outside = [tag for text, tag in tags.items() if text in (*AS_OUTSIDE, OUTSIDE)]
    most = max(types, key=lambda text: tags[text].words)
    wrong = ""
    if not outside:
        wrong = f"no word has {OUTSIDE}, the tag outside of all names"
    elif len(types) > MOST_TYPES:
        wrong = f"more than {MOST_TYPES} types"
    elif tags[most].words > RARE_OUTSIDE * (rare := sum(tag.words for tag in outside)):
        wrong = (
            f"'{most[:20]}' stands {tags[most].words:,} times, {OUTSIDE}, the tag outside of all names, {rare:,} times"
        )
    if wrong:
        raise UserError(
            f"{where} holds {_some(types)}, which are no tags: none has a prefix such as B-, and {wrong}; give the"
            " column of the tags in task.label, or list all tags in task.labels"
        )


def _other_prefixes(types: Sequence[str]) -> tuple[str, str] | None:
    """Two tags with a prefix of another form, such as B:PER and I:PER, or PER-B and PER-I."""
    for text in types:
        for begin, rest, form in ((text[:1], text[1:], "{}{}"), (text[-1:], text[:-1], "{1}{0}")):
            others = {"B": "IEML", "b": "ieml"}.get(begin, "") if rest else ""
            for other in (form.format(letter, rest) for letter in others):
                if other in types:
                    return text, other
    return None


def look_like_tags(texts: Iterable[str]) -> bool:
    """Whether all are O or have a prefix, and some have one."""
    found = set(texts)
    return found <= {*AS_OUTSIDE, OUTSIDE} | {text for text in found if PREFIXED.fullmatch(text)} and any(
        PREFIXED.fullmatch(text) for text in found
    )


def _are_lower(texts: Iterable[str]) -> bool:
    """Whether some texts are like `b-per`, and all others O."""
    named = [text for text in texts if text not in (*AS_OUTSIDE, OUTSIDE)]
    return bool(named) and all(map(LOWER_PREFIXED.fullmatch, named))


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


def are_bare(tags: Iterable[str]) -> bool:
    """Whether all tags of a file are bare prefixes (B, I, O); else a tag without a prefix, such as S, is a type."""
    found = set(tags)
    return found <= BARE and bool(found & {"B", "I"})


def iob2(tags: Sequence[str], *, bare: bool = False) -> tuple[str, ...]:
    """Tags of a sentence in IOB2: B- on the first word of an entity, I- on its others.

    IOB1 uses B- only between two neighbouring entities of one type. S-, U- and E-, L-, M- are the prefixes of BIOES and
    BILOU. Equal neighbouring tags without a prefix are one entity. Where the tags of the file are bare prefixes
    (`are_bare`), the type of its entities is ENTITY.
    """
    found: list[str] = []
    inside = None  # the type of the entity that the next word may continue
    if bare:
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
