"""Several labels of one text: a list, a text with a sign between the labels, or a column of 0 and 1 for each label."""

from typing import Any

from pipeline.data.examples import EMPTY_LISTS, Columns, labels_in_text, parse_label, short_repr
from pipeline.errors import nearest

ABSENT, PRESENT = (0, False, "0", "0.0", "false", "False"), (1, True, "1", "1.0", "true", "True")


def parse_labels(value: Any, columns: Columns) -> tuple[str, ...]:
    """The names of a row's labels, which may be none.

    Numbers are looked up in the names that the recipe gives, unless they are such names themselves.

    Args: value: of the label's column; where each label has a column, their values by name.
    Raises: ValueError with half a sentence.
    """
    if columns.label_columns:
        return tuple(column for column in columns.label_columns if _is_present(value[column], column))
    names = [_name(label, columns) for label in _items(value, columns)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"column '{columns.label}' holds the label '{name}' twice; name each once")
    return tuple(names)


def _items(value: Any, columns: Columns) -> list[Any]:
    """The labels as they are written."""
    column, sign = columns.label, columns.label_separator
    if isinstance(value, list):
        return value
    if sign and type(value) is int:  # a file of numbers, in which a row with one label holds no sign
        return [value]
    if not isinstance(value, str):
        shown = short_repr(value)
        raise ValueError(f"column '{column}' holds {shown}, not a list of labels; for no label write an empty list")
    if sign:
        return [item.strip() for item in value.split(sign)] if value.strip() else []
    found = labels_in_text(value, column)
    if not found and value.strip() not in ("", *EMPTY_LISTS):
        raise ValueError(
            f"column '{column}' holds {short_repr(value)}, not a list of labels; name the sign between them in"
            " task.label_separator, such as '|'"
        )
    return found


def _name(label: Any, columns: Columns) -> str:
    """One label's name."""
    if label == "":
        raise ValueError(f"column '{columns.label}' has an empty label between two signs; remove it")
    name, known = parse_label(label, columns), columns.known_labels
    if not known or name in known:
        return name
    if name.isdecimal() and int(name) < len(known):
        return known[int(name)]
    raise ValueError(f"column '{columns.label}' holds the unknown label '{name}'{nearest(name, known)}")


def _is_present(value: Any, column: str) -> bool:
    value = value.strip() if isinstance(value, str) else value
    if value in PRESENT:
        return True
    if value in ABSENT:
        return False
    raise ValueError(f"column '{column}' of task.label_columns holds {short_repr(value)}, not 0 or 1")
