"""A classification task as a baseline takes it, and a baseline as one would serve it."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import Recipe
from pipeline.data.languages import languages_of
from pipeline.errors import require
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.predict.answers import Texts
from pipeline.tasks.labelled_data import TaskData, read_task

PAUSE = 0.1  # seconds
TURN = 10  # texts of one way before the next; the first turn of each warms up


@dataclass(frozen=True, kw_only=True)
class Served:
    """Something that classifies texts, ready to be used."""

    predict: Callable[[Sequence[Texts]], np.ndarray]  # texts or pairs to label numbers
    disk_bytes: int  # of all that has to be there for it
    seconds: float  # that it took to make


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """The rows of a task that have a label, by split: `train`, `dev`, `test`."""

    task: TaskData
    texts: Mapping[str, list[Texts]]
    labels: Mapping[str, np.ndarray]  # label numbers
    language: str  # of most texts

    @classmethod
    def of(cls, recipe: Recipe, inputs: RecipeInputs) -> "LabelledTexts":
        """Read the task of a recipe. Raises: UserError for a task that is no classification."""
        task = read_task(recipe.task, inputs.task)
        require(
            task.kind.name == "classification",
            f"task.kind: the baselines know classification alone, and the task of this recipe is {task.kind.name}",
        )
        splits = {
            name: [each for each in task.splits[name] if each.label is not None] for name in ("train", "dev", "test")
        }
        read = [text for each in splits["train"] for text in each.texts]
        return cls(
            task=task,
            texts={name: [tuple(each.texts) for each in rows] for name, rows in splits.items()},
            labels={name: np.array([task.label_numbers[each.label] for each in rows]) for name, rows in splits.items()},
            language=languages_of(read, recipe.task.language).found[0],
        )

    def joined(self, split: str) -> list[str]:
        """Both texts of a pair as one."""
        return [joined(texts) for texts in self.texts[split]]

    def score(self, predicted: np.ndarray, split: str) -> float:
        """The task's metric of predicted label numbers."""
        kind = self.task.kind
        return kind.score(self.task.metric, kind.statistics(predicted, self.labels[split]))

    def latencies_ms(self, ways: Sequence[Served], *, texts: int) -> list[float]:
        """Median milliseconds from one test text to its label, the ways taking turns.

        A turn has several texts, and its first is left out: threads spin for a while after the last text of a way, and
        would slow down the one that comes next. For the same reason a turn begins after a pause.
        """
        rows = self.texts["test"][: texts + TURN]
        turns = [rows[first : first + TURN] for first in range(0, len(rows), TURN)]
        taken: list[list[list[float]]] = [[] for _ in ways]
        gc.collect()
        gc.disable()  # as timeit does: a collection takes longer than most ways, and hits always the same one
        try:
            for turn in turns:
                for served, of_way in zip(ways, taken, strict=True):
                    time.sleep(PAUSE)
                    of_way.append([_milliseconds(served, row) for row in turn])
        finally:
            gc.enable()
        return [_median(of_way) for of_way in taken]


def _milliseconds(served: Served, row: Texts) -> float:
    begin = time.perf_counter()
    served.predict([row])
    return (time.perf_counter() - begin) * 1000


def _median(turns: Sequence[Sequence[float]]) -> float:
    """Without the first turn and the first of each, where there are others."""
    after = turns[1:] or turns
    return statistics.median([time for turn in after for time in turn[1:]] or after[0])


def joined(texts: Texts) -> str:
    """One text, or both of a pair as one."""
    return "\n".join(texts)
