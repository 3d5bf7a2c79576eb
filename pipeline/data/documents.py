"""Documents of unlabelled text, one string each, streamed from .txt, .jsonl, .parquet and Wikipedia dumps.

All but .parquet may be compressed (see `text_files`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.data import parquet
from pipeline.data.text_files import (
    check_characters,
    format_suffix,
    is_compressed,
    lines_before,
    open_bytes,
    read_lines,
)
from pipeline.errors import UserError, nearest, require

KINDS = (".txt", ".jsonl", ".xml", ".parquet")
PAGES = re.compile(r"-p\d.*")  # of a part of a dump: pages.xml-p10p30302.bz2
PART_BYTES = 1 << 26  # of a large file: the unit of work, and of resuming
LONGEST = 1_000_000  # characters of a .txt document; a longer one is cut, so that files without blank lines stream too

EMPHASIS = re.compile("'{2,5}")
LIST_MARK = re.compile(r"[*#:;]+\s*")
NOT_PROSE = re.compile(r"=+.*=+|[|!{}].*|__\w+__")  # headings, remains of tables and templates, magic words


def file_parts(path: Path) -> list[range]:
    """Cut a large file into ranges that are read independently: bytes of .txt and .jsonl, row groups of .parquet.

    A compressed file and a Wikipedia dump cannot be cut: each is one part.
    """
    if document_kind(path) == ".parquet":
        return _row_groups(path)
    size = path.stat().st_size
    if document_kind(path) == ".xml" or is_compressed(path) or size <= PART_BYTES:
        return [range(size)]
    return [range(begin, min(size, begin + PART_BYTES)) for begin in range(0, size, PART_BYTES)]


def read_documents(path: Path, *, column: str, part: range | None = None) -> Iterator[str]:
    """The documents of one file, in its order; empty ones are left out.

    - .txt: each line is a paragraph; a blank line ends a document.
    - .jsonl, .parquet: each row is a document, its text in `column`.
    - .xml: a Wikipedia dump (MediaWiki); each page is a document, each paragraph a line. Redirects are left out.

    Args: part: one of `file_parts`. The parts in their order give the same documents as the whole file,
            but for documents that are longer than LONGEST.
    Raises: UserError, with file and line where there is one, for a file that cannot be read.
    """
    kind = document_kind(path)
    if kind == ".parquet":
        documents = _parquet(path, column, part)
    elif kind == ".xml":
        documents = _wikipedia(path)
    else:
        part = None if part is None or len(part) == path.stat().st_size else part
        documents = _text(path, part) if kind == ".txt" else _json_lines(path, column, part)
    return (document for document in documents if document.strip())


def check_beginning(path: Path, *, column: str) -> None:
    """Read the first document of a file, no more. Raises UserError where it cannot be read."""
    if document_kind(path) != ".xml":  # gensim takes a second to import
        next(iter(read_documents(path, column=column)), None)
        return
    with open_bytes(path) as opened:
        beginning = opened.read(4096)
    require(b"<mediawiki" in beginning, f"{path} is not a MediaWiki dump: it does not begin with <mediawiki>")


def document_kind(path: Path) -> str:
    """.txt, .jsonl, .parquet or .xml, by the file's name. Raises UserError for another one."""
    kind = PAGES.sub("", format_suffix(path))
    if kind not in KINDS or (kind == ".parquet" and is_compressed(path)):
        raise UserError(f"{path} is no text that can be read: give .txt, .jsonl, .parquet or a Wikipedia dump .xml.bz2")
    return kind


def _text(path: Path, part: range | None) -> Iterator[str]:
    paragraphs: list[str] = []
    size = 0
    begin, end = _line_bounds(path, part, blank=True)
    for _, line in read_lines(path, begin=begin, end=end):
        if line.strip():
            paragraphs.append(line.strip())
            size += len(line.rstrip("\r\n"))
        if paragraphs and (not line.strip() or size > LONGEST):
            yield "\n".join(paragraphs)
            paragraphs, size = [], 0
    yield "\n".join(paragraphs)


