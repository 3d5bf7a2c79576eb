"""Answer a question by a span of a text: SQuAD v1.1 and v2. `squad.py` reads the files, `answer_spans.py` scores.

A context that is too long is read in windows that overlap. A question without answers (SQuAD v2) is right when none is
given; where a split holds none of these, an answer is always given.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.data import AugmentData
from pipeline.config.training import DistillPredictions
from pipeline.data import squad
from pipeline.data.examples import Example
from pipeline.data.parquet import is_integer, is_list, is_struct, is_text
from pipeline.errors import UserError
from pipeline.tasks import answer_spans, sequence
from pipeline.tasks.base import Asked, Kind, Span, Splits

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.models.collate import Inputs

QUESTION_SHARE = 4  # of a window's tokens at most a quarter are the question's
FORBIDDEN = -1e4  # logit of what can be no answer; finite, so that zero times it is zero


# ---- the rows


def label_names(splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
    """None; raises UserError where no question of the training rows has an answer."""
    train = splits["train"]
    if train and not any(example.label["text"] for example in train):
        raise UserError(f"{train[0].path}: no question has an answer")
    return ()


def feature(label_names: tuple[str, ...]) -> Any:
    """Answers as the hub has them."""
    from datasets import List, Value  # noqa: PLC0415

    return {"text": List(Value("string")), "answer_start": List(Value("int32"))}


def column_fits(column: "pa.DataType") -> bool:
    """Answers as the hub has them do: a struct of a list of texts and a list of starts."""
    if not is_struct(column) or {field.name for field in column} != {"text", "answer_start"}:
        return False
    texts, starts = column.field("text").type, column.field("answer_start").type
    return is_list(texts) and is_text(texts.value_type) and is_list(starts) and is_integer(starts.value_type)


def corpus_texts(examples: Sequence[Example]) -> Iterable[str]:
    """Questions and contexts, each different one once: a context has several questions."""
    return dict.fromkeys(text for example in examples for text in example.texts)


# ---- augmentation


def protected(row: Mapping[str, Any], column: str, label_column: str, settings: AugmentData) -> list[Span]:
    """Where the answers stand; in the question they do not."""
    answers = row[label_column] or {"text": [], "answer_start": []}
    spans = [(start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)]
    return [span for span, text in zip(spans, answers["text"], strict=True) if row[column][slice(*span)] == text]


def realigned(row: dict[str, Any], text_columns: Sequence[str], label_column: str) -> dict[str, Any]:
    """The answers' starts moved by what was replaced before them, and read again from the new context."""
    answers, context = row[label_column], text_columns[1]
    if answers is None:
        return row
    moves = [
        (replaced["end"], len(replaced["new"]) - (replaced["end"] - replaced["start"]))
        for replaced in row["replaced"]
        if replaced["column"] == context
    ]
    starts = [start + sum(by for end, by in moves if end <= start) for start in answers["answer_start"]]
    for text, start in zip(answers["text"], starts, strict=True):
        if row[context][start : start + len(text)] != text:
            raise ValueError(f"the answer {text!r} does not stand at {start} of {row[context]!r}")
    return {**row, label_column: {"text": answers["text"], "answer_start": starts}}


# ---- tokens


