"""What a student says of texts: labels with probabilities, scores of a regression, tags of words, answers in texts.

    python -m pipeline.predict STUDENT "A quiet triumph." "It never begins."
    python -m pipeline.predict STUDENT --input reviews.csv --text review --jsonl > answers.jsonl
    cat reviews.txt | python -m pipeline.predict STUDENT --onnx

STUDENT is a folder such as runs/NAME/export_student. Without texts and without --input, standard input is read, a text
a line; with --pairs a line is two texts (such as a question and its context) with a tab between them, and arguments
come in twos. Answers are printed as they are found; texts are cut at the length of training. --onnx runs the int8 file
that export_student made, and then neither torch nor transformers is loaded.
"""

import argparse
import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pipeline.data.tables import place, read_rows
from pipeline.errors import UserError, status_of
from pipeline.predict.answers import answer
from pipeline.predict.backends import Texts, load

COLUMN = 60  # characters of a text in the table


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input."""
    given = parser().parse_intermixed_args(arguments)
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)  # whatever the machine's language is
    return status_of(lambda: run(given))


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("student", type=Path, metavar="STUDENT", help="folder of the student")
    options.add_argument("texts", nargs="*", metavar="TEXT")
    options.add_argument("--onnx", action="store_true", help="the int8 ONNX file instead of the PyTorch weights")
    options.add_argument("--input", type=Path, help="a table: .csv, .tsv, .jsonl (also .gz, .bz2, .xz) or .parquet")
    options.add_argument("--text", default="text", metavar="COLUMN", help="of the text in it (default: text)")
    options.add_argument("--text-pair", metavar="COLUMN", help="of the second text of a pair")
    options.add_argument("--pairs", action="store_true", help="arguments come in twos, lines have a tab in the middle")
    options.add_argument("--jsonl", action="store_true", help="a JSON object a line, with every label's probability")
    options.add_argument("--batch-size", type=int, default=1, help="texts that go through the model at once")
    return options


def run(given: argparse.Namespace) -> None:
    """Read, run, print."""
    if given.batch_size < 1:
        raise UserError(f"--batch-size: {given.batch_size} is not a number of texts; take 1 or more")
    texts = asked_texts(given, sys.stdin)
    served = load(given.student, onnx=given.onnx)
    while batch := list(itertools.islice(texts, given.batch_size)):
        for text, windows in zip(batch, served(batch), strict=True):
            found = answer(windows, text, served.config)
            print(json_line(text, found) if given.jsonl else table_line(text, found), flush=True)


def asked_texts(given: argparse.Namespace, stdin: IO[str]) -> Iterator[Texts]:
    """From the arguments, a table, or standard input, one by one."""
    if given.texts and given.input:
        raise UserError("texts come from the arguments or from --input, not from both")
    if given.texts:
        if given.pairs and len(given.texts) % 2:
            raise UserError(f"--pairs: {len(given.texts)} texts are no pairs; give an even number")
        return iter(list(zip(*[iter(given.texts)] * (2 if given.pairs else 1), strict=True)))
    if given.input:
        return table_texts(given.input, (given.text, *([given.text_pair] if given.text_pair else [])))
    return lines(stdin, pairs=given.pairs)


def table_texts(path: Path, columns: Texts) -> Iterator[Texts]:
    """The text columns of a table. Raises UserError, with file and line, for a row without text."""
    for row in read_rows(path, columns=columns):
        for column in columns:
            if not isinstance(row.values[column], str):
                raise UserError(f"{place(path, row.line)}: column {column!r} holds no text")
        yield tuple(row.values[column] for column in columns)


def lines(stream: IO[str], *, pairs: bool) -> Iterator[Texts]:
    """A text or pair a line; empty lines are skipped."""
    for number, line in enumerate(stream, 1):
        texts = tuple(line.rstrip("\r\n").split("\t")) if pairs else (line.strip(),)
        if not any(texts):
            continue
        if any("\udc80" <= character <= "\udcff" for character in line):  # a byte that stands for itself
            raise UserError(f"standard input:{number} is not UTF-8; save the texts as UTF-8")
        if pairs and len(texts) != 2:
            raise UserError(f"standard input:{number}: {len(texts)} texts; a pair is two with a tab between them")
        yield texts


def json_line(texts: Texts, found: dict[str, Any]) -> str:
    """A line of JSON: the text, or the pair as a list, and what is said of it."""
    return json.dumps({"text": texts[0] if len(texts) == 1 else texts} | found, ensure_ascii=False)


def table_line(texts: Texts, found: dict[str, Any]) -> str:
    """A line of the table."""
    text = " | ".join(" ".join(text.split()) for text in texts)
    text = text if len(text) <= COLUMN else text[: COLUMN - 1] + "…"
    if "score" in found:
        return f"{found['score']:>9.4f}  {text}"
    if "words" in found:
        return " ".join(
            f"{word['word']}[{word['label']}]" if word["label"] != "O" else word["word"] for word in found["words"]
        )
    if "answer" in found:
        return f"{found['answer'] or '(none)':<32} {found['probability']:>7.1%}  {text}"
    return f"{found['label']:<16} {found['probability']:>7.1%}  {text}"


if __name__ == "__main__":
    sys.exit(main())
