"""Word replacement from a command line, on any table of texts.

    python -m data_augment propose --input reviews.csv --masked-lm PATH --vectors PATH --output candidates/
    python -m data_augment sample --candidates candidates/ --input reviews.csv -n 20 -p 0.4 --output augmented/
    python -m data_augment show augmented/ --example 3
    python -m data_augment push augmented/ OWNER/NAME

Tables are .csv, .tsv, .jsonl, .json (also .gz, .bz2, .xz, .zip) or .parquet. Candidates take a
masked language model and minutes; samples take seconds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_augment.show import dataset_files, shown
from data_augment.table_rows import TableRows, with_types
from pipeline.config.data import AugmentData, ProposeCandidates
from pipeline.errors import UserError, status_of
from pipeline.inputs.hub import publish


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input."""
    given = parser().parse_args(arguments)
    return status_of(lambda: given.run(given))


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    whole = argparse.ArgumentParser(
        prog="python -m data_augment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(required=True, metavar="{propose,sample,show,push}")

    propose = commands.add_parser("propose", help="find words that could replace each word of the texts")
    _add_input(propose)
    propose.add_argument(
        "--masked-lm", type=Path, required=True, help="folder of a masked language model with its tokenizer"
    )
    propose.add_argument(
        "--vectors",
        type=Path,
        help="word vectors, which propose words of several pieces: a GloVe text file, or a folder",
    )
    propose.add_argument("--output", type=Path, required=True, help="the folder to write the candidates to")
    k = ProposeCandidates.candidates
    propose.add_argument("-k", type=int, default=k, help=f"how many candidates each word gets (default: {k})")
    propose.add_argument(
        "--vector-words",
        type=int,
        default=ProposeCandidates.vector_words,
        help="how many of the most frequent words with vectors may be proposed"
        f" (default: {ProposeCandidates.vector_words:,})",
    )
    propose.add_argument(
        "--context",
        choices=("single", "pair"),
        default=ProposeCandidates.context,
        help="what the masked LM reads: the masked text alone (default), or with the unmasked text after it",
    )
    propose.add_argument(
        "--word-share",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of the words, drawn at random, that get candidates: for one variant of each text, 0.4 here and -p 1"
        " take less time than 1 here and -p 0.4",
    )
    propose.add_argument(
        "--mask-share",
        type=float,
        default=ProposeCandidates.mask_share,
        help="share of a text's tokens that are masked together"
        f" (default: {ProposeCandidates.mask_share}); 0 masks one word at a time",
    )
    propose.add_argument("--protect", help="a regular expression; the parts of a text that match it are never replaced")
    propose.add_argument(
        "--replace-placeholders",
        action="store_true",
        help="replace words in [NAME], {name} and <tag>, addresses, mail addresses, @names and #tags too",
    )
    propose.add_argument(
        "--stop-words",
        type=Path,
        help="a file of words that are never replaced, one a line (default: the stop words of the language)",
    )
    propose.add_argument(
        "--language",
        default="auto",
        help="language of the texts, as an ISO 639 code (default: guessed from their script)",
    )
    propose.add_argument(
        "--several-pieces",
        choices=("vectors", "masked_lm", "both"),
        default=ProposeCandidates.several_pieces,
        help="what proposes words of several pieces: word vectors (default), the masked LM, or both",
    )
    propose.add_argument(
        "--beam",
        type=int,
        default=ProposeCandidates.beam,
        help="how many fillings of a word of several pieces the masked LM keeps while it searches"
        f" (default: {ProposeCandidates.beam})",
    )
    propose.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="number format of the masked LM (default: what this machine computes fastest)",
    )
    propose.set_defaults(run=_propose)

    sample = commands.add_parser("sample", help="write variants of the rows, drawn from the candidates")
    _add_input(sample)
    sample.add_argument("--candidates", type=Path, required=True, help="the folder that propose wrote")
    sample.add_argument(
        "--output", type=Path, required=True, help="the folder to write the dataset to; it must not exist"
    )
    sample.add_argument(
        "--carry",
        nargs="*",
        default=[],
        metavar="COLUMN",
        help="columns of the table that each variant keeps, such as the label; numbers and lists stay such, what a"
        " .csv or .tsv holds is text",
    )
    n, p = AugmentData.variants, AugmentData.replace
    sample.add_argument("-n", type=int, default=n, help=f"variants of each text (default: {n})")
    sample.add_argument("-p", type=float, default=p, help=f"probability that a word is replaced (default: {p})")
    sample.add_argument("--seed", type=int, default=0, help="another seed draws other variants (default: 0)")
    sample.add_argument("--licence", default="unknown", help="licence of the dataset, for its card")
    sample.add_argument("--push", metavar="HUB_NAME", help="publish the dataset on the hub under this name: OWNER/NAME")
    sample.set_defaults(run=_sample)

    show = commands.add_parser("show", help="print an original and its variants, with the replaced words marked")
    show.add_argument("dataset", type=Path, help="the folder that sample, or the pipeline, wrote")
    show.add_argument("--example", type=int, default=0, help="which original, counted from 0 (default: 0)")
    show.set_defaults(run=_show)

    push = commands.add_parser("push", help="publish an augmented dataset on the hub, its card with it")
    push.add_argument("dataset", type=Path, help="the folder that sample, or the pipeline, wrote")
    push.add_argument(
        "name", metavar="HUB_NAME", help="name on the hub, OWNER/NAME; the repository is made if it does not exist"
    )
    push.add_argument(
        "--licence", help="licence of the dataset as the hub spells it, such as cc-by-4.0 (default: what its card says)"
    )
    push.set_defaults(run=_push)
    return whole


