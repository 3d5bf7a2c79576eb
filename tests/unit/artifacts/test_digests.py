"""Content digests: right, remembered, and never stale."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from pipeline.artifacts.digests import DigestBook
from pipeline.errors import UserError

SOME_TIME = 1_700_000_000_000_000_000


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def put(path: Path, text: str, *, time_ns: int = SOME_TIME) -> Path:
    """Writes a file in place, with a modification time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(time_ns, time_ns))
    return path


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    assert DigestBook(tmp_path / "book").file(put(tmp_path / "a", "hello")) == sha256("hello")


def test_a_remembered_file_is_not_read_again(tmp_path: Path) -> None:
    file, book = put(tmp_path / "a", "hello"), DigestBook(tmp_path / "book")
    book.file(file)
    book.save()
    noted = (tmp_path / "book").read_text().replace(sha256("hello"), "what the book says")
    (tmp_path / "book").write_text(noted)
    assert DigestBook(tmp_path / "book").file(file) == "what the book says"
    assert DigestBook(tmp_path / "book").file(file, fresh=True) == sha256("hello")


@pytest.mark.parametrize("change", ["size", "time", "inode", "content alone"])
def test_a_changed_file_is_read_again(tmp_path: Path, change: str) -> None:
    file, book = put(tmp_path / "a", "hello"), DigestBook(tmp_path / "book")
    book.file(file)
    time.sleep(0.05)  # the system's clock of changes ticks every few milliseconds
    if change == "inode":
        put(tmp_path / "other", "HELLO").replace(file)
    else:
        put(file, "HELLO!" if change == "size" else "HELLO", time_ns=SOME_TIME + (change == "time"))
    assert book.file(file) == sha256(file.read_text())


def test_a_book_without_news_is_not_written(tmp_path: Path) -> None:
    file, book = put(tmp_path / "a", "hello"), DigestBook(tmp_path / "book")
    book.file(file)
    book.save()
    before = (tmp_path / "book").stat()
    again = DigestBook(tmp_path / "book")
    again.file(file, fresh=True)
    again.save()
    assert (tmp_path / "book").stat() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "book"]


def test_a_store_that_may_only_be_read_is_used_without_a_book(tmp_path: Path) -> None:
    book = DigestBook(Path("/sys/book"))  # nobody may write there
    assert book.file(put(tmp_path / "a", "hello")) == sha256("hello")
    book.save()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}', "\0"])
def test_a_corrupt_book_is_an_empty_one(tmp_path: Path, content: str) -> None:
    book = put(tmp_path / "book", content)
    assert DigestBook(book).file(put(tmp_path / "a", "hello")) == sha256("hello")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing cannot be read"):
        DigestBook(tmp_path / "book").file(tmp_path / "nothing")
