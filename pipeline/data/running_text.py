"""Whether a file without tags holds running text, where words with their tags may stand in CoNLL."""

import contextlib
from itertools import islice
from pathlib import Path

from pipeline.data.examples import Columns
from pipeline.data.tables import read_rows
from pipeline.data.tags import look_like_tags
from pipeline.data.text_files import format_suffix, read_lines
from pipeline.errors import UserError

FIRST_ROWS = 20


def is_table_of_texts(path: Path, columns: Columns) -> bool:
    """Whether a .tsv has the column of the texts, with more than a word in some of its first rows."""
    (column,) = columns.texts
    with contextlib.suppress(UserError):
        rows = read_rows(path, columns=[column], header=columns.header) if format_suffix(path) == ".tsv" else iter(())
        return any(" " in row.values[column].strip() for row in islice(rows, FIRST_ROWS))
    return False


def is_running_text(path: Path) -> bool:
    """Whether lines are texts: they do not have as many words each, or no blank line ends a sentence.

    Not where there is a tab, where each line is one word, or where each line ends in a tag.
    """
    lines = [line.strip() for _, line in read_lines(path)]
    fields = [line.split() for line in lines if line and not line.startswith(("# ", "-DOCSTART-"))]
    widths = {len(words) for words in fields}
    if any("\t" in line for line in lines) or not fields or look_like_tags(words[-1] for words in fields):
        return False
    return max(widths) > 1 and (len(widths) > 1 or "" not in lines[:-1])
