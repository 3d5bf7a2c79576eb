"""What was read of the labelled data, in a few lines, before anything is trained. No torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.config.data import Task
from pipeline.data.examples import Example
from pipeline.errors import UserError
from pipeline.models.json_files import json_object
from pipeline.tasks.answer_spans import LONGEST_ANSWER
from pipeline.tasks.labelled_data import TaskData

FEW_ROWS = 5  # a label with fewer training rows is hardly learnt
MANY_LABELS = 10  # of more, only the rarest are shown, and the most frequent one
SAMPLED = 500  # texts whose tokens are counted, beside the longest
MANY_UNKNOWN = 0.05  # of the tokens of texts
LONGEST = 50  # texts with the most characters, among which the one with the most tokens is looked for
WHY = {"dropped": "for their label", "lost": "with a lost answer"}

SPECIAL = 2  # tokens around a single text
UNKNOWN = ("[UNK]", "<unk>")  # what a tokenizer writes for what its vocabulary does not hold


class TokenCounter:
    """Counts the tokens of texts, special ones included. Args: tokenizer: of the package tokenizers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._unknown = {tokenizer.token_to_id(name) for name in UNKNOWN} - {None}

    def __call__(self, texts: Sequence[tuple[str, ...]]) -> list[int]:
        return [len(encoding.ids) for encoding in self._encoded(texts)]

    def unknown_share(self, texts: Sequence[tuple[str, ...]]) -> float:
        """Of the tokens that are not special, the share that stands for what the vocabulary does not hold."""
        ids = [
            number
            for encoding in self._encoded(texts)
            for number, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
            if not special
        ]
        return sum(number in self._unknown for number in ids) / max(len(ids), 1)

    def _encoded(self, texts: Sequence[tuple[str, ...]]) -> list[Any]:
        inputs = [parts[0] if len(parts) == 1 or not parts[1] else parts for parts in texts]
        return self._tokenizer.encode_batch(inputs)


def describe(data: TaskData, task: Task, tokenizer: Path | None) -> list[str]:
    """Lines that say what was read: rows, labels, lengths, and warnings.

    Args:
        task: the recipe's section.
        tokenizer: the folder of the model whose tokenizer cuts the texts; None where there is none yet.
    Raises: UserError where it makes no token of any training text.
    """
    count = token_counter(tokenizer) if tokenizer else None
    lines = [_rows(data), *data.remarks, *_labels(data), *data.kind.describe(data.splits)]
    if count:
        lines += [*_lengths(data, task, count), *_without_tokens(data, count), *_unknown(data, count)]
    if task.drop_labels and not data.left_out.get("dropped"):
        lines.append(f"warning: task.drop_labels: no row has the label {' or '.join(map(repr, task.drop_labels))}")
    return [*lines, *_warnings(data)]


def _rows(data: TaskData) -> str:
    rows = ", ".join(f"{split} {len(examples):,}" for split, examples in data.splits.items())
    left = [f"{number:,} {WHY.get(reason, reason)}" for reason, number in data.left_out.items() if number]
    return f"rows: {rows}; left out: {', '.join(left) or 'none'}"


def _labels(data: TaskData) -> list[str]:
    counts = data.kind.label_counts(data.splits["train"])
    if not counts:
        return []
    rarest = sorted(counts, key=lambda name: (counts[name], name))
    shown = ", ".join(f"{' '.join(name.split())} {counts[name]:,}" for name in rarest[:MANY_LABELS])
    line = f"{'entities' if data.kind.per_token else 'labels'} in train: "
    if len(rarest) <= MANY_LABELS:
        return [line + shown]
    return [
        f"{line}{len(rarest)}, the rarest first: {shown}, ...; the most frequent: {rarest[-1]} {counts[rarest[-1]]:,}"
    ]


def _lengths(data: TaskData, task: Task, count: TokenCounter) -> list[str]:
    """The longest text against the length at which texts are cut, and the longest answer against its own."""
    texts = [example.texts for examples in data.splits.values() for example in examples]
    longest = max(count(sorted(texts, key=lambda parts: sum(map(len, parts)), reverse=True)[:LONGEST]), default=0)
    sample = _some_of(texts)
    longer = sum(tokens > task.max_length for tokens in count(sample)) / max(len(sample), 1)
    answers = data.kind.answers(data.splits["train"])
    reads = "are read in several windows" if answers else "are cut there"
    line = f"longest text: {longest:,} tokens, of {task.max_length} (task.max_length)"
    share = f"{longer:.0%}" if round(longer, 2) else "under 1%"
    lines = [f"{line}; {share} {reads}" if longest > task.max_length else line]
    if not answers:
        return lines
    found = count([(text,) for text in sorted(answers, key=len, reverse=True)[:LONGEST]])
    tokens = max(found) - SPECIAL
    limit = task.longest_answer or max(tokens, LONGEST_ANSWER)
    lines.append(f"longest answer: {tokens} tokens; looked for up to {limit} (task.longest_answer)")
    room = task.max_length - task.max_length // 4
    measured = [text for split in ("dev", "test") for text in data.kind.answers(data.splits.get(split, ()))]
    of_measured = count([(text,) for text in sorted(measured, key=len, reverse=True)[:LONGEST]])
    tokens = max(tokens, max(of_measured, default=SPECIAL) - SPECIAL)
    if tokens > min(limit, room):
        lines.append(
            "warning: some answers are longer than what is looked for, and will never be found; raise"
            f" {'task.longest_answer' if tokens > limit else 'task.max_length'}"
        )
    return lines