def _add_input(command: argparse.ArgumentParser) -> None:
    command.add_argument("--input", type=Path, required=True, help="a table of texts")
    command.add_argument("--text-column", default="text", help="the column that holds the text (default: text)")
    command.add_argument("--pair-column", help="the column that holds the second text of a pair")


def _texts(given: argparse.Namespace) -> tuple[str, ...]:
    if given.pair_column == given.text_column:
        raise UserError(f"--pair-column: {given.pair_column!r} is the text's column; name that of the second text")
    return (given.text_column, given.pair_column) if given.pair_column else (given.text_column,)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None


def _propose(given: argparse.Namespace) -> None:
    from data_augment.api import propose  # noqa: PLC0415 (torch, which `show` does without)

    columns = _texts(given)
    propose(
        (row[column] for row in TableRows(given.input, columns, columns) for column in columns),
        given.output,
        masked_lm=given.masked_lm,
        vectors=given.vectors,
        k=given.k,
        vector_words=given.vector_words,
        context=given.context,
        mask_share=given.mask_share,
        word_share=given.word_share,
        protect=given.protect,
        placeholders=not given.replace_placeholders,
        stop_words=_words(given.stop_words) if given.stop_words else None,
        language=given.language,
        several_pieces=given.several_pieces,
        beam=given.beam,
        precision=given.precision,
    )


def _sample(given: argparse.Namespace) -> None:
    from data_augment.api import sample  # noqa: PLC0415

    columns = _texts(given)
    rows, features = with_types(TableRows(given.input, [*columns, *given.carry], columns))
    found = sample(
        rows,
        given.output,
        candidates=given.candidates,
        text_columns=columns,
        variants=given.n,
        p=given.p,
        seed=given.seed,
        features=features,
        licence=given.licence,
    )
    print(f"{found.originals} originals, {found.variants} variants: {given.output}")
    if given.push:
        print(f"published: {_published(given.output, given.push)}")


def _push(given: argparse.Namespace) -> None:
    print(f"published: {_published(given.dataset, given.name, licence=given.licence)}")


def _published(folder: Path, name: str, *, licence: str | None = None) -> str:
    """Puts the files and the card of a dataset on the hub; gives the address."""
    from data_augment.dataset import CARD_FILE  # noqa: PLC0415 (datasets, which `show` does without)

    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in dataset_files(folder)}
    files[CARD_FILE] = folder / CARD_FILE
    if licence:
        from huggingface_hub import DatasetCard  # noqa: PLC0415 (what publishes nothing does not wait for it)

        card = DatasetCard.load(folder / CARD_FILE)
        card.data["license"] = licence
        files[CARD_FILE] = str(card).encode()
    return publish(name, files, kind="dataset", message="Augmented dataset")


def _show(given: argparse.Namespace) -> None:
    print("\n".join(shown(given.dataset, given.example)))


if __name__ == "__main__":
    sys.exit(main())
