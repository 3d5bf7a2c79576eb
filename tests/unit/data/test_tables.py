"""The readers of the user's tables: what they accept, and the sentence for what they refuse."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.data.csv_tables import read_tsv
from pipeline.data.tables import column_names, read_rows
from pipeline.errors import UserError


def rows(path: Path, content: bytes, *columns: str) -> list[tuple[int, list]]:
    path.write_bytes(content)
    return [(row.line, [row.values[column] for column in columns]) for row in read_rows(path, columns=columns)]


def complaint(path: Path, content: bytes, *columns: str) -> str:
    with pytest.raises(UserError) as error:
        rows(path, content, *columns)
    return str(error.value)


def test_a_csv_row_is_numbered_by_the_line_where_it_begins(tmp_path):
    content = b'text,label\n"one\ntwo, ""three""",1\n\nfour,0\n'
    assert rows(tmp_path / "a.csv", content, "text", "label") == [(2, ['one\ntwo, "three"', "1"]), (5, ["four", "0"])]


@pytest.mark.parametrize("sign", [";", "|", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_csv_may_be_separated_by_another_sign_that_its_header_shows(tmp_path, sign, quote):
    content = f'{quote}text{quote}{sign}{quote}label{quote}\n"one{sign} ""two"",\nthree"{sign}1\nfour, five{sign}0\n'
    expected = [(2, [f'one{sign} "two",\nthree', "1"]), (4, ["four, five", "0"])]
    assert rows(tmp_path / "a.csv", content.encode(), "text", "label") == expected
    assert rows(tmp_path / "a.csv.gz", gzip.compress(content.encode()), "text", "label") == expected


@pytest.mark.parametrize("sign", [",", ";", "|", "\t"])
@pytest.mark.parametrize("names", [("text", "label"), ("text, long", "la|bel;")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_header_line_in_quotes_names_the_columns_whatever_separates_them(tmp_path, sign, names, mark):
    content = mark + f'"{names[0]}"{sign}"{names[1]}"\n"one"{sign}"1"\n'.encode()
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert column_names(path) == names
    assert rows(path, content, *names) == [(2, ["one", "1"])]


def test_a_header_line_that_no_sign_separates_is_refused_as_commas_read_it(tmp_path):
    (tmp_path / "a.csv").write_text('"text"^"label"\n')
    with pytest.raises(UserError, match=r"a\.csv:1: the row that begins here is not valid CSV"):
        column_names(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("text\nx\n")
    with pytest.raises(UserError, match=r"a\.csv: no row that names several columns"):
        column_names(tmp_path / "a.csv")


def test_commas_come_first_and_a_header_of_the_recipe_tells_the_separator(tmp_path):
    assert rows(tmp_path / "a.csv", b"a,b;c,c\n1,2;3,4\n", "a", "c") == [(2, ["1", "4"])]
    for line in ("x;y,1", "x;1", "x y\t1"):
        (tmp_path / "a.csv").write_text(line + "\n")
        assert list(read_rows(tmp_path / "a.csv", columns=["b"], header=["a", "b"])) == [(1, {"b": "1"})]


def test_a_separator_is_guessed_only_where_it_gives_all_columns(tmp_path):
    assert "a.csv:1: no column 'text'" in complaint(tmp_path / "a.csv", b"text;labels\nx;1\n", "text", "label")
    assert "a.csv:3: 3 fields" in complaint(tmp_path / "a.csv", b"text;label\nx;1\ny;z;1\n", "text", "label")
    assert "a.tsv:1: no column 'text'" in complaint(tmp_path / "a.tsv", b"text,label\nx,1\n", "text", "label")


def test_quotes_are_characters_in_tsv(tmp_path):
    content = b'text\tlabel\n"lone quote\t1\nsay ""x""\t0\n'
    assert rows(tmp_path / "a.tsv", content, "text") == [(2, ['"lone quote']), (3, ['say ""x""'])]


def test_a_tsv_that_was_written_as_a_csv_is_read_as_such(tmp_path):
    content = b'text\tlabel\n"He said ""no"" ."\t0\nplain\t1\n"so"\t1\n'
    assert rows(tmp_path / "a.tsv", content, "text") == [(2, ['He said "no" .']), (3, ["plain"]), (4, ["so"])]
    assert rows(tmp_path / "b.tsv", b'"text"\t"label"\n"x"\t"1"\n', "text", "label") == [(2, ["x", "1"])]
    assert column_names(tmp_path / "b.tsv") == ("text", "label")
    content = b'text\tlabel\n"He said ""no"" ."\t0\n"one\ntwo"\t1\n"tab\there"\t1\n'
    assert rows(tmp_path / "c.tsv", content, "text") == [(2, ['He said "no" .']), (3, ["one\ntwo"]), (5, ["tab\there"])]
    (tmp_path / "d.tsv").write_text('"Great."\nfine\n')  # line 1 is a text, whose quotes may be its own
    assert [values["text"] for _, values in read_rows(tmp_path / "d.tsv", columns=["text"], header=["text"])] == [
        '"Great."',
        "fine",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b'text\tlabel\nA "b" film\t1\n"He said ""no"" ."\t0\n',
            "a.tsv:3: a field is in quotes, as in a .csv, but the quotes in line 2 are characters of the text",
        ),
        (
            b'text\tlabel\n"one\ntwo"\t1\n',
            "a.tsv:2: 1 fields where the table has 2 columns; a file with",
        ),
    ],
)
def test_a_tsv_with_quotes_of_both_kinds_is_refused(tmp_path, content, says):
    assert says in complaint(tmp_path / "a.tsv", content, "text", "label")
    assert rows(tmp_path / "a.csv", content, "text", "label")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_byte_order_mark_and_crlf_change_nothing(tmp_path, ending):
    plain = {"csv": "a,b\nx,y\n", "tsv": "a\tb\nx\ty\n", "jsonl": '{"a": "x", "b": "y"}\n'}[ending]
    windows = b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()
    path = tmp_path / f"t.{ending}"
    assert rows(path, windows, "a", "b") == rows(path, plain.encode(), "a", "b")


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("ending", "compress"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zip", zipped)],
)
def test_compressed_tables_are_read(tmp_path, ending, compress):
    assert rows(tmp_path / f"t.csv.{ending}", compress(b"a,b\nx,y\n"), "b") == [(2, ["y"])]
    assert "cannot be read" in complaint(tmp_path / f"t.csv.{ending}", compress(b"a,b\nx,y\n" * 99)[:-9], "b")


def test_na_stays_text(tmp_path):
    assert rows(tmp_path / "t.csv", b"a,b\nNA,null\n", "a", "b") == [(2, ["NA", "null"])]


def test_odd_line_separators_are_characters_of_a_tsv_text(tmp_path):
    text = "one\u2028two\x85three\x0bfour\rfive"
    assert rows(tmp_path / "t.tsv", f"a\tb\n{text}\t1\n".encode(), "a") == [(2, [text])]


def test_a_field_may_be_longer_than_the_limit_of_the_csv_module(tmp_path):
    assert len(rows(tmp_path / "t.csv", b"a\n" + b"x" * 200_000, "a")[0][1][0]) == 200_000


def test_json_and_parquet_keep_their_scalars(tmp_path):
    assert rows(tmp_path / "t.jsonl", b'{"a": 1, "b": null}\n\n{"a": true, "b": 0.5}', "a", "b") == [
        (1, [1, None]),
        (3, [True, 0.5]),
    ]
    table = pa.table({"text": ["x", None], "unasked": [1, 2], "label": [3, 4]})
    pq.write_table(table, tmp_path / "t.parquet")
    read = list(read_rows(tmp_path / "t.parquet", columns=["text", "label"]))
    assert read == [(1, {"text": "x", "label": 3}), (2, {"text": None, "label": 4})]


def test_a_file_without_header_takes_the_names_it_is_given(tmp_path):
    (tmp_path / "t.txt").write_text("x\t1\n")
    assert list(read_tsv(tmp_path / "t.txt", columns=["b"], header=["a", "b"])) == [(1, {"b": "1"})]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("t.csv", b"texts,label\nx,1\n", "t.csv:1: no column 'text'; did you mean 'texts'?"),
        ("t.csv", b"text,label,label\nx,1,2\n", "t.csv:1: two columns are named 'label'"),
        ("t.csv", b"text,label\nx,1\ny,1,2\n", "t.csv:3: 3 fields where the table has 2 columns"),
        ("t.csv", b"text,label\nx\n", "t.csv:2: 1 fields"),
        ("t.tsv", b"text\tlabel\nx\t1\t2\n", "t.tsv:2: 3 fields"),
        ("t.csv", b"text,label\nx,1\n\xff,1\n", "t.csv:3: not UTF-8 (byte 0xff)"),
        ("t.csv", b'text,label\nx,1\n"never closed,1\ny,2\n', "t.csv:3: the row that begins here is not valid CSV"),
        ("t.csv", b"text,label\nx,1\ry,2\n", "t.csv:2: the row that begins here is not valid CSV"),
        ("t.csv", b"", "t.csv: is empty"),
        ("t.tsv", b"\xef\xbb\xbf", "t.tsv: is empty"),
        (
            "t.jsonl",
            b'{"text": "x", "label": 1}\n{"text": }\n',
            "t.jsonl:2: not valid JSON (Expecting value at character 10",
        ),
        ("t.jsonl", b'["x", 1]\n', "t.jsonl:1: not a JSON object"),
        (
            "t.jsonl",
            b'{"text": "x", "text": "y", "label": 1}\n',
            "t.jsonl:1: not valid JSON (the key 'text' stands twice",
        ),
        ("t.jsonl", b'{"text": "x", "labels": 1}\n', "t.jsonl:1: no column 'label'; did you mean 'labels'?"),
        ("t.jsonl", b'{"text": "\\ud800", "label": 1}\n', "t.jsonl:1: column 'text' holds half of a surrogate pair"),
        ("t.jsonl", b'{"text": ["x", "\\udc00"], "label": 1}\n', "t.jsonl:1: column 'text' holds half of a surrogate"),
        ("t.jsonl", b"[" * 100_000, "t.jsonl:1: not valid JSON"),
        ("t.parquet", b"text,label\n", "t.parquet: not a readable Parquet file"),
        ("t.xlsx", b"", "t.xlsx: unknown kind of table"),
        ("t.parquet.gz", b"", "t.parquet.gz: unknown kind of table"),
        ("t.gz", b"", "t.gz: unknown kind of table"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, name, content, part):
    assert part in complaint(tmp_path / name, content, "text", "label")


def test_a_parquet_file_without_the_column_is_refused(tmp_path):
    pq.write_table(pa.table({"sentence": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="no column 'sentences'; did you mean 'sentence'"):
        list(read_rows(tmp_path / "t.parquet", columns=["sentences"]))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "tsv.bz2", "jsonl.xz"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text('a,"\t\r\n\\{}:1', max_size=40).map(lambda text: text.encode()))
def test_any_bytes_give_rows_or_one_sentence(tmp_path, ending, content):
    try:
        for _, (value,) in rows(tmp_path / f"t.{ending}", content, "a"):
            json.dumps(value)
    except UserError as error:
        assert f"t.{ending}" in str(error)


@given(texts=st.lists(st.text(st.characters(exclude_characters="\r\n\t", exclude_categories=["Cs"])), max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_without_tab_or_line_end_survives_tsv(tmp_path, texts):
    assume(not any('""' in text[1:-1] for text in texts))
    content = "a\tb\n" + "".join(f"{text}\t1\n" for text in texts)
    assert [values for _, values in rows(tmp_path / "t.tsv", content.encode(), "a")] == [[text] for text in texts]


def test_a_file_without_a_header_line_takes_the_recipe_s_names(tmp_path: Path) -> None:
    (tmp_path / "sts.csv").write_text('"A plane, taking off.",An air plane.,5.0\n', encoding="utf-8")
    names = ("one", "two", "score")
    rows = list(read_rows(tmp_path / "sts.csv", columns=("score", "one"), header=names))
    assert [(row.line, row.values) for row in rows] == [(1, {"score": "5.0", "one": "A plane, taking off."})]
    with pytest.raises(UserError, match=r"task.header: no column 'three'"):
        list(read_rows(tmp_path / "sts.csv", columns=("three",), header=names))


def test_a_row_of_ten_thousand_columns_is_read(tmp_path: Path) -> None:
    names = [f"label {number}" for number in range(10_000)]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "one", **dict.fromkeys(names, 0)}))
    assert len(next(read_rows(path, columns=["text", *names])).values) == 10_001
