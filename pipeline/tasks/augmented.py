"""An augmented dataset that exists already, from this project or another: whether it fits a task, and its rows.

Its files have the columns that README.md of such a dataset describes: source_id, the task's texts and label, variant,
replaced. Needs neither torch nor datasets.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.data.labels import HIDDEN, NUMBER, label_name
from pipeline.data.parquet import (
    field_values,
    is_integer,
    is_list,
    is_number,
    is_struct,
    is_text,
    item_type,
    label_names,
    read_rows,
    read_schema,
)
from pipeline.errors import UserError, nearest
from pipeline.tasks.labelled_data import TaskData

if TYPE_CHECKING:
    import pyarrow as pa

DiffPart = tuple[Literal["same", "old", "new"], str]
REPLACED = ("column", "start", "end", "old", "new", "source")
MAKE = "`python -m data_augment sample`, or the stage augment_data, makes such files"


def _holds_answers(column: "pa.DataType") -> bool:
    """Whether each row holds answers as the hub has them: a struct of a list of texts and a list of starts."""
    if not is_struct(column) or {field.name for field in column} != {"text", "answer_start"}:
        return False
    texts, starts = column.field("text").type, column.field("answer_start").type
    return is_list(texts) and is_text(texts.value_type) and is_list(starts) and is_integer(starts.value_type)


LABEL_VALUES: dict[str, tuple[Callable[["pa.DataType"], bool], str]] = {  # by TaskKind.label_values
    "any": (lambda column: True, "labels are needed"),
    "numbers": (lambda column: is_number(column) or is_text(column), "the scores of a regression are needed"),
    "tags": (is_list, "a list of tags is needed, one a word"),
    "label_lists": (is_list, "a list of labels is needed"),
    "answers": (_holds_answers, "answers are needed: a list of 'text' and one of 'answer_start'"),
}


def word_diff(original: str, replaced: Sequence[Mapping[str, Any]]) -> list[DiffPart]:
    """A variant beside its original: what stays, and each word that went, followed by the one that came."""
    parts: list[DiffPart] = []
    at = 0
    for word in replaced:
        parts += [("same", original[at : word["start"]]), ("old", word["old"]), ("new", word["new"])]
        at = word["end"]
    return [*parts, ("same", original[at:])]


def check_augmented(paths: Sequence[Path], data: TaskData, *, needs_labels: bool = False) -> None:
    """Raises UserError for the first thing in which the dataset does not fit the task.

    Its columns and labels must be the task's, the rows of an example stand together, the original first, and no
    original is a dev or test row: a dataset made from other splits would leak. Where labels are learnt each row has
    one.
    """
    held_out, done, last = held_out_texts(data), set(), None
    columns = ("source_id", "variant", *data.text_columns, data.label_column)
    for path in paths:
        _check_columns(path, data)
        _check_replaced(path, data)
        names = _label_names(path, data)
        for number, row in read_rows(path, columns=columns):
            where, source = f"{path}, row {number}", row["source_id"]
            if source != last and (source in done or row["variant"] != 0):
                raise UserError(
                    f"{where}: the rows of source_id {source} do not stand together with the original, variant 0,"
                    " first; sort them by source_id and variant"
                )
            done.add(source)
            last = source
            texts = tuple(row[column] for column in data.text_columns)
            if None in texts:
                raise UserError(f"{where}: a text is missing")
            if row["variant"] == 0 and texts in held_out:
                raise UserError(
                    f"{where}: this original is a dev or test row of the task; the dataset was made from other splits:"
                    " make it from the training rows alone, or take the splits of its recipe"
                )
            try:
                data.kind.realign({**row, "replaced": []}, data.text_columns, data.label_column)
            except ValueError as error:  # tags that do not fit the words, an answer that is not there
                raise UserError(f"{where}: {error}; {MAKE}") from None
            if _label(row[data.label_column], names, data, where) is None and needs_labels:
                raise UserError(f"{where}: has no label, and distill_predictions.label learns it; set that to 0")
    if not done:
        raise UserError(f"augment_data.reuse: {paths[0].parent} holds no row; {MAKE}")


def augmented_rows(paths: Sequence[Path], data: TaskData, *, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
    """The rows of a dataset that fits, labels in the task's numbers; other columns are left out.

    Args: dropped: counts, as "equal_to_original", the variants left out because they equal a dev or test text.
    """
    held_out = held_out_texts(data)
    columns = ("source_id", *data.text_columns, data.label_column, "variant", "replaced")
    for path in paths:
        names = _label_names(path, data)
        for number, row in read_rows(path, columns=columns):
            if tuple(row[column] for column in data.text_columns) in held_out:
                dropped["equal_to_original"] += 1
                continue
            label = _label(row[data.label_column], names, data, f"{path}, row {number}")
            yield {**row, data.label_column: label, "replaced": row["replaced"] or []}


def held_out_texts(data: TaskData) -> set[tuple[str, ...]]:
    """Texts of dev and test rows that are no texts of rows to train on."""
    texts = {split: {example.texts for example in examples} for split, examples in data.splits.items()}
    train = texts["train"] | texts.get("unlabelled", set())
    return set().union(*(found for split, found in texts.items() if split not in ("train", "unlabelled"))) - train


def _check_columns(path: Path, data: TaskData) -> None:
    if path.suffix != ".parquet":
        raise UserError(f"{path}: an augmented dataset is Parquet; {MAKE}")
    schema = read_schema(path)
    kinds = {"source_id": is_integer, "variant": is_integer, "replaced": _is_replaced}
    kinds |= dict.fromkeys(data.text_columns, is_text)
    for column in (*kinds, data.label_column):
        if column not in schema.names:
            raise UserError(f"{path}: no column '{column}'{nearest(column, schema.names)}; {MAKE}")
    for column, fits in kinds.items():
        if not fits(schema.field(column).type):
            wanted = {"replaced": f"lists of {', '.join(REPLACED)}"}.get(
                column, "text" if fits is is_text else "integers"
            )
            raise UserError(
                f"{path}: column '{column}' holds {schema.field(column).type}, and {wanted} are needed; {MAKE}"
            )


def _check_replaced(path: Path, data: TaskData) -> None:
    """Raises UserError for the first row that has a word replaced elsewhere than in the task's texts."""
    if field_values(path, "replaced", "column") <= set(data.text_columns):
        return
    for number, row in read_rows(path, columns=["replaced"]):  # takes much longer, and says where
        for change in row["replaced"] or ():
            if change is None or change["column"] not in data.text_columns:
                raise UserError(
                    f"{path}, row {number}: replaced names the column {change and change['column']!r}, and the task's"
                    f" texts stand in {' and '.join(data.text_columns)}; rename it there too"
                )


