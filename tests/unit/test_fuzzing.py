"""No bytes give a traceback: readers and the recipe loader end with what they read, or with one sentence."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.config.data import Task
from pipeline.config.recipe_file import load_recipe, parse_overrides
from pipeline.data.documents import check_beginning, read_documents
from pipeline.data.word_vectors import read_vectors
from pipeline.errors import UserError
from pipeline.models.json_files import CONFIG, TOKENIZER_CONFIG, check_index, check_tokenizer_files
from pipeline.models.saved_model import model_shape, tokenizer_vocabulary
from pipeline.tasks.labelled_data import read_task

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = ["classification", "regression"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(
    ["text", "label", ",", "\t", '"', "\n", "\r", "\0", "\ufeff", "{", "}", ":", "1", "nan", "é", " "]
)
soup = st.lists(words | st.text(max_size=3), max_size=30).map(lambda parts: "".join(parts).encode("utf-8", "replace"))
anything = st.binary(max_size=60) | soup
tables = st.builds(bytes.__add__, st.sampled_from([b"", b"text,label\n", b"text\tlabel\n"]), anything)
json_rows = st.lists(
    st.fixed_dictionaries({}, optional={"text": json_values, "label": json_values, "other": json_values}), max_size=4
).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())

yaml_scalars = st.sampled_from(
    ["1", "x", "~", "2001-99-99", "0x", "1e999", "!!int x", "!!python/name:os.system", "*a", "&a b",
     "!!binary ä", "9" * 5000, ".nan", "<<", "[", "]", "{", "}", "|", ">", "'", '"', "%", "@", "- ",
     "? ", "1:2:3", "0b2", "!!set {a}", "!!timestamp x"]
)  # fmt: skip
keys = st.sampled_from(
    [
        "backbone",
        "task",
        "student",
        "run",
        "base",
        "name",
        "seed",
        "layers",
        "train",
        "checksums",
        "1",
        "~",
        "<<",
        "[a]",
    ]
)
yaml_lines = st.lists(
    st.builds("{}{}: {}".format, st.sampled_from(["", "  ", "    "]), keys, yaml_scalars | json_values.map(json.dumps)),
    max_size=8,
).map("\n".join)


def ends_well(read, path: Path) -> None:
    """What a reader says against a file is one line, and a UserError."""
    with contextlib.suppress(UserError):
        try:
            read(path)
        except UserError as error:
            assert "\n" not in str(error)
            raise


def as_task(kind: Any) -> Callable[[Path], Any]:
    return lambda path: read_task(Task(kind=kind), {"train": (path,)})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.csv.gz", "rows.csv.bz2", "rows.csv.xz"])
@FUZZ
@given(content=tables | json_rows)
@example(content=b'{"text": "a", "label": ' + b"9" * 5000 + b"}")
def test_a_table_of_any_bytes(tmp_path: Path, name: str, kind: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    ends_well(as_task(kind), tmp_path / name)


@FUZZ
@given(columns=st.dictionaries(st.sampled_from(["text", "label", "x"]), st.lists(json_values, min_size=2, max_size=2)))
def test_a_parquet_table_of_any_values(tmp_path: Path, columns: dict) -> None:
    try:
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    except (pa.ArrowException, OverflowError):  # what Arrow cannot hold no file holds
        return
    ends_well(as_task("classification"), tmp_path / "rows.parquet")
    ends_well(as_task("regression"), tmp_path / "rows.parquet")
    ends_well(lambda path: list(read_documents(path, column="text")), tmp_path / "rows.parquet")


@FUZZ
@given(content=st.binary(max_size=40), place=st.integers(0, 10**6))
def test_a_parquet_file_with_any_bytes_in_it(tmp_path: Path, content: bytes, place: int) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b"] * 9, "label": ["c", "d"] * 9}), path)
    whole = path.read_bytes()
    place %= len(whole)
    path.write_bytes(whole[:place] + content + whole[place + len(content) :])
    ends_well(as_task("classification"), path)
    ends_well(lambda path: list(read_documents(path, column="text")), path)


@pytest.mark.parametrize("name", ["text.txt", "text.jsonl", "text.parquet", "text.txt.gz", "text.jsonl.bz2", "d.xml"])
@FUZZ
@given(content=anything | json_rows)
def test_a_corpus_of_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    ends_well(lambda path: check_beginning(path, column="text"), tmp_path / name)
    if name != "d.xml":
        ends_well(lambda path: list(read_documents(path, column="text")), tmp_path / name)


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.zip", "vectors.gz", "vectors.bz2"])
@FUZZ
@given(content=anything | st.builds(bytes.__add__, st.just(b"film 1 2\n"), anything))
def test_word_vectors_of_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    ends_well(lambda path: read_vectors(path, vector_words=9), tmp_path / name)


@FUZZ
@given(content=anything)
def test_a_folder_of_word_vectors_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.npy").write_bytes(content)
    pq.write_table(pa.table({"word": ["film"]}), tmp_path / "words.parquet")
    ends_well(lambda path: read_vectors(path, vector_words=9), tmp_path)


@settings(FUZZ, max_examples=600)
@given(content=yaml_lines.map(str.encode) | anything)
@example(content=b"[" * 5000)
@example(
    content=b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n".encode() for n in range(9))
)
@example(
    content=b"a: &a {x: 1}\n"
    + b"".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{{', '.join(f'k{k}: *{chr(97 + n)}' for k in range(9))}}}\n".encode()
        for n in range(9)
    )
)
def test_a_recipe_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    ends_well(load_recipe, tmp_path / "recipe.yaml")


@FUZZ
@given(option=st.lists(keys, min_size=1, max_size=3).map(lambda parts: "--" + ".".join(parts)), value=yaml_scalars)
def test_any_override(tmp_path: Path, option: str, value: str) -> None:
    (tmp_path / "recipe.yaml").write_text("backbone: m\ntask: {train: a.csv}\n")
    ends_well(lambda path: list(parse_overrides([option, value])), tmp_path)
    ends_well(lambda path: load_recipe(path, [option, value]), tmp_path / "recipe.yaml")


# 2,000 take minutes: FUZZ_EXAMPLES=2000 python -m pytest tests/unit/test_fuzzing.py
MANY = settings(FUZZ, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")))
labels = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            "1",
            "1.0",
            "01",
            "+1",
            "1e0",
            "1,0",
            "-1",
            "0.5",
            "a|b",
            "a",
            "b",
            " a",
            "a\u200b",
            "\u00e9",
            "e\u0301",
            "\uff11",
            "\u22121",
            "True",
            "a\ufe0f",
            "b;a",
            "[",
            "['a']",
            "['a' 'b']",
            "{'a', 'b'}",
            "('a',)",
            "{'a': 1}",
        ]
    ),
    st.integers() | st.floats() | st.booleans() | st.none(),
    st.lists(st.text(max_size=3), max_size=2),
)


@MANY
@given(found=st.lists(labels, min_size=3, max_size=6))
@example(found=["[" * 3000, "9" * 400, "9" * 401])
def test_labels_of_any_kind(tmp_path: Path, found: list) -> None:
    rows = [{"text": f"film {n}", "label": label} for label in found for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for kind in ("classification", "multi_label"):
        ends_well(as_task(kind), tmp_path / "rows.jsonl")


cells = st.sampled_from(
    [
        "the",
        "film",
        "O",
        "B-x",
        "I-x",
        "x",
        "b-x",
        "o",
        "0",
        "1",
        "2",
        "_",
        "-",
        "(x*",
        "B-",
        "B:x",
        "I:x",
        "x-B",
        "x-I",
        "B-\u00e9",
        "B-e\u0301",
        "1.0",
        "-1",
        "en:a",
        "token",
        "tag",
        "1-2",
        "#",
        "-DOCSTART-",
        "",
    ]
)
conll_lines = st.lists(st.lists(cells | st.text(max_size=3), max_size=10).map("\t".join) | st.just(""), max_size=8)
numbers = st.sampled_from(["text", "0", "1", "2", "9"])


@MANY
@given(lines=conll_lines, text=numbers, label=numbers, named=st.sampled_from([(), ("O", "B-x", "I-x")]))
def test_columns_of_words_and_tags_in_any_order(
    tmp_path: Path, lines: list[str], text: str, label: str, named: Any
) -> None:
    (tmp_path / "rows.conll").write_text("\n".join(lines), encoding="utf-8")
    task = Task(kind="token_classification", text=text, label=f"{label}_" if text == label else label, labels=named)
    ends_well(lambda path: read_task(task, {"train": (path,)}), tmp_path / "rows.conll")


def changed(checks: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any JSON, or an object in which some keys have a value of any kind."""
    return json_values | st.dictionaries(st.sampled_from(sorted(checks)), json_values, max_size=4)


@MANY
@given(content=changed(CONFIG), whole=st.booleans())
@example(content={"id2label": {"0": []}}, whole=True)
def test_a_config_of_any_json(tiny_template: Path, tmp_path: Path, content: Any, whole: bool) -> None:
    if whole and isinstance(content, dict):
        content = json.loads((tiny_template / "model" / "config.json").read_text()) | content
    (tmp_path / "config.json").write_text(json.dumps(content))
    ends_well(lambda folder: model_shape(folder, "backbone"), tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content))
    ends_well(check_index, tmp_path)


@MANY
@given(content=changed(TOKENIZER_CONFIG))
def test_a_tokenizer_config_of_any_json(tmp_path: Path, content: Any) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "vocab.txt").write_text("The\nfilm\n")
    ends_well(check_tokenizer_files, tmp_path)
    ends_well(tokenizer_vocabulary, tmp_path)
