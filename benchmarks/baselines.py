"""What one would take instead of the student, on the same test rows.

    python -m benchmarks.baselines [--recipe R] [--seed 0] [--json FILE] [--section.field value ...]

TF-IDF of words and characters with logistic regression; NB-SVM (Wang and Manning, ACL 2012: pairs of words weighted by
their log-count ratios); and the student itself, trained on the labels alone, from random weights and fitted to the
backbone. Each chooses its strength, or its epoch, on the dev rows. What distillation makes of the student the recipe
itself says.
Classification alone; no other model is downloaded.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.svm import LinearSVC

from benchmarks.quality import LABELS_ALONE_RATE, labels_alone, on_labels, run
from pipeline.launch.cli import DEFAULT_RECIPE
from pipeline.plan.plan import Plan, make_plan
from pipeline.tasks.labelled_data import TaskData, read_task

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # C of both linear models
Splits = dict[str, tuple[list[str], np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    overrides += ["--seed", str(given.seed)]
    plan = make_plan(given.recipe, overrides)
    splits = texts_and_labels(read_task(plan.recipe.task, plan.inputs.task))
    ways: dict[str, Callable[[], float]] = {
        "TF-IDF, logistic regression": lambda: tf_idf(splits),
        "NB-SVM": lambda: nb_svm(splits),
        "the student on labels alone": lambda: labels_alone(
            plan_of(given.recipe, overrides), given.recipe, [*overrides, "--name", f"baseline-{given.seed}"]
        ),
        "the fitted student on labels alone": lambda: fitted_on_labels(given.recipe, overrides, seed=given.seed),
    }
    rows: list[dict[str, Any]] = []
    for name, way in ways.items():
        began = time.perf_counter()
        rows.append({"name": name, "accuracy": way(), "seconds": time.perf_counter() - began})
    for row in rows:
        print(f"{row['name']:<36}{row['accuracy']:>8.2%}{row['seconds']:>8.0f} s")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def texts_and_labels(task: TaskData) -> Splits:
    """Each split's texts, both sides of a pair together, and its labels."""
    return {
        split: (["\n".join(each.texts) for each in examples], np.array([str(each.label) for each in examples]))
        for split, examples in task.splits.items()
    }


def tf_idf(splits: Splits) -> float:
    """Words, pairs of words, and characters within words."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    words.fit(splits["train"][0])
    characters.fit(splits["train"][0])

    def features(texts: Sequence[str]) -> csr_matrix:
        return csr_matrix(hstack([words.transform(texts), characters.transform(texts)]))

    return best_on_dev(splits, features, lambda strength: LogisticRegression(C=strength, max_iter=2000))


def nb_svm(splits: Splits) -> float:
    """Words and pairs of words, there or not, weighted by how much more often one label has them than the others."""
    counter = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"\S+")
    texts, labels = splits["train"]
    counts = counter.fit_transform(texts)
    ratios = []
    for label in np.unique(labels)[1:]:  # of two labels one ratio
        ours, theirs = (1 + np.asarray(counts[where].sum(axis=0)) for where in (labels == label, labels != label))
        ratios.append(np.log((ours / ours.sum()) / (theirs / theirs.sum())))

    def features(texts: Sequence[str]) -> csr_matrix:
        found = counter.transform(texts)
        return csr_matrix(hstack([found.multiply(ratio) for ratio in ratios]))

    return best_on_dev(splits, features, lambda strength: LinearSVC(C=strength / 10))


def best_on_dev(splits: Splits, features: Callable[[Sequence[str]], csr_matrix], make: Callable[[float], Any]) -> float:
    """Accuracy on test of the strength that is best on dev."""
    train, dev, test = (features(splits[split][0]) for split in ("train", "dev", "test"))
    models = [make(strength).fit(train, splits["train"][1]) for strength in STRENGTHS]
    best = max(models, key=lambda model: accuracy_score(splits["dev"][1], model.predict(dev)))
    return float(accuracy_score(splits["test"][1], best.predict(test)))


def plan_of(recipe: Path, overrides: list[str]) -> Plan:
    """The recipe, run as far as its backbone."""
    return run(recipe, [*overrides, "--name", "baseline"], "--until", "pretrain_teacher")


def fitted_on_labels(recipe: Path, overrides: list[str], *, seed: int) -> float:
    """The student, fitted to the backbone on the corpus, and then trained on the labels."""
    fitted = [*overrides, "--student.start_from", "backbone", "--distill_general.epochs", "0"]
    plan = run(recipe, [*fitted, "--name", f"baseline-fitted-{seed}"], "--until", "distill_general")
    epochs = plan.recipe.distill_layers.epochs + plan.recipe.distill_predictions.epochs
    student = plan.stages["distill_general"].artifact.folder / "student"
    arguments = [*overrides, "--name", f"baseline-fitted-{seed}-labels"]
    return on_labels(student, recipe, arguments, epochs=epochs, rate=LABELS_ALONE_RATE)


if __name__ == "__main__":
    main()
