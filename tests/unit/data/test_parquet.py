"""Parquet files: the names of labels that `datasets` notes in them, and the names of types."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.parquet import (
    field_values,
    is_integer,
    is_list,
    is_number,
    is_struct,
    is_text,
    label_names,
    read_rows,
    read_schema,
)

NAMED = {"names": ["bad", "good"], "_type": "ClassLabel"}
LISTS = {"feature": NAMED, "length": -1, "_type": "Sequence"}  # as older versions of `datasets` wrote lists


def names_of(path: Path, values: list, features: object) -> tuple[str, ...]:
    table = pa.table({"label": values, "text": ["x"]})
    noted = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": noted}), path)
    return label_names(read_schema(path), "label")


@pytest.mark.parametrize(("values", "feature"), [([1], NAMED), ([[0, 1]], LISTS), ([[0]], {**LISTS, "_type": "List"})])
def test_the_names_of_label_numbers_are_found(tmp_path: Path, values: list, feature: dict) -> None:
    assert names_of(tmp_path / "a.parquet", values, {"label": feature}) == ("bad", "good")


@pytest.mark.parametrize(
    "features",
    [{}, {"label": {"_type": "Hologram"}}, {"label": 5}, [NAMED], {"label": {"dtype": "int64", "_type": "Value"}}],
)
def test_a_feature_that_datasets_does_not_know_has_no_names(tmp_path: Path, features: object) -> None:
    assert names_of(tmp_path / "a.parquet", [1], features) == ()


def test_a_column_of_texts_or_none_at_all_has_no_names(tmp_path: Path) -> None:
    assert names_of(tmp_path / "a.parquet", ["good"], {"label": NAMED}) == ()
    assert label_names(read_schema(tmp_path / "a.parquet"), "lable") == ()


def test_rows_of_later_row_groups_keep_their_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), tmp_path / "a.parquet", row_group_size=1)
    rows = read_rows(tmp_path / "a.parquet", columns=["b"], row_groups=range(1, 3))
    assert list(rows) == [(2, {"b": "y"}), (3, {"b": "z"})]


@pytest.mark.parametrize(
    ("predicate", "types"),
    [
        (is_text, [pa.string(), pa.large_string()]),
        (is_integer, [pa.int8(), pa.uint64()]),
        (is_number, [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()]),
        (is_list, [pa.list_(pa.string()), pa.large_list(pa.string())]),
        (is_struct, [pa.struct([("a", pa.int8())])]),
    ],
)
def test_types_are_known_by_their_names(predicate, types: list) -> None:
    every = [
        *(pa.string(), pa.large_string(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_()),
        *(pa.list_(pa.string()), pa.large_list(pa.string()), pa.struct([("a", pa.int8())]), pa.binary(), pa.date32()),
    ]
    assert [column for column in every if predicate(column)] == types


@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list])
def test_the_values_of_a_field_are_those_of_all_items_and_none_where_one_is_missing(
    tmp_path: Path, list_of: Callable[[pa.DataType], pa.DataType]
) -> None:
    kind = list_of(pa.struct([("column", pa.string()), ("start", pa.int64())]))
    path = tmp_path / "rows.parquet"

    def values_of(*lists: object) -> set[object]:
        pq.write_table(pa.table({"replaced": pa.array(lists, type=kind)}), path)
        return field_values(path, "replaced", "column")

    text, pair = {"column": "text", "start": 1}, {"column": "pair", "start": 2}
    assert values_of() == values_of([], None) == set()
    assert values_of([], *[[text, text]] * 2000, [pair]) == {"text", "pair"}
    assert values_of([text, None]) == values_of([text], [{"column": None, "start": 1}]) == {"text", None}
