"""Documents of unlabelled text, one string each, streamed from .txt, .jsonl, .parquet and Wikipedia dumps.

Text and JSON lines and dumps may be compressed (.gz, .bz2, .xz).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.data.tables import OPENERS, READ_FAILURES
from pipeline.errors import UserError, nearest

KIND = re.compile(r"\.(?:(txt|jsonl|xml)(?:-p\d[^.]*)?(?:\.gz|\.bz2|\.xz)?|(parquet))$")  # dumps: .xml-p10p30302.bz2
PART_BYTES = 1 << 26  # of a large file: the unit of work, and of resuming
LONGEST = 1_000_000  # characters: a .txt document is cut here, so that a file without blank lines streams too

EMPHASIS = re.compile("'{2,5}")
LIST_MARK = re.compile(r"[*#:;]+\s*")
NOT_PROSE = re.compile(r"=+.*=+|[|!{}].*|__\w+__")  # headings, rests of tables and templates, magic words


def parts_of(path: Path) -> list[range]:
    """Cut a large file into ranges that are read independently: bytes of .txt and .jsonl, row groups of .parquet.

    What is compressed, and a dump of Wikipedia, is one part: give those as several files.
    """
    if document_kind(path) == "parquet":
        return _row_groups(path)
    size = path.stat().st_size
    if document_kind(path) == "xml" or path.suffix in OPENERS or size <= PART_BYTES:
        return [range(size)]
    return [range(begin, min(size, begin + PART_BYTES)) for begin in range(0, size, PART_BYTES)]


def read_documents(path: Path, *, column: str, part: range | None = None) -> Iterator[str]:
    """The documents of one file, in its order; empty ones are left out.

    - .txt: UTF-8, a paragraph a line; a blank line ends a document.
    - .jsonl, .parquet: a row is a document, its text in `column`.
    - .xml: a dump of Wikipedia (MediaWiki); a page is a document, its paragraphs on lines. Redirects are left out.

    Args: part: one of `parts_of`; the documents of all parts, in turn, are those of the file.
    Raises: UserError, with file and line where there is one, for what cannot be read.
    """
    kind = document_kind(path)
    span = None if part is None or (kind != "parquet" and len(part) == path.stat().st_size) else part
    documents = {
        "txt": lambda: _text(path, span),
        "jsonl": lambda: _json_lines(path, column, span),
        "parquet": lambda: _parquet(path, column, span),
        "xml": lambda: _wikipedia(path),
    }[kind]()
    return (document for document in documents if document.strip())


def check_beginning(path: Path, *, column: str) -> None:
    """Raises UserError where not even the first document of a file can be read. Costs no more than that document."""
    if document_kind(path) != "xml":  # gensim takes a second to import
        next(iter(read_documents(path, column=column)), None)
        return
    try:
        with _open(path) as opened:
            beginning = opened.read(4096)
    except READ_FAILURES as error:
        raise UserError(f"{path} cannot be read to its end: {error}") from None
    if b"<mediawiki" not in beginning:
        raise UserError(f"{path} is not a MediaWiki dump: it does not begin with <mediawiki>")


def document_kind(path: Path) -> str:
    """txt, jsonl, parquet or xml, by the file's name. Raises UserError for another one."""
    kind = KIND.search(path.name)
    if not kind:
        raise UserError(f"{path} is no text that can be read: give .txt, .jsonl, .parquet or a Wikipedia dump .xml.bz2")
    return kind[1] or kind[2]


def _text(path: Path, span: range | None) -> Iterator[str]:
    paragraphs: list[str] = []
    size = 0
    for _, line in _lines(path, span, blank=True):
        if line.strip():
            paragraphs.append(line.strip())
            size += len(line)
        if paragraphs and (not line.strip() or size > LONGEST):
            yield "\n".join(paragraphs)
            paragraphs, size = [], 0
    yield "\n".join(paragraphs)


def _json_lines(path: Path, column: str, span: range | None) -> Iterator[str]:
    for within, line in _lines(path, span, blank=False):
        if not line.strip():
            continue
        number = _Line(path, span, within)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}:{number} is not JSON: write one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number} is not a JSON object: write one object a line")
        if column not in row:
            raise UserError(f"{path}:{number} has no '{column}'{nearest(column, row)} (prepare_corpus.column)")
        if not isinstance(row[column], str):
            raise UserError(f"{path}:{number}: '{column}' is {json.dumps(row[column])[:40]}, not text")
        yield row[column]


