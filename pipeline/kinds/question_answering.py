"""Answer a question by a span of a text: SQuAD v1.1 and v2.

Files: SQuAD's nested .json, or tables with a question, a context and its answers a row (SQuAD's columns on the hub). A
context that is too long is read in windows that overlap. A question without answers (SQuAD v2) is right when none is
given; where a split holds none of these, an answer is always given.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.config import AugmentData, DistillPredictions, MetricName
from pipeline.errors import UserError
from pipeline.examples import Columns, Example, group_of, shown, text_of
from pipeline.kinds import texts
from pipeline.kinds.kind import Asked, Kind, Span, Splits
from pipeline.tables import place, read_json, read_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.batches import Inputs
    from pipeline.encoding import EncodedTexts

Answers = dict[str, list[Any]]  # 'text' and 'answer_start', as on the hub; both empty: there is no answer
BEST = 20  # starts and ends of a window that are paired
LONGEST_ANSWER = 30  # tokens
QUESTION_SHARE = 4  # of a window's tokens at most a quarter are the question's
FORBIDDEN = -1e4  # logit of what can be no answer; finite, so that zero times it is zero


# ---- the rows


class Asking(NamedTuple):
    """A question as the files have it."""

    where: str
    line: int
    question: Any
    context: Any
    answers: Any
    group: str | None


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's questions, each with its context and where its answers begin."""
    if len(columns.texts) < 2:
        raise UserError("task.text_pair: name the column of the context, and in task.text that of the question")
    for asking in _nested(path, columns) or _flat(path, columns):
        try:
            found = tuple(map(text_of, (asking.question, asking.context), columns.texts))
            if not all(found):
                if not columns.skip_empty:
                    column = columns.texts[found.index("")]
                    raise ValueError(f"column '{column}' has no text; write one, or set task.skip_empty: true")
                left_out["empty"] += 1
                continue
            label = answers_of(asking.answers, found[1]) if columns.label else None
        except ValueError as error:
            raise UserError(f"{asking.where}: {error}") from None
        yield Example(found, label, asking.group, path, asking.line)


def _flat(path: Path, columns: Columns) -> Iterator[Asking]:
    for line, values in read_rows(path, columns=columns.names()):
        question, context = (values[column] for column in columns.texts)
        group = group_of(values[columns.group], columns.group) if columns.group else None
        yield Asking(place(path, line), line, question, context, values.get(columns.label), group)


def _nested(path: Path, columns: Columns) -> Iterator[Asking] | None:
    """The questions of SQuAD's own layout, or None where the file has another."""
    if not re.search(r"\.json(\.gz|\.bz2|\.xz)?$", path.name):
        return None
    articles = read_json(path)
    articles = articles.get("data", articles) if isinstance(articles, dict) else articles
    articles = [articles] if isinstance(articles, dict) else articles
    if not (isinstance(articles, list) and articles and isinstance(articles[0], dict) and "paragraphs" in articles[0]):
        return None
    return _questions(path, articles)


def _questions(path: Path, articles: Sequence[Any]) -> Iterator[Asking]:
    number = 0
    for article in articles:
        title = article.get("title")
        for paragraph in article.get("paragraphs", ()):
            for asked in paragraph.get("qas", ()):
                number += 1
                where = f"{path}, question {asked.get('id', number)}"
                if "question" not in asked or "context" not in paragraph:
                    raise UserError(f"{where}: needs a 'question', and its paragraph a 'context'")
                answers = [] if asked.get("is_impossible") else asked.get("answers", [])  # not plausible_answers
                yield Asking(where, number, asked["question"], paragraph["context"], answers, title)


def answers_of(value: Any, context: str) -> Answers:
    """Texts and starts, from SQuAD's list of answers or the hub's lists of texts and of starts.

    A text that does not stand at its start is looked for nearest to it.
    """
    if value is None:
        value = []
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        value = [value]
    if isinstance(value, dict):
        starts = value.get("answer_start", [0] * len(value.get("text", ())))
        value = [
            {"text": text, "answer_start": start} for text, start in zip(value.get("text", ()), starts, strict=True)
        ]
    found: Answers = {"text": [], "answer_start": []}
    for answer in value if isinstance(value, list) else [value]:
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise ValueError(f"an answer is {shown(answer)}, not a text and its answer_start")
        text, start = answer["text"], answer.get("answer_start", 0)
        if not text.strip():
            continue
        if not isinstance(start, int) or context[start : start + len(text)] != text or start < 0:
            starts = [match.start() for match in re.finditer(re.escape(text), context)]
            if not starts:
                raise ValueError(f"the context does not hold the answer {shown(text)}")
            wanted = start if isinstance(start, int) else 0
            start = min(starts, key=lambda other: abs(other - wanted))
        found["text"].append(text)
        found["answer_start"].append(start)
    return found