def _without_tokens(data: TaskData, count: TokenCounter) -> list[str]:
    """A warning where rows are nothing to the tokenizer, which leaves out invisible characters."""
    special = count([("",)])[0]
    found: list[Example] = []
    for split, examples in data.splits.items():
        doubtful = [row for row in examples if not any(map(str.isalnum, chain(*row.texts)))]
        tokens = count([("".join(row.texts),) for row in doubtful])
        empty = [row for row, number in zip(doubtful, tokens, strict=True) if number == special]
        if split == "train" and empty and len(empty) == len(examples):
            raise UserError(
                f"{empty[0].location}: the text has no token, nor has that of any other training row; write texts whose"
                " characters are visible"
            )
        found += empty
    if not found:
        return []
    return [f"warning: rows without a token: {len(found):,}, such as {found[0].location}; write a text, or remove them"]


def _unknown(data: TaskData, count: TokenCounter) -> list[str]:
    """A warning where the vocabulary does not hold the texts' words: all of these look the same to the models."""
    share = count.unknown_share(_some_of([row.texts for row in data.splits["train"]]))
    if share < MANY_UNKNOWN:
        return []
    return [
        f"warning: {share:.0%} of the tokens of the training texts are unknown to the backbone's tokenizer, so that the"
        " models cannot tell them apart; take a backbone of the texts' language (docs/languages.md)"
    ]


def _some_of(texts: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """A sample, evenly spread."""
    return texts[:: max(1, len(texts) // SAMPLED)]


def _warnings(data: TaskData) -> list[str]:
    counts = {split: data.kind.label_counts(rows) for split, rows in data.splits.items() if split != "unlabelled"}
    trained = counts["train"]
    lines = []
    known: set[str] = {*trained} if data.kind.per_token else {*trained, *data.label_names}
    if capitals := _alike(known):
        lines.append(f"warning: these differ in capitals alone: {', '.join(capitals)}")
    few = {name: trained[name] for name in sorted(known) if trained[name] < FEW_ROWS}
    if few:
        lines.append(f"warning: under {FEW_ROWS} training rows: {_some(few)}")
    alone: dict[str, str] = {}
    for name in {name for found in counts.values() for name in found}:
        homes = [split for split, found in counts.items() if found[name]]
        if len(homes) == 1:
            alone[name] = homes[0]
    if alone:
        lines.append(f"warning: in one split alone: {_some(dict(sorted(alone.items())))}")
    measured = {row.texts for split in ("dev", "test", "test_mismatched") for row in data.splits.get(split, ())}
    trained_texts = {row.texts for row in data.splits["train"]}
    if repeated := len(measured & trained_texts):
        lines.append(
            f"warning: dev and test rows share {repeated:,} of their texts with training rows, so the scores are higher"
            " than on new texts; task.drop_repeats: true leaves them out"
        )
    if repeated := sum(row.texts in measured for row in data.splits.get("unlabelled", ())):
        lines.append(
            f"warning: the texts of {repeated:,} unlabelled rows are those of dev or test rows, so the student learns"
            " the teacher's answers to them; task.drop_repeats: true leaves them out"
        )
    return lines


def _alike(names: Iterable[str]) -> list[str]:
    """The names that are others but for capitals."""
    lower = Counter(name.casefold() for name in names)
    return sorted(name for name in names if lower[name.casefold()] > 1)[:MANY_LABELS]


def _some(named: Mapping[str, object]) -> str:
    shown = [f"{name} ({value})" for name, value in list(named.items())[:MANY_LABELS]]
    return ", ".join(shown) + (f", and {len(named) - MANY_LABELS} more" if len(named) > MANY_LABELS else "")


def token_counter(folder: Path) -> TokenCounter | None:
    """That of a model's tokenizer; None where transformers is needed to read it."""
    whole, pieces = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.is_file():
        from tokenizers import Tokenizer  # noqa: PLC0415 (a finished run needs none)

        tokenizer = Tokenizer.from_file(str(whole))
        tokenizer.no_truncation()
        tokenizer.no_padding()
    elif pieces.is_file():
        from tokenizers import BertWordPieceTokenizer  # noqa: PLC0415

        lower = (json_object(folder / "tokenizer_config.json") or {}).get("do_lower_case", True)
        tokenizer = BertWordPieceTokenizer(str(pieces), lowercase=lower)
    else:
        return None
    return TokenCounter(tokenizer)
