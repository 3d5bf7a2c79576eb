"""An original and its variants as a person reads them, the replaced words marked."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_augment.variants import Row
from pipeline.data.parquet import label_names, named
from pipeline.errors import UserError
from pipeline.tasks.augmented import word_diff


def shown(dataset: Path, example: int) -> list[str]:
    """The lines of one original and its variants. Raises: UserError where there is no such example."""
    paths = dataset_files(dataset)
    found = [row for path in paths for row in _of_example(path, example)]
    if not found:
        raise UserError(f"{dataset}: there is no example {example}")
    return [line for row in found for line in _marked(row, found[0])]


def dataset_files(folder: Path) -> list[Path]:
    """The files of an augmented dataset. Raises: UserError where there is none."""
    paths = sorted((folder / "data").glob("train-*.parquet"))
    if not paths:
        raise UserError(f"{folder} is no augmented dataset: it has no data/train-*.parquet")
    return paths


def _of_example(path: Path, number: int) -> list[Row]:
    try:
        table = pq.read_table(path, filters=[("source_id", "==", number)])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}; make it again") from None
    names = {column: label_names(table.schema, column) for column in table.column_names}
    return [{column: named(value, names[column]) for column, value in row.items()} for row in table.to_pylist()]


def _marked(row: Row, original: Row) -> list[str]:
    """The lines of one row: the whole original, or a variant's text with [what stood there -> what stands there]."""
    columns = [name for name, value in row.items() if name not in ("source_id", "variant", "replaced")]
    if row["variant"] == 0:
        return [f"original   {name}: {row[name]}" for name in columns]
    number = f"variant {row['variant']:<3}"
    if not row["replaced"]:  # a text that was rewritten as a whole, in a dataset from elsewhere
        return [f"{number}{name}: {row[name]}" for name in columns if row[name] != original[name]]
    column, shown = row["replaced"][0]["column"], {"same": "{}", "old": "[{} -> ", "new": "{}]"}
    parts = word_diff(original[column], row["replaced"])
    return [f"{number}{column}: {''.join(shown[what].format(part) for what, part in parts)}"]