def label_names(splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
    """None; raises UserError where no question of the training rows has an answer."""
    train = splits["train"]
    if not any(example.label["text"] for example in train):
        raise UserError(f"{train[0].path}: no question has an answer")
    return ()


def feature(label_names: tuple[str, ...]) -> Any:
    """Answers as the hub has them."""
    from datasets import List, Value  # noqa: PLC0415

    return {"text": List(Value("string")), "answer_start": List(Value("int32"))}


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
        answers = batch[asked.label_column]
        found = [answer_tokens(spans, answers[row]) for spans, row in zip(characters, rows, strict=True)]
        columns["start_token"], columns["end_token"] = map(list, zip(*found, strict=True))
    return columns


def cut_text(tokenizer: "PreTrainedTokenizerFast", text: str, tokens: int) -> str:
    """The beginning of a text that is so many tokens long."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]


def answer_tokens(spans: Sequence[Span], answers: Answers) -> tuple[int, int]:
    """The tokens at which the first answer begins and ends; (0, 0) where the window does not hold all of it."""
    if not answers["text"]:
        return 0, 0
    begin = answers["answer_start"][0]
    last = begin + len(answers["text"][0]) - 1
    first_token = next((number for number, (start, end) in enumerate(spans) if start <= begin < end), 0)
    last_token = next((number for number, (start, end) in enumerate(spans) if start <= last < end), 0)
    return (first_token, last_token) if first_token and last_token else (0, 0)


def targets(columns: Mapping[str, Any]) -> "dict[str, Tensor]":
    """`allowed` (B, T), 1 on the context and on the first token, which stands for no answer; `start` and `end` (B,)."""
    import torch  # noqa: PLC0415

    from pipeline.batches import pad  # noqa: PLC0415

    found = {"allowed": pad([[1, *(int(begin >= 0) for begin in row[1:])] for row in columns["begin"]], 0)}
    if "start_token" in columns:
        found |= {"start": torch.tensor(columns["start_token"]), "end": torch.tensor(columns["end_token"])}
    return found


# ---- the model


def load(folder: Path, *, label_names: Sequence[str], **settings: Any) -> "PreTrainedModel":
    """A model with a start and an end logit a token."""
    from transformers import AutoModelForQuestionAnswering  # noqa: PLC0415

    from pipeline.models import load_classifier  # noqa: PLC0415

    return load_classifier(folder, label_names=("start", "end"), head=AutoModelForQuestionAnswering, **settings)


def outputs_of(output: Any) -> "Tensor":
    """(B, T, 2): start and end logits."""
    import torch  # noqa: PLC0415

    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def outputs(model: "nn.Module", inputs: "Inputs") -> "Tensor":
    """The same, by a pass of the model."""
    from pipeline.packing import run  # noqa: PLC0415

    return outputs_of(run(model, inputs))


def _places(logits_BT2: "Tensor", inputs: "dict[str, Tensor]") -> "tuple[Tensor, Tensor]":
    """Start and end logits (B, T), float32, out of the running where no answer can begin or end."""
    masked_BT2 = logits_BT2.float().masked_fill(inputs["allowed"][..., None] == 0, FORBIDDEN)
    return masked_BT2[..., 0], masked_BT2[..., 1]


def supervised(outputs: "Tensor", inputs: "dict[str, Tensor]", weight: int) -> "dict[str, Tensor]":
    """Cross-entropy of the first and of the last token of the answer, a mean over windows."""
    from pipeline.losses import label_loss  # noqa: PLC0415

    start_BT, end_BT = _places(outputs, inputs)
    return {
        "start": label_loss(start_BT, inputs["start"], examples=weight) / 2,
        "end": label_loss(end_BT, inputs["end"], examples=weight) / 2,
    }


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Soft cross-entropy (TinyBERT eq. 10) over the tokens of a window, of start and end, a mean over windows."""
    from pipeline.losses import prediction_loss  # noqa: PLC0415

    pairs = zip(_places(student, inputs), _places(teacher, inputs), strict=True)
    losses = [
        prediction_loss(ours, theirs, temperature=settings.temperature, examples=weight) for ours, theirs in pairs
    ]
    return (losses[0] + losses[1]) / 2


# ---- scores


def answers(outputs: np.ndarray, encoded: "EncodedTexts", dataset: "Dataset") -> list[str]:
    """The best span of all windows of each row; empty where none is better than no answer and that may be said."""
    context_column, label_column = _columns(dataset)
    rows = encoded.rows
    none_may_be = any(not answers["text"] for answers in dataset[label_column] if answers is not None)
    bounds = encoded.bounds(np.arange(len(encoded)))
    best: list[tuple[float, Span]] = [(-np.inf, (0, 0))] * len(dataset)
    no_answer = np.full(len(dataset), np.inf)
    for number, (begins, ends) in enumerate(zip(rows["begin"], rows["end"], strict=True)):
        logits, row = outputs[bounds[number] : bounds[number + 1]], encoded.row[number]
        no_answer[row] = min(no_answer[row], logits[0].sum())
        best[row] = max(best[row], best_span(logits, np.asarray(begins), np.asarray(ends)))
    contexts = dataset[context_column]
    return [
        "" if none_may_be and no_answer[row] > score else contexts[row][slice(*span)]
        for row, (score, span) in enumerate(best)
    ]


def best_span(logits_T2: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> tuple[float, Span]:
    """The largest sum of a start and an end logit of a window, and the characters that it takes from the context."""
    context = np.flatnonzero(begins >= 0)
    if not len(context):
        return -np.inf, (0, 0)
    first, last = (context[np.argsort(-logits_T2[context, side], kind="stable")[:BEST]] for side in (0, 1))
    possible = (first[:, None] <= last) & (last - first[:, None] < LONGEST_ANSWER)
    sums = np.where(possible, logits_T2[first, 0][:, None] + logits_T2[last, 1], -np.inf)
    start, end = np.unravel_index(sums.argmax(), sums.shape)
    return float(sums[start, end]), (int(begins[first[start]]), int(ends[last[end]]))


def _columns(dataset: "Dataset") -> tuple[str, str]:
    """The column of the context, the second of text, and that of the answers."""
    is_text = {name: getattr(feature, "dtype", None) == "string" for name, feature in dataset.features.items()}
    label = next(name for name, feature in dataset.features.items() if isinstance(feature, dict))
    return [name for name in is_text if is_text[name]][1], label


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and spaces too many, as SQuAD's script compares answers."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, right: str) -> float:
    """1 where both are the same but for what `normalized` takes away."""
    return float(normalized(answer) == normalized(right))


def token_f1(answer: str, right: str) -> float:
    """F1 of the words of both; where one of them is empty, whether both are."""
    ours, theirs = normalized(answer).split(), normalized(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    same = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * same / (len(ours) + len(theirs))


def gold(dataset: "Dataset", label_column: str) -> list[list[str]]:
    """The right answers of each row; one that is empty where there is none (or none but articles)."""
    found = dataset[label_column]
    return [[text for text in answers["text"] if normalized(text)] or [""] for answers in found]


def statistics(answers: Sequence[str], gold: Sequence[Sequence[str]]) -> np.ndarray:
    """(R, 3): exact match and F1, each with the best of the right answers, and whether no answer is right."""
    figures = [
        (
            max(exact_match(answer, right) for right in rights),
            max(token_f1(answer, right) for right in rights),
            float(rights == [""]),
        )
        for answer, rights in zip(answers, gold, strict=True)
    ]
    return np.array(figures, dtype=np.float64).reshape(-1, 3)


def details(metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
    """Means over rows, as SQuAD's scripts compute them (there times 100)."""
    parts = {"exact_match": float(statistics[:, 0].mean()), "answer_f1": float(statistics[:, 1].mean())}
    return parts if metric == "exact_match_and_f1" else {metric: parts[metric]}


def beats_no_answer(statistics: np.ndarray) -> bool:
    """Whether F1 is larger than that of never answering."""
    return statistics[:, 1].mean() > statistics[:, 2].mean()


def agreement(theirs: Sequence[str], ours: Sequence[str]) -> float:
    """Share of the rows with the same answer."""
    return float(np.mean([exact_match(a, b) for a, b in zip(theirs, ours, strict=True)]))


KIND = Kind(
    metrics=("exact_match_and_f1", "answer_f1", "exact_match"),
    answer=lambda value, columns: value,
    read=read,
    label_names=label_names,
    has_label_names=False,
    origin=lambda example: example.texts[1],
    feature=feature,
    corpus_texts=corpus_texts,
    protected=protected,
    realigned=realigned,
    encode=encode,
    targets=targets,
    load=load,
    save=texts.save,
    per_token=True,
    width=lambda model: 2,
    outputs=outputs,
    outputs_of=outputs_of,
    supervised=supervised,
    distilled=distilled,
    gold=gold,
    answers=answers,
    written=lambda answers, outputs, label_names: {"": list(answers)},
    statistics=statistics,
    details=details,
    beats_trivial=beats_no_answer,
    agreement=agreement,
)
