"""Words and tags in a file, as a task reads them."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import read_task

CONLL = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"
SENTENCES = [("EU rejects", ("B-ORG", "O")), ("Peter Blackburn", ("B-PER", "I-PER"))]  # what it holds


def sentences(path: Path, content: str = "", **settings: Any) -> list[tuple[str, Any]]:
    """What a file holds, by a task whose three splits it is."""
    if content:
        path.write_text(content, encoding="utf-8")
    task = Task(kind="token_classification", **settings)
    data = read_task(task, {split: [path] for split in ("train", "dev", "test")})
    return [(example.texts[0], example.label) for example in data.splits["train"]]


def complaint(path: Path, content: str, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        sentences(path, content, **settings)
    return str(error.value)
