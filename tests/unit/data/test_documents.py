"""From files of text to documents, whole and in parts."""

import bz2
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.documents import file_parts, read_documents
from pipeline.errors import UserError

WIKITEXT = Path(__file__).parents[4] / "shared/data/wikitext-2/valid.txt"


PAGE = """<page><title>{title}</title><ns>{ns}</ns><id>1</id><revision><text>{text}</text></revision></page>"""


DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><sitename>W</sitename></siteinfo>
{pages}</mediawiki>"""


def documents(path: Path, content: str | bytes, *, column: str = "text") -> list[str]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_documents(path, column=column))


def test_a_blank_line_ends_a_document(tmp_path: Path) -> None:
    text = "\ufeff = Title = \r\n\r\nOne.\r\nTwo.\r\n  \r\n\r\nThree."
    assert documents(tmp_path / "a.txt", text) == ["= Title =", "One.\nTwo.", "Three."]


def test_text_may_be_compressed(tmp_path: Path) -> None:
    assert documents(tmp_path / "a.txt.bz2", bz2.compress(b"One.\n\nTwo.")) == ["One.", "Two."]


def test_a_row_is_a_document(tmp_path: Path) -> None:
    rows = [{"review": "One.\nTwo."}, {"review": " "}, {"review": "Drei, für alle"}]
    lines = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    assert documents(tmp_path / "a.jsonl", lines, column="review") == ["One.\nTwo.", "Drei, für alle"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(read_documents(tmp_path / "a.parquet", column="review")) == ["One.\nTwo.", "Drei, für alle"]


def test_a_wikipedia_page_is_a_document_of_its_prose(tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="the extra 'wikipedia' is not installed")
    pages = [
        ("Ant", 0, "'''Ants''' are [[insect|insects]] of the  family ''Formicidae''.{{cite}}\n== Life ==\n* They dig."),
        ("Emmet", 0, "#REDIRECT [[Ant]]"),
        ("Talk:Ant", 1, "Is this right?"),
    ]
    text = DUMP.format(pages="".join(PAGE.format(title=title, ns=ns, text=text) for title, ns, text in pages))
    expected = ["Ants are insects of the family Formicidae.\nThey dig."]
    assert documents(tmp_path / "dump.xml", text) == expected
    assert documents(tmp_path / "dump.xml-p1p9.bz2", bz2.compress(text.encode())) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\nna\xefve\n", r"a\.txt:2: not UTF-8 \(byte 0xef\)"),
        ("a.txt.bz2", b"not compressed", "cannot be read: Invalid data stream"),
        ("a.jsonl", b'{"text": "x"}\n{', r"a\.jsonl:2: not JSON; write one object a line"),
        ("a.jsonl", b"[1]", r"a\.jsonl:1: not a JSON object; write one"),
        ("a.jsonl", b'{"txt": "x"}', r"a\.jsonl:1: no 'text'; did you mean 'txt'"),
        ("a.jsonl", b'{"text": null}', r"a\.jsonl:1: 'text' is null, not text"),
        (
            "a.jsonl",
            b'{"text": "\\ud83d"}',
            r"a\.jsonl:1: 'text' holds half of a surrogate pair, which is no character",
        ),
        ("a.parquet", b"not parquet", r"a\.parquet: not a readable Parquet file"),
        ("a.pdf", b"", r"a\.pdf is no text that can be read: give \.txt"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        documents(tmp_path / name, content)
    assert "\n" not in str(raised.value)


def test_a_dump_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="the extra 'wikipedia' is not installed")
    with pytest.raises(UserError, match="is not a whole MediaWiki dump"):
        documents(tmp_path / "a.xml", "<html><p>x</p></html>")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"txt": ["x"]}, "no column 'text'; did you mean 'txt'"),
        ({"text": [1]}, "int64"),
        ({"text": ["x", None]}, "row 2"),
    ],
)
def test_a_parquet_column_that_is_no_text_is_named(tmp_path: Path, values: dict, message: str) -> None:
    pq.write_table(pa.table(values), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        list(read_documents(tmp_path / "a.parquet", column="text"))


@pytest.mark.skipif(not WIKITEXT.exists(), reason="../shared/data is not here")
def test_wikitext_is_read_section_by_section() -> None:
    sections = list(read_documents(WIKITEXT, column="text"))
    assert sections[0] == "= Homarus gammarus ="
    assert sections[2] == "= = Description = ="
    assert sum(len(section.split()) for section in sections) == len(WIKITEXT.read_text("utf-8").split())


PARAGRAPHS = [f"Paragraph {number} of a {'long ' * (number % 7)}text ." for number in range(300)]


WAYS_TO_END = {
    "documents of three lines": lambda n: "\n\n" if n % 3 == 2 else "\n",
    "a line a document": lambda n: "\n\n",
    "CRLF": lambda n: "\r\n\r\n" if n % 5 == 4 else "\r\n",
}


@pytest.mark.parametrize("size", [1, 7, 40, 1000, 5000, 10**6])
@pytest.mark.parametrize("ends", WAYS_TO_END)
def test_the_parts_of_a_text_are_the_whole(
    tmp_path: Path, ends: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("".join(text + WAYS_TO_END[ends](n) for n, text in enumerate(PARAGRAPHS)).encode())
    whole = list(read_documents(path, column="text"))
    monkeypatch.setattr("pipeline.data.documents.PART_BYTES", size)
    parts = file_parts(path)
    assert len(parts) == max(1, -(-path.stat().st_size // size))
    assert [text for part in parts for text in read_documents(path, column="text", part=part)] == whole


def test_a_text_without_a_blank_line_is_cut_at_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(PARAGRAPHS))
    monkeypatch.setattr("pipeline.data.documents.PART_BYTES", 1000)
    monkeypatch.setattr("pipeline.data.documents.LONGEST", 100)
    texts = [text for part in file_parts(path) for text in read_documents(path, column="text", part=part)]
    assert "\n".join(texts) == path.read_text()
    assert len(texts) > len(file_parts(path)) > 5


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_parts_of_rows_are_the_whole(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(json.dumps({"text": text}) for text in PARAGRAPHS))
    else:
        pq.write_table(pa.table({"text": PARAGRAPHS}), path, row_group_size=20)
    monkeypatch.setattr("pipeline.data.documents.PART_BYTES", 900)
    parts = file_parts(path)
    assert len(parts) > 4
    assert [text for part in parts for text in read_documents(path, column="text", part=part)] == PARAGRAPHS


def test_an_error_in_a_later_part_names_the_line_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps({"text": text}) for text in PARAGRAPHS[:200]] + ["{"]))
    monkeypatch.setattr("pipeline.data.documents.PART_BYTES", 2000)
    with pytest.raises(UserError, match=r"a\.jsonl:201: not JSON"):
        list(read_documents(path, column="text", part=file_parts(path)[-1]))
    path = tmp_path / "a.txt"
    path.write_bytes("\n\n".join(PARAGRAPHS[:100]).encode() + b"\n\xff")
    with pytest.raises(UserError, match=r"a\.txt:200: not UTF-8"):
        list(read_documents(path, column="text", part=file_parts(path)[-1]))
