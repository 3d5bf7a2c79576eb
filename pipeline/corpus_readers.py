"""Documents of unlabelled text, one string each, streamed from .txt, .jsonl, .parquet and Wikipedia dumps.

Text and JSON lines and dumps may be compressed (.gz, .bz2, .xz).
"""

import bz2
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.errors import UserError, nearest

OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)  # gzip and bz2 raise OSErrors
KIND = re.compile(r"\.(?:(txt|jsonl|xml)(?:-p\d[^.]*)?(?:\.gz|\.bz2|\.xz)?|(parquet))$")  # dumps: .xml-p10p30302.bz2
LONGEST = 1_000_000  # characters: a .txt document is cut here, so that a file without blank lines streams too

EMPHASIS = re.compile("'{2,5}")
LIST_MARK = re.compile(r"[*#:;]+\s*")
NOT_PROSE = re.compile(r"=+.*=+|[|!{}].*|__\w+__")  # headings, rests of tables and templates, magic words


def read_documents(path: Path, *, column: str) -> Iterator[str]:
    """The documents of one file, in its order; empty ones are left out.

    - .txt: UTF-8, a paragraph a line; a blank line ends a document.
    - .jsonl, .parquet: a row is a document, its text in `column`.
    - .xml: a dump of Wikipedia (MediaWiki); a page is a document, its paragraphs on lines. Redirects are left out.

    Raises: UserError, with file and line where there is one, for what cannot be read.
    """
    documents = {
        "txt": lambda: _text(path),
        "jsonl": lambda: _json_lines(path, column),
        "parquet": lambda: _parquet(path, column),
        "xml": lambda: _wikipedia(path),
    }[document_kind(path)]()
    return (document for document in documents if document.strip())


def check_beginning(path: Path, *, column: str) -> None:
    """Raises UserError where not even the first document of a file can be read. Costs no more than that document."""
    if document_kind(path) != "xml":  # gensim takes a second to import
        next(iter(read_documents(path, column=column)), None)
        return
    try:
        with _open(path) as opened:
            beginning = opened.read(4096)
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read to its end: {error}") from None
    if b"<mediawiki" not in beginning:
        raise UserError(f"{path} is not a MediaWiki dump: it does not begin with <mediawiki>")


def document_kind(path: Path) -> str:
    """txt, jsonl, parquet or xml, by the file's name. Raises UserError for another one."""
    kind = KIND.search(path.name)
    if not kind:
        raise UserError(f"{path} is no text that can be read: give .txt, .jsonl, .parquet or a Wikipedia dump .xml.bz2")
    return kind[1] or kind[2]


def _text(path: Path) -> Iterator[str]:
    paragraphs: list[str] = []
    size = 0
    for _, line in _lines(path):
        if line.strip():
            paragraphs.append(line.strip())
            size += len(line)
        if paragraphs and (not line.strip() or size > LONGEST):
            yield "\n".join(paragraphs)
            paragraphs, size = [], 0
    yield "\n".join(paragraphs)


def _json_lines(path: Path, column: str) -> Iterator[str]:
    for number, line in _lines(path):
        if not line.strip():
            continue
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


def _parquet(path: Path, column: str) -> Iterator[str]:
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
        row = 0
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
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
    except (SyntaxError, ValueError, AttributeError, *DAMAGED) as error:  # ParseError is a SyntaxError
        raise UserError(f"{path} is not a whole MediaWiki dump: {error}") from None


def clean_page(text: str) -> str:
    """The prose of a page whose markup gensim has removed: a line a paragraph, case and punctuation kept."""
    lines = (" ".join(EMPHASIS.sub("", line).split()) for line in text.splitlines())
    prose = (LIST_MARK.sub("", line, count=1) if LIST_MARK.match(line) else line for line in lines)
    return "\n".join(line for line in prose if line and not NOT_PROSE.fullmatch(line))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without line ends and byte-order mark."""
    try:
        with _open(path) as opened:
            for number, line in enumerate(opened, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path}:{number} is not UTF-8 (byte {error.start + 1}): convert the file"
                    ) from None
                yield number, text.rstrip("\r\n")
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read to its end: {error}") from None


def _open(path: Path) -> IO[bytes]:
    return OPENERS.get(path.suffix, open)(path, "rb")