def _row_groups(path: Path) -> list[range]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        metadata = pq.ParquetFile(path).metadata
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from None
    parts, begin, size = [], 0, 0
    for group in range(metadata.num_row_groups):
        size += metadata.row_group(group).total_byte_size
        if size >= PART_BYTES or group == metadata.num_row_groups - 1:
            parts.append(range(begin, group + 1))
            begin, size = group + 1, 0
    return parts


def _parquet(path: Path, column: str, span: range | None) -> Iterator[str]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            known = nearest(column, file.schema_arrow.names)
            raise UserError(f"{path} has no column '{column}'{known} (prepare_corpus.column)")
        kind = file.schema_arrow.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(f"{path}: column '{column}' holds {kind}, not text (prepare_corpus.column)")
        groups = range(file.num_row_groups) if span is None else span
        row = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
        for batch in file.iter_batches(batch_size=1024, columns=[column], row_groups=list(groups)):
            for text in batch.column(0).to_pylist():
                row += 1
                if text is None:
                    raise UserError(f"{path}, row {row}: '{column}' is null, not text")
                yield text
    except (pa.ArrowException, ValueError, OSError) as error:  # a name in it may not be UTF-8
        raise UserError(f"{path} cannot be read as Parquet: {error}") from None


def _wikipedia(path: Path) -> Iterator[str]:
    try:
        from gensim.corpora.wikicorpus import extract_pages, filter_wiki  # noqa: PLC0415
    except ImportError:
        raise UserError(f"{path} is a Wikipedia dump, which gensim parses: pip install '.[wikipedia]'") from None
    try:
        with _open(path) as opened:
            for _title, text, _page in extract_pages(opened, filter_namespaces=["0"]):  # pyright: ignore[reportArgumentType]
                if not text.lstrip()[:9].upper().startswith("#REDIRECT"):
                    yield clean_page(filter_wiki(text))
    except (SyntaxError, ValueError, AttributeError, *READ_FAILURES) as error:  # ParseError is a SyntaxError
        raise UserError(f"{path} is not a whole MediaWiki dump: {error}") from None


def clean_page(text: str) -> str:
    """The prose of a page whose markup gensim has removed: a line a paragraph, case and punctuation kept."""
    lines = (" ".join(EMPHASIS.sub("", line).split()) for line in text.splitlines())
    prose = (LIST_MARK.sub("", line, count=1) if LIST_MARK.match(line) else line for line in lines)
    return "\n".join(line for line in prose if line and not NOT_PROSE.fullmatch(line))


def _lines(path: Path, span: range | None, *, blank: bool) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without line ends and byte-order mark; those that begin in a span of bytes.

    Args: blank: the span begins and ends after a blank line.
    """
    try:
        with _open(path) as opened:
            end = None if span is None else _boundary(opened, span.stop, blank=blank)
            place = 0 if span is None else _boundary(opened, span.start, blank=blank)
            if place:
                opened.seek(place)
            for number, line in enumerate(opened, start=1):
                if end is not None and place >= end:
                    return
                place += len(line)
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path}:{_Line(path, span, number)} is not UTF-8 (byte {error.start + 1}): convert the file"
                    ) from None
                yield number, text.rstrip("\r\n")
    except READ_FAILURES as error:
        raise UserError(f"{path} cannot be read to its end: {error}") from None


def _boundary(opened: IO[bytes], offset: int, *, blank: bool) -> int:
    """Where a document begins at or after an offset: after the next blank line, or at most LONGEST bytes on a line."""
    opened.seek(max(0, offset - 1))
    if offset == 0 or not opened.readline():
        return opened.tell()
    while blank and opened.tell() - offset < LONGEST and (line := opened.readline()) and line.strip():
        pass
    return opened.tell()


class _Line(NamedTuple):
    """A line of a span, which prints as its number in the file; counting the lines before costs reading them."""

    path: Path
    span: range | None
    within: int

    def __str__(self) -> str:
        before = 0
        if self.span:
            with self.path.open("rb") as opened:
                blank = document_kind(self.path) == "txt"
                left = _boundary(opened, self.span.start, blank=blank)
                opened.seek(0)
                while left > 0 and (chunk := opened.read(min(left, 1 << 20))):
                    before += chunk.count(b"\n")
                    left -= len(chunk)
        return str(before + self.within)


def _open(path: Path) -> IO[bytes]:
    return OPENERS.get(path.suffix, open)(path, "rb")