def _json_lines(path: Path, column: str, part: range | None) -> Iterator[str]:
    begin, end = _line_bounds(path, part, blank=False)
    for number, line in read_lines(path, begin=begin, end=end):
        if not line.strip():
            continue
        try:
            document = _json_document(line, column)
        except ValueError as error:
            raise UserError(f"{path}:{lines_before(path, begin) + number}: {error}") from None
        yield document


def _json_document(line: str, column: str) -> str:
    """Raises ValueError with the rest of the sentence."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON; write one object a line") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object; write one object a line")
    if column not in row:
        raise ValueError(f"no '{column}'{nearest(column, row)} (prepare_corpus.column)")
    if not isinstance(row[column], str):
        raise ValueError(f"'{column}' is {json.dumps(row[column])[:40]}, not text")
    check_characters(row[column], f"'{column}'")
    return row[column]


def _row_groups(path: Path) -> list[range]:
    """Consecutive row groups of about PART_BYTES together."""
    parts, begin, size = [], 0, 0
    groups = parquet.row_group_bytes(path)
    for group, group_bytes in enumerate(groups):
        size += group_bytes
        if size >= PART_BYTES or group == len(groups) - 1:
            parts.append(range(begin, group + 1))
            begin, size = group + 1, 0
    return parts


def _parquet(path: Path, column: str, part: range | None) -> Iterator[str]:
    schema, remedy = parquet.read_schema(path), "(prepare_corpus.column)"
    if column not in schema.names:
        raise UserError(f"{path}: no column '{column}'{nearest(column, schema.names)} {remedy}")
    if not parquet.is_text(column_type := schema.field(column).type):
        raise UserError(f"{path}: column '{column}' holds {column_type}, not text {remedy}")
    for number, row in parquet.read_rows(path, columns=[column], row_groups=part):
        if row[column] is None:
            raise UserError(f"{path}, row {number}: '{column}' is null, not text")
        yield row[column]


def _wikipedia(path: Path) -> Iterator[str]:
    try:
        from gensim.corpora.wikicorpus import extract_pages, filter_wiki  # noqa: PLC0415 - an extra, which few need
    except ImportError:
        raise UserError(f"{path} is a Wikipedia dump, which gensim parses: pip install '.[wikipedia]'") from None
    try:
        with open_bytes(path) as opened:
            for _title, text, _page in extract_pages(opened, filter_namespaces=["0"]):  # pyright: ignore[reportArgumentType]
                if not text.lstrip()[:9].upper().startswith("#REDIRECT"):
                    yield clean_page(filter_wiki(text))
    except (SyntaxError, ValueError, AttributeError) as error:  # ParseError is a SyntaxError
        raise UserError(f"{path} is not a whole MediaWiki dump: {error}") from None


def clean_page(text: str) -> str:
    """The prose of a page whose markup gensim has removed: one paragraph a line, case and punctuation kept."""
    lines = (" ".join(EMPHASIS.sub("", line).split()) for line in text.splitlines())
    prose = (LIST_MARK.sub("", line, count=1) if LIST_MARK.match(line) else line for line in lines)
    return "\n".join(line for line in prose if line and not NOT_PROSE.fullmatch(line))


def _line_bounds(path: Path, part: range | None, *, blank: bool) -> tuple[int, int | None]:
    """Where the documents of a part begin and end: a document belongs to the part in which it begins.

    Args: blank: documents are separated by blank lines; else every line is one.
    """
    if part is None:
        return 0, None
    with open_bytes(path) as opened:
        return _document_start(opened, part.start, blank=blank), _document_start(opened, part.stop, blank=blank)


def _document_start(opened: IO[bytes], offset: int, *, blank: bool) -> int:
    """Where a document begins at or after an offset: after the next blank line, or at most LONGEST bytes later."""
    opened.seek(max(0, offset - 1))
    if offset == 0 or not opened.readline():
        return opened.tell()
    while blank and opened.tell() - offset < LONGEST and (line := opened.readline()) and line.strip():
        pass
    return opened.tell()
