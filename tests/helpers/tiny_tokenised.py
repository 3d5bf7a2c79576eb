"""Tiny tasks whose rows are several sequences, or whose tokens have labels, tokenised."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipeline.config.data import Task
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets
from tests import tiny

QUESTIONS: dict[str, Any] = {
    "kind": "question_answering",
    "text": "question",
    "text_pair": "context",
    "label": "answers",
}


def question_rows(folder: Path, **settings: Any) -> tuple[Dataset, PreTrainedTokenizerFast]:
    """Twelve questions, and a tokenizer. Args: settings: of `tiny.write_questions`."""
    tokenizer = load_tokenizer(tiny.write_model(folder))
    path = tiny.write_questions(folder / "train.json", rows=12, **settings)
    data = read_task(Task(**QUESTIONS), {split: [path] for split in ("train", "dev", "test")})
    return as_datasets(data)["train"], tokenizer


def tokenised_questions(rows: Dataset, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> TokenisedTexts:
    """Questions with their contexts as windows that overlap by four tokens."""
    return TokenisedTexts(
        rows,
        tokenizer,
        text_columns=["question", "context"],
        max_length=max_length,
        task=Task(**QUESTIONS, window_overlap=4),
        label_column="answers",
    )


def tokenised_tags(folder: Path) -> tuple[TokenisedTexts, Dataset]:
    """Six texts with a tag a word, cut at twelve tokens."""
    tokenizer, task = load_tokenizer(tiny.write_model(folder)), Task(kind="token_classification")
    path = tiny.write_tagged(folder / "rows.conll", rows=6)
    rows = as_datasets(read_task(task, {split: [path] for split in ("train", "dev", "test")}))["train"]
    texts = TokenisedTexts(rows, tokenizer, text_columns=["text"], max_length=12, task=task, label_column="label")
    return texts, rows
