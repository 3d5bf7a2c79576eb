"""Types of Parquet columns."""

import pyarrow as pa


def is_text(column: pa.DataType) -> bool:
    """Whether each row holds a text."""
    return pa.types.is_string(column) or pa.types.is_large_string(column)


def is_number(column: pa.DataType) -> bool:
    """Whether each row holds a number."""
    return pa.types.is_floating(column) or pa.types.is_integer(column)


def is_list(column: pa.DataType) -> bool:
    """Whether each row holds a list."""
    return pa.types.is_list(column) or pa.types.is_large_list(column)