def encode(batch: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", asked: Asked) -> dict[str, Any]:
    """A question with its context is one window, or several that overlap.

    `begin` and `end` are each token's characters of the context, -1 elsewhere. `start_token` and `end_token` are those
    of the first answer, or 0, the first token of the window, where it has none of it.
    """
    question_column, context_column = asked.text_columns
    longest = max(1, asked.max_length // QUESTION_SHARE)
    questions = [cut_text(tokenizer, text.strip(), longest) for text in batch[question_column]]
    encoded = tokenizer(
        questions,
        batch[context_column],
        truncation="only_second",
        max_length=asked.max_length,
        stride=min(asked.task.window_overlap, (asked.max_length - longest - 4) // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    rows: list[int] = encoded["overflow_to_sample_mapping"]
    columns: dict[str, Any] = {
        "input_ids": encoded["input_ids"],
        "row": rows,
        "place": [number - rows.index(row) for number, row in enumerate(rows)],
        "cut": [questions[row] != batch[question_column][row].strip() for row in rows],
    }
    if "token_type_ids" in encoded:
        columns["token_type_ids"] = encoded["token_type_ids"]
    characters = [
        [span if part == 1 else (-1, -1) for span, part in zip(offsets, one.sequence_ids, strict=True)]
        for offsets, one in zip(encoded["offset_mapping"], encoded.encodings or (), strict=True)
    ]
    columns["begin"] = [[begin for begin, _ in spans] for spans in characters]
    columns["end"] = [[end for _, end in spans] for spans in characters]
    if asked.label_column:
        found = []
        for row, windows in groupby(zip(rows, characters, strict=True), itemgetter(0)):
            found += answer_tokens([spans for _, spans in windows], batch[asked.label_column][row])
        columns["start_token"], columns["end_token"] = map(list, zip(*found, strict=True))
    return columns


def cut_text(tokenizer: "PreTrainedTokenizerFast", text: str, tokens: int) -> str:
    """The beginning of a text that is so many tokens long."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return first_tokens(text, offsets, tokens)


def first_tokens(text: str, offsets: Sequence[Span], tokens: int) -> str:
    """So many tokens of a text, from where its tokens stand."""
    return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]


def answer_tokens(windows: Sequence[Sequence[Span]], answers: squad.Answers) -> list[tuple[int, int]]:
    """For each window of a context the tokens at which the first answer begins and ends.

    (0, 0) where the window does not hold all of it. Characters that are in no token of any window (an accent that is
    taken off, a blank, a zero-width character) are no part of it.
    """
    if not answers["text"]:
        return [(0, 0)] * len(windows)
    begin = answers["answer_start"][0]
    end = begin + len(answers["text"][0])
    inside = [
        [number for number, (first, last) in enumerate(spans) if first < end and begin < last] for spans in windows
    ]
    pieces = [spans[number] for spans, numbers in zip(windows, inside, strict=True) for number in numbers]
    return [
        (numbers[0], numbers[-1])
        if numbers and spans[numbers[0]] == min(pieces) and spans[numbers[-1]] == max(pieces)
        else (0, 0)
        for spans, numbers in zip(windows, inside, strict=True)
    ]


def targets(columns: Mapping[str, Any]) -> "dict[str, Tensor]":
    """`allowed` (B, T), 1 on the context and on the first token, which stands for no answer; `start` and `end` (B,)."""
    import torch  # noqa: PLC0415

    from pipeline.models.collate import pad  # noqa: PLC0415

    found = {"allowed": pad([[1, *(int(begin >= 0) for begin in row[1:])] for row in columns["begin"]], 0)}
    if "start_token" in columns:
        found |= {"start": torch.tensor(columns["start_token"]), "end": torch.tensor(columns["end_token"])}
    return found


# ---- the model


def load(folder: Path, *, label_names: Sequence[str], **settings: Any) -> "PreTrainedModel":
    """A model with a start and an end logit a token."""
    from transformers import AutoModelForQuestionAnswering  # noqa: PLC0415

    from pipeline.models.loading import load_classifier  # noqa: PLC0415

    return load_classifier(folder, label_names=("start", "end"), head=AutoModelForQuestionAnswering, **settings)


def outputs_of(output: Any) -> "Tensor":
    """(B, T, 2): start and end logits."""
    import torch  # noqa: PLC0415

    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def outputs(model: "nn.Module", inputs: "Inputs") -> "Tensor":
    """The same, by a pass of the model."""
    from pipeline.models.packing import run  # noqa: PLC0415

    return outputs_of(run(model, inputs))


def _places(logits_BT2: "Tensor", inputs: "dict[str, Tensor]") -> "tuple[Tensor, Tensor]":
    """Start and end logits (B, T), float32, out of the running where no answer can begin or end."""
    masked_BT2 = logits_BT2.float().masked_fill(inputs["allowed"][..., None] == 0, FORBIDDEN)
    return masked_BT2[..., 0], masked_BT2[..., 1]


def supervised(outputs: "Tensor", inputs: "dict[str, Tensor]", weight: int) -> "dict[str, Tensor]":
    """Cross-entropy of the first and of the last token of the answer, a mean over windows."""
    from pipeline.losses.tinybert import label_loss  # noqa: PLC0415

    start_BT, end_BT = _places(outputs, inputs)
    return {
        "start": label_loss(start_BT, inputs["start"], examples=weight) / 2,
        "end": label_loss(end_BT, inputs["end"], examples=weight) / 2,
    }


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Soft cross-entropy (TinyBERT eq. 10) over the tokens of a window, of start and end, a mean over windows."""
    from pipeline.losses.tinybert import prediction_loss  # noqa: PLC0415

    pairs = zip(_places(student, inputs), _places(teacher, inputs), strict=True)
    losses = [
        prediction_loss(ours, theirs, temperature=settings.temperature, examples=weight) for ours, theirs in pairs
    ]
    return (losses[0] + losses[1]) / 2


def config(splits: Splits) -> dict[str, Any]:
    """Whether every question of the task has an answer: then one is always given, as in evaluation."""
    labels = [example.label for examples in splits.values() for example in examples if example.label is not None]
    return {"always_answers": all(label["text"] for label in labels)}


KIND = Kind(
    metrics=("exact_match_and_f1", "answer_f1", "exact_match"),
    answer=lambda value, columns: value,
    read=squad.read,
    label_names=label_names,
    has_label_names=False,
    origin=lambda example: example.texts[1],
    feature=feature,
    column_fits=column_fits,
    column_needs="answers are needed: a list of 'text' and one of 'answer_start'",
    corpus_texts=corpus_texts,
    protected=protected,
    realigned=realigned,
    encode=encode,
    targets=targets,
    load=load,
    save=sequence.save,
    head="ForQuestionAnswering",
    per_token=True,
    width=lambda model: 2,
    outputs=outputs,
    outputs_of=outputs_of,
    config=config,
    supervised=supervised,
    distilled=distilled,
    gold=answer_spans.gold,
    answers=answer_spans.answers,
    written=lambda answers, outputs, label_names: {"": list(answers)},
    statistics=answer_spans.statistics,
    details=answer_spans.details,
    beats_trivial=lambda metric, statistics: answer_spans.beats_no_answer(statistics),
    agreement=answer_spans.agreement,
)
