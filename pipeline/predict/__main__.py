"""Run a saved student on texts: it prints labels with probabilities, scores, tags of words, or answers found in texts.
Where a text can have several labels, it prints each one above the threshold that the student's config.json has for it.

    python -m pipeline.predict STUDENT "A quiet triumph." "Dull and far too long."
    python -m pipeline.predict STUDENT --input reviews.csv --text review --jsonl > answers.jsonl
    cat reviews.txt | python -m pipeline.predict STUDENT --onnx

STUDENT is a folder such as runs/NAME/export_student. Texts come from the command line, from --input, or from standard
input, one text a line. With --pairs each two arguments are one pair, such as a question and its context; a line then
holds two texts with a tab between them. Each answer is printed as soon as it is known. A text that is longer than the
texts in training is cut. --onnx runs the int8 file that export_student made, without torch and transformers.

    python -m pipeline.predict STUDENT --serve

--serve answers over HTTP until Ctrl-C: open http://127.0.0.1:8000/, or post {"texts": [...]} to /api/predict. It takes
the int8 file where there is one. The server is an extra: pip install -e '.[serve]'.
"""

import argparse
import io
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pipeline.data import conll, squad
from pipeline.data.examples import Columns
from pipeline.data.rows import location
from pipeline.data.tables import read_rows
from pipeline.errors import UserError, require, status_of
from pipeline.predict.answers import Texts, answer
from pipeline.predict.student import Parted, Student, load_student

TEXT = "text"  # the column of --input, unless another is named
COLUMN = 60  # characters of a text in the table


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input."""
    given = parser().parse_intermixed_args(arguments)
    # Whatever encoding the machine's language has. A file may begin with a byte order mark, which is no part of a text.
    for stream, encoding, errors in (
        (sys.stdin, "utf-8-sig", "surrogateescape"),
        (sys.stdout, "utf-8", "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors=errors)
    return status_of(lambda: serve_answers(given) if given.serve else print_answers(given))


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("student", metavar="STUDENT", help="folder of the student")
    options.add_argument(
        "texts", nargs="*", default=[], metavar="TEXT", help="one or more texts; none: read --input or standard input"
    )
    options.add_argument("--onnx", action="store_true", help="run the int8 ONNX file instead of the PyTorch weights")
    tables = ".csv, .tsv, .jsonl, .json (also .gz, .bz2, .xz, .zip) or .parquet; for tags also CoNLL, or a text a line;"
    tables += " questions as in SQuAD"
    options.add_argument("--input", type=Path, help=f"read the texts from a file: {tables}")
    options.add_argument(
        "--text", default=TEXT, metavar="COLUMN", help="the column of --input that holds the text (default: text)"
    )
    options.add_argument(
        "--text-pair",
        metavar="COLUMN",
        help="the column of --input that holds the second text of a pair (of questions: question and context)",
    )
    options.add_argument(
        "--pairs", action="store_true", help="two arguments are one pair; a line is two texts with a tab between them"
    )
    options.add_argument(
        "--jsonl", action="store_true", help="print one JSON object for each text, with the probability of every label"
    )
    options.add_argument(
        "--batch-size", type=int, default=1, help="how many texts go through the model together (default: 1)"
    )
    options.add_argument("--serve", action="store_true", help="answer over HTTP, with a page to try the student in")
    options.add_argument(
        "--host", default="127.0.0.1", help="address for --serve (default: 127.0.0.1, which only this machine reaches)"
    )
    options.add_argument("--port", type=int, default=8000, help="port for --serve (default: 8000)")
    return options


def serve_answers(given: argparse.Namespace) -> None:
    """Serve the student until Ctrl-C. Raises UserError where the server is not installed."""
    require(not given.texts and not given.input, "--serve answers requests: leave texts and --input out")
    require(0 <= given.port < 1 << 16, f"--port: {given.port} is no port; take 1 to 65535")
    try:
        from pipeline.export.onnx_session import INT8  # noqa: PLC0415 (onnxruntime may not be installed)
        from pipeline.predict.server import serve  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise UserError(f"--serve: {error.name} is not installed here; pip install -e '.[serve]'") from None
    folder = folder_of(given).absolute()
    student = load_student(folder, onnx=given.onnx or (folder / INT8).is_file())
    serve(student, name=f"{folder.parent.name}/{folder.name}", host=given.host, port=given.port)


def folder_of(given: argparse.Namespace) -> Path:
    """The student's folder. Raises UserError where it is empty, as a variable that is not set."""
    require(given.student, "the name of the student's folder is empty; give the folder of a student")
    return Path(given.student)


