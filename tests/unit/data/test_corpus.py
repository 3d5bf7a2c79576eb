"""From files of text to documents, from documents to blocks, from blocks to shards and back."""

import bz2
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from pipeline.data.corpus import Corpus, Counts, blocks_of, write_shards
from pipeline.data.documents import file_parts, read_documents
from pipeline.errors import UserError

WIKITEXT = Path(__file__).parents[4] / "shared/data/wikitext-2/valid.txt"
CLS, SEP = 1, 2

PAGE = """<page><title>{title}</title><ns>{ns}</ns><id>1</id><revision><text>{text}</text></revision></page>"""
DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><sitename>W</sitename></siteinfo>
{pages}</mediawiki>"""


def documents(path: Path, content: str | bytes, *, column: str = "text") -> list[str]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_documents(path, column=column))


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """A word a token: 'w0' is 4, 'w1' is 5, ..."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(100))]
    model = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=model, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )


def words(first: int, count: int) -> str:
    return " ".join(f"w{i}" for i in range(first, first + count))


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


def test_blocks_never_cross_documents(tokenizer: PreTrainedTokenizerFast) -> None:
    blocks = list(blocks_of([words(0, 8), words(10, 3)], tokenizer, length=6, shortest=3))
    assert [block.tolist() for block in blocks] == [
        [CLS, 4, 5, 6, 7, SEP],
        [CLS, 8, 9, 10, 11, SEP],
        [CLS, 14, 15, 16, SEP],
    ]


def test_a_tail_under_sixteen_tokens_is_dropped(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [words(0, 30 + 14), words(0, 30 + 13), words(0, 13)]
    assert [len(block) for block in blocks_of(texts, tokenizer, length=32)] == [32, 16, 32]


def test_a_special_token_in_the_text_is_only_text(tokenizer: PreTrainedTokenizerFast) -> None:
    (block,) = blocks_of(["w0 [SEP] w1"], tokenizer, length=16, shortest=3)
    assert np.count_nonzero(block == SEP) == 1


def test_documents_are_read_as_blocks_are_taken(tokenizer: PreTrainedTokenizerFast) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "w0 " * 300_000

    assert next(blocks_of(endless(), tokenizer, length=32)).tolist() == [CLS, *[4] * 30, SEP]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_shards_give_back_every_block(tmp_path: Path, vocab_size: int, dtype: type) -> None:
    random = np.random.default_rng(0)
    blocks = [random.integers(vocab_size, size=length) for length in random.integers(16, 33, size=10)]
    counts = write_shards(iter(blocks), tmp_path, shard_blocks=4, vocab_size=vocab_size)
    corpus = Corpus(tmp_path)
    assert counts == Counts(blocks=10, tokens=sum(map(len, blocks)), shards=3)
    assert np.load(tmp_path / "tokens-00000.npy").dtype == dtype
    assert len(corpus) == 10
    assert corpus.lengths.tolist() == [len(block) for block in blocks]
    assert all(np.array_equal(corpus[i], block) and corpus[i].dtype == np.int64 for i, block in enumerate(blocks))
    with pytest.raises(IndexError):
        corpus[10]


def test_the_same_blocks_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_shards((np.arange(16 + i) for i in range(5)), tmp_path / folder, shard_blocks=2, vocab_size=100)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("a", "b")]
    assert len(contents[0]) == 6
    assert contents[0] == contents[1]


def test_a_folder_without_blocks_is_no_corpus(tmp_path: Path) -> None:
    assert write_shards([], tmp_path, shard_blocks=4, vocab_size=100) == Counts(blocks=0, tokens=0, shards=0)
    with pytest.raises(UserError, match="holds no corpus"):
        Corpus(tmp_path)


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
