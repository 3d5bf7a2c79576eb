"""The folder of a finished run, small and made up, for the report to show; and what a page shows."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_augment.card import Statistics
from tests.helpers.published import EVALUATION, EXPORTED, write_manifest, write_stage

TEACHER = (
    "finetune_teacher",
    {"dev_score": 0.9, "dev_scores": [0.8, 0.9], "curve": [{"step": 2, "loss": 0.7}, {"step": 4, "loss": 0.5}]},
)
LAYERS = (
    "distill_layers",
    {"curve": [{"step": step, "hidden_1": 1 / step, "hidden_2": 2 / step, "embedding": 3.0} for step in (2, 4, 6)]},
)


def write_run(run: Path, rows: list[dict[str, Any]], **results: Any) -> Path:
    """The folder of a finished run whose student answered these rows."""
    write_stage(run, *TEACHER, learning_rate=3e-5)
    old_new = [{"column": "text", "start": 2, "end": 6, "old": "dull", "new": "warm", "source": "masked_lm"}]
    texts = [(0, 0, "a dull film", []), (0, 1, "a warm film", old_new), (1, 0, "no words", [])]
    columns = [{"source_id": i, "variant": v, "text": text, "replaced": replaced} for i, v, text, replaced in texts]
    counted = list((statistics := Statistics()).count(columns, ["text"]))
    data = write_stage(run, "augment_data", statistics.metrics(), variants=1) / "data"
    data.mkdir()
    pq.write_table(pa.Table.from_pylist(counted), data / "train-00000-of-00001.parquet")
    write_manifest(data.parent)
    write_stage(run, *LAYERS, reads="finetune_teacher", epochs=3)
    folder = write_stage(run, "evaluate_student", {}, reads="finetune_teacher", bootstrap=100)
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    (folder / "results.json").write_text(json.dumps(EVALUATION | {"labels": [], "rows": len(rows)} | results))
    write_stage(run, "export_student", EXPORTED, reads="evaluate_student")
    return run


def answered(label: Any, teacher: Any, student: Any, *, sure: float = 0.9, text: str = "a text") -> dict[str, Any]:
    probabilities = {} if isinstance(label, float) else {"teacher_probability": sure, "student_probability": sure}
    return {"split": "test", "texts": [text], "label": label, "teacher": teacher, "student": student, **probabilities}


CASES = [
    answered("good", "good", "good"),
    answered("good", "good", "bad", sure=0.6, text="a close call"),
    answered("bad", "bad", "good", sure=0.99, text="<b>5 < 6</b> & more"),
    answered("bad", "bad", "bad"),
]


class Page(HTMLParser):
    """The text of a page by section title, its pictures, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {"": ""}
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.in_title, self.title = False, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.in_title, self.title = tag == "h2", "" if tag == "h2" else self.title
        self.addresses += [known[name] for name in ("href", "src", "xlink:href") if name in known]
        if tag == "svg":
            self.pictures.append(known["aria-label"])

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title, self.in_title = data, False
        self.sections[self.title] = self.sections.get(self.title, "") + data