def print_answers(given: argparse.Namespace) -> None:
    """Read the texts, run the student, print its answers."""
    require(given.batch_size >= 1, f"--batch-size: {given.batch_size} is not a number of texts; take 1 or more")
    check_sources(given)
    student = load_student(folder_of(given), onnx=given.onnx)
    require(
        given.pairs or given.input or not student.finds_spans,
        "this student finds answers in texts; give a question and a text as a pair (--pairs)",
    )
    remaining = given_texts(given, student)
    while batch := list(itertools.islice(remaining, given.batch_size)):
        for texts, reading in zip(batch, student.read(batch), strict=True):
            found = answer(reading, texts, student.config)
            line = table_line(texts, found)
            if given.jsonl:
                line = json.dumps({"text": texts[0] if len(texts) == 1 else texts} | found, ensure_ascii=False)
            print(line, flush=True)


def check_sources(given: argparse.Namespace) -> None:
    """Raises UserError for texts from two places, half a pair, or a text that is empty or not UTF-8."""
    require(not (given.texts and given.input), "texts come from the arguments or from --input, not from both")
    require(
        not (given.pairs and given.input),
        "--pairs is for texts from the arguments or standard input; of a file name the second column (--text-pair)",
    )
    require(given.input or not given.text_pair, "--text-pair names a column of --input; for texts given here: --pairs")
    for number, text in enumerate(given.texts, 1):
        is_second = given.pairs and number % 2 == 0  # which may be empty: a pair without its second text
        require(text.strip() or is_second, f"text {number} of the command line is empty; write one, or leave it out")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{text!a} is not UTF-8; give the text in UTF-8") from None
    if given.texts and given.pairs and len(given.texts) % 2:
        raise UserError(f"--pairs: {len(given.texts)} texts are no pairs; give an even number")


def given_texts(given: argparse.Namespace, student: Student) -> Iterator[Texts]:
    """The texts or pairs from the arguments, a file, or standard input, one by one."""
    if given.texts:
        size = 2 if given.pairs else 1
        return (tuple(given.texts[first : first + size]) for first in range(0, len(given.texts), size))
    if not given.input:
        require(sys.stdin is not None, "standard input is closed; give texts, or --input FILE")  # by <&-
        return line_texts(sys.stdin, pairs=given.pairs)
    texts = (given.text, given.text_pair) if given.text_pair else (given.text,)
    if student.finds_spans and not given.text_pair:
        texts = ("question" if given.text == TEXT else given.text, "context")  # as SQuAD names them
    columns = Columns(
        texts=texts, label="", group=None, answer=lambda value, _: value, drop_labels=frozenset(), skip_empty=False
    )
    if student.tags_words:
        found = conll.read_unlabelled(given.input, columns)
        return ((Parted(text) if parted else text,) for text, parted in found)
    if student.finds_spans:
        return (example.texts for example in squad.read(given.input, columns, Counter()))
    return table_texts(given.input, texts)


def table_texts(path: Path, columns: Texts) -> Iterator[Texts]:
    """The text columns of a table. Raises UserError, with file and line, for a row without text.

    The second text of a pair may be missing or blank: the student then reads the first one alone.
    """
    for row in read_rows(path, columns=columns):
        texts = [row.values[column] for column in columns]
        if texts[1:] == [None]:
            texts = texts[:1]  # a pair without its second text
        for column, text in zip(columns, texts, strict=False):
            if not isinstance(text, str) or (column == columns[0] and not text.strip()):
                raise UserError(f"{location(path, row.line)}: column {column!r} holds no text")
        yield tuple(texts)


def line_texts(stream: IO[str], *, pairs: bool) -> Iterator[Texts]:
    """The text, or pair, of each line; empty lines are skipped."""
    for number, line in enumerate(stream, 1):
        texts = tuple(line.rstrip("\r\n").split("\t")) if pairs else (line.strip(),)
        if not any(texts):
            continue
        if any("\udc80" <= character <= "\udcff" for character in line):  # a byte that could not be decoded
            raise UserError(f"standard input:{number} is not UTF-8; save the texts as UTF-8")
        if pairs and len(texts) != 2:
            raise UserError(f"standard input:{number}: {len(texts)} texts; a pair is two with a tab between them")
        require(texts[0].strip(), f"standard input:{number}: the first text of the pair is empty")
        yield texts


def table_line(texts: Texts, found: dict[str, Any]) -> str:
    """An answer and its text as a line of a table; for tags the text alone, with its tags in it."""
    text = " | ".join(" ".join(text.split()) for text in texts)
    text = text if len(text) <= COLUMN else text[: COLUMN - 1] + "…"
    if "score" in found:
        return f"{found['score']:>9.4f}  {text}"
    if "words" in found:
        words = found["words"]
        return " ".join(one["word"] if one["label"] == "O" else f"{one['word']}[{one['label']}]" for one in words)
    if "answer" in found:
        return f"{found['answer'] or '(none)':<32} {found['probability']:>7.1%}  {text}"
    if "labels" in found:
        given = ", ".join(f"{' '.join(name.split())} {found['probabilities'][name]:.1%}" for name in found["labels"])
        return f"{given or '(none)':<32}  {text}"
    return f"{' '.join(found['label'].split()):<16} {found['probability']:>7.1%}  {text}"


if __name__ == "__main__":
    sys.exit(main())