def _label_names(path: Path, data: TaskData) -> tuple[str, ...] | None:
    """The names of label numbers, which a file of `datasets` holds; None where labels need no translation.

    Raises: UserError for numbers without names, names that are not the task's, or what is no score in a regression.
    """
    schema = read_schema(path)
    kind = schema.field(data.label_column).type
    where = f"{path}: column '{data.label_column}' holds"
    fits, needs = LABEL_VALUES[data.kind.label_values]
    if not fits(kind):
        raise UserError(f"{where} {kind}, and {needs}")
    if not data.label_names or is_text(item_type(kind)):
        return None
    names = label_names(schema, data.label_column)
    if not names and is_integer(item_type(kind)) and all(map(NUMBER.fullmatch, data.label_names)):
        return None  # the labels are numbers themselves
    if not names:
        raise UserError(f"{where} {kind} without the labels' names; write the names as text")
    for name in names:
        if label_name(name) not in data.label_names:
            raise UserError(f"{path}: its label '{name}' is none of the task's, {', '.join(data.label_names)}")
    return names


def _label(value: Any, names: tuple[str, ...] | None, data: TaskData, where: str) -> Any:
    """A row's label, or the tags of its words, as the task numbers them; None where it has none."""
    if not data.label_names:
        return _score(value, where) if isinstance(value, str) else value
    if value is None or (
        value == -1 and HIDDEN not in data.label_numbers
    ):  # as `datasets` writes one that is not known
        return None
    if isinstance(value, list):
        return [_number(tag, names, data, where) for tag in value]
    return _number(value, names, data, where)


def _number(label: Any, names: tuple[str, ...] | None, data: TaskData, where: str) -> int:
    """The task's number of a label, which is a name, or the number of one of `names`."""
    if names and (label is None or not 0 <= label < len(names)):
        raise UserError(f"{where}: its label {label} has no name; the column names {len(names)}, from 0")
    name = label_name(names[label] if names else label)
    if name not in data.label_numbers:
        raise UserError(f"{where}: its label '{name}' is none of the task's, {', '.join(data.label_names)}")
    return data.label_numbers[name]


def _score(text: str, where: str) -> float | None:
    """A score that is written as text; None for an empty one."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise UserError(f"{where}: its score {text!r} is no number; {MAKE}") from None


def _is_replaced(column: "pa.DataType") -> bool:
    item = item_type(column)
    return is_list(column) and is_struct(item) and {field.name for field in item} >= set(REPLACED)
