"""What one would take instead of the student, on the same test rows.

    python -m benchmarks.baselines [--recipe R] [--ways words nb_svm ...] [--seed 0] [--json FILE]
                                   [--section.field value ...]

The teacher itself, in PyTorch and as ONNX files; linear models over words and characters; the static embeddings of
model2vec, distilled from the recipe's teacher and fine-tuned (an extra: baselines); and the student itself, trained on
the labels alone, from random weights and fitted to the backbone. Each chooses its strength, or its epoch, on the dev
rows. Students are measured as they ship, in int8 ONNX with their vocabulary cut. The time of one text runs from the
text to its label, features or tokens included, by the wall clock, in turns of ten texts a way. The time to make a way
begins where the teacher, or the backbone, is there; that of a teacher has its fine-tuning. Any recipe of a
classification will do; no other model is downloaded. Where a run with the same recipe, seed and settings is finished,
its shipped student is measured beside them by the same clock.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.labelled_texts import LabelledTexts, Served
from benchmarks.linear_models import nb_svm, tf_idf
from benchmarks.quality import LABELS_ALONE_RATE, epochs_of, random_student, run, train_on_labels
from benchmarks.runs import made_by, note_of, published
from benchmarks.static_embeddings import MISSING, installed, static_student
from pipeline.errors import UserError, status_of
from pipeline.evaluate.comparison import disk_bytes
from pipeline.evaluate.exported_forms import WEIGHTS, add_tokenizer_and_onnx
from pipeline.evaluate.scoring import labelled_split
from pipeline.export.onnx_session import FLOAT32, INT8, SIDE_FILES
from pipeline.heads import head_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.models.loading import load_tokenizer
from pipeline.models.vocabulary import kept_pieces, save_tokenizer, trim_embeddings
from pipeline.plan.plan import Plan, make_plan
from pipeline.predict.answers import Texts
from pipeline.predict.student import load_student
from pipeline.tasks.tokenised import as_datasets

WAYS = {
    "teacher": "the teacher, in PyTorch",
    "ships": "the student that ships",
    "teacher_float32": "the teacher, in float32 ONNX",
    "teacher_int8": "the teacher, in int8 ONNX",
    "words": "TF-IDF of words, logistic regression",
    "characters": "TF-IDF of characters, logistic regression",
    "words_characters": "TF-IDF of words and characters, logistic regression",
    "nb_svm": "NB-SVM",
    "model2vec": "model2vec of the teacher, fine-tuned",
    "labels": "the same student on labels alone, random at first",
    "fitted_labels": "the same student on labels alone, fitted at first",
}
TEXTS_AT_ONCE = 64  # of a student that is scored
CUT = "cut"  # the folder of the tokenizer whose vocabulary is cut


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--texts", type=int, default=200, help="test texts that are timed, each alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    job = Job(given.recipe, [*overrides, "--seed", str(given.seed)], seed=given.seed)
    rows, made = [], {}
    for way in given.ways:
        row, served = job.measured(way)
        rows.append({"way": way, "name": WAYS[way]} | row)
        if served:
            made[way] = served
    latencies = job.rows.latencies_ms(list(made.values()), texts=given.texts)
    for way, latency in zip(made, latencies, strict=True):
        next(row for row in rows if row["way"] == way)["latency_ms"] = latency
    print(*map(_line, rows), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    if "not_run" in row:
        return f"{row['name']:<52} not run: {row['not_run']}"
    made = "" if row["seconds"] is None else f"{row['seconds']:>7.0f} s"
    return f"{row['name']:<52}{row['score']:>8.2%}{row['disk_bytes'] / 1e6:>8.1f} MB{row['latency_ms']:>8.2f} ms{made}"


@dataclass
class Job:
    """The ways on one recipe."""

    recipe: Path
    overrides: Sequence[str]
    seed: int

    def __post_init__(self) -> None:
        self.plan = make_plan(self.recipe, list(self.overrides))
        self.rows = LabelledTexts.of(self.plan.recipe, self.plan.inputs)
        self.read: list[Plan] = []  # the runs that the way measured now is made of

    def measured(self, way: str) -> tuple[dict[str, Any], Served | None]:
        """Score, size and seconds of a way, and the way itself; or `not_run`, and why."""
        if way == "model2vec" and not installed():
            return {"not_run": MISSING}, None
        if way == "ships":
            try:
                published(self.plan, "export_student")
            except UserError as missing:
                return {"not_run": str(missing)}, None
        self.read = [self.plan] if way == "ships" else []
        served = self._makers()[way]()
        row = {
            "score": self.rows.score(served.predict(self.rows.texts["test"]), "test"),
            "metric": self.rows.task.metric,
            "disk_bytes": served.disk_bytes,
            "seconds": None if way == "ships" else served.seconds,
        }
        if self.read:
            row["stages"] = note_of([{"stages": made_by(plan)} for plan in self.read])
        return row, served

    def _makers(self) -> dict[str, Callable[[], Served]]:
        return {
            "ships": lambda: self._served(published(self.plan, "export_student"), INT8, seconds=0),
            "teacher": lambda: self._teacher_as(WEIGHTS),
            "teacher_float32": lambda: self._teacher_as(FLOAT32),
            "teacher_int8": lambda: self._teacher_as(INT8),
            "words": lambda: tf_idf(self.rows, words=True, characters=False),
            "characters": lambda: tf_idf(self.rows, words=False, characters=True),
            "words_characters": lambda: tf_idf(self.rows, words=True, characters=True),
            "nb_svm": lambda: nb_svm(self.rows),
            "model2vec": lambda: static_student(self.rows, self._teacher(), seed=self.seed),
            "labels": self._labels_alone,
            "fitted_labels": self._fitted_on_labels,
        }

    def _run(self, name: str, *options: str, until: str) -> Plan:
        plan = run(self.recipe, [*self.overrides, *options, "--name", f"baseline-{name}"], "--until", until)
        self.read.append(plan)
        return plan

    def _teacher(self) -> Path:
        return self._run(f"teacher-{self.seed}", until="finetune_teacher").stages["finetune_teacher"].artifact.folder

    def _teacher_as(self, form: str) -> Served:
        """The teacher in one form of its export, with its embeddings in 8 bits where that is int8."""
        teacher, begin = self._teacher(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            export(self.plan, self.rows, teacher, Path(folder), pieces=0, embedding_bits=8)
            served = self._served(Path(folder), form, seconds=seconds_of(teacher) + time.perf_counter() - begin)
        return replace(served, disk_bytes=disk_bytes(teacher)) if form == WEIGHTS else served

    def _labels_alone(self) -> Served:
        """The student, from random weights, trained on the labels."""
        return self._trained(random_student(self._run(f"{self.seed}", until="pretrain_teacher")), name="labels")

    def _fitted_on_labels(self) -> Served:
        """The student, fitted to the backbone on the corpus, and then trained on the labels."""
        options = ("--student.start_from", "backbone", "--distill_general.epochs", "0")
        plan = self._run(f"fitted-{self.seed}", *options, until="distill_general")
        fitted = plan.stages["distill_general"].artifact
        return self._trained(fitted.folder / "student", name="fitted-labels", seconds=seconds_of(fitted.folder))

    def _trained(self, student: Path, *, name: str, seconds: float = 0) -> Served:
        """A student trained on the labels alone, and exported. Args: seconds: that its start took."""
        arguments = [*self.overrides, "--name", f"baseline-{name}-{self.seed}"]
        epochs = epochs_of(self.plan.recipe)
        plan = train_on_labels(student, self.recipe, arguments, epochs=epochs, rate=LABELS_ALONE_RATE)
        self.read.append(plan)
        trained = plan.stages["finetune_teacher"].artifact.folder
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            settings = plan.recipe.distill_layers.pieces, plan.recipe.export_student.embedding_bits
            export(plan, self.rows, trained, Path(folder), pieces=settings[0], embedding_bits=settings[1])
            taken = time.perf_counter() - begin
            return self._served(Path(folder), INT8, seconds=seconds + seconds_of(trained) + taken)

    def _served(self, folder: Path, form: str, *, seconds: float) -> Served:
        """An exported model by one of its files, which `form` names."""
        if form == FLOAT32:
            (folder / FLOAT32).replace(folder / INT8)  # by whose name a student is loaded
        student = load_student(folder, onnx=form != WEIGHTS)

        def predict(texts: Sequence[Texts]) -> np.ndarray:
            parts = [texts[first : first + TEXTS_AT_ONCE] for first in range(0, len(texts), TEXTS_AT_ONCE)]
            readings = [reading for part in parts for reading in student.read(part)]
            return np.array([reading.windows[0].outputs["logits"].argmax() for reading in readings])

        shipped = sum((folder / name).stat().st_size for name in (INT8, *SIDE_FILES))
        return Served(predict=predict, disk_bytes=shipped, seconds=seconds)


def export(plan: Plan, rows: LabelledTexts, trained: Path, folder: Path, *, pieces: int, embedding_bits: int) -> None:
    """Write the forms of a trained model. Args: pieces: 0, or its vocabulary is cut to that of the training rows."""
    settings, task = plan.recipe, rows.task
    tokenizer, head = load_tokenizer(trained), head_of(task.kind)
    train = labelled_split(as_datasets(task)["train"], task, settings.task, tokenizer).texts
    student = head.load(trained, label_names=task.label_names, new_head=False, attention="eager").eval()
    if pieces:
        counts = train.piece_counts()
        kept = kept_pieces(tokenizer, counts, pieces=int(np.count_nonzero(counts)))
        trim_embeddings(student, kept)
        save_tokenizer(tokenizer, folder / CUT, kept=kept)
        trained = folder / CUT
    head.save(student, folder, tokenizer_of=trained)
    add_tokenizer_and_onnx(
        student,
        folder,
        tokenizer_of=trained,
        inputs=train.model_inputs(),
        max_length=settings.task.max_length,
        embedding_bits=embedding_bits,
    )


def seconds_of(artifact: Path) -> float:
    """What a stage took, as its manifest says."""
    return json.loads((artifact / "stage.json").read_text(encoding="utf-8"))["seconds"]


if __name__ == "__main__":
    sys.exit(status_of(main))
