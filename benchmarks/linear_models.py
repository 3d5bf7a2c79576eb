"""Linear models over words and characters, each with the strength that is best on the dev rows.

TF-IDF with logistic regression; NB-SVM (Wang and Manning, ACL 2012): words and pairs of words, there or not, weighted
by how much more often one label has them than the others, and a linear support vector machine.
"""

import pickle
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, hstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from benchmarks.labelled_texts import LabelledTexts, Served, joined
from data_augment.words import find_words
from pipeline.data.languages import SEGMENTERS

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # C of both linear models


def tf_idf(rows: LabelledTexts, *, words: bool, characters: bool) -> Served:
    """Words and pairs of words, runs of characters, or both."""
    parts: list[Any] = []
    if words:
        parts.append(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, **_words(rows)))
    if characters:
        runs: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 5)}
        if rows.language in SEGMENTERS:  # without blanks a text is no sequence of words
            runs = {"analyzer": "char", "ngram_range": (1, 4)}
        parts.append(TfidfVectorizer(min_df=2, sublinear_tf=True, **runs))
    return best_on_dev(rows, SideBySide(parts), lambda strength: LogisticRegression(C=strength, max_iter=2000))


def nb_svm(rows: LabelledTexts) -> Served:
    """Words and pairs of words by their log-count ratios, and a support vector machine."""
    how: dict[str, Any] = {"token_pattern": r"\S+"} | _words(rows)
    counter = CountVectorizer(ngram_range=(1, 2), binary=True, **how)
    features = Pipeline([("counts", counter), ("ratios", LogCountRatios())])
    return best_on_dev(rows, features, lambda strength: LinearSVC(C=strength / 10))


def best_on_dev(rows: LabelledTexts, features: Any, make: Callable[[float], Any]) -> Served:
    """The model whose strength is best on dev, as one pipeline from texts to labels."""
    begin = time.perf_counter()
    train = features.fit_transform(rows.joined("train"), rows.labels["train"])
    dev = features.transform(rows.joined("dev"))
    models = [make(strength).fit(train, rows.labels["train"]) for strength in STRENGTHS]
    best = max(models, key=lambda model: rows.score(model.predict(dev), "dev"))
    whole = Pipeline([("features", features), ("model", best)])
    return Served(
        predict=lambda texts: whole.predict([joined(each) for each in texts]),
        disk_bytes=len(pickle.dumps(whole)),  # as joblib would write it
        seconds=time.perf_counter() - begin,
    )


class SideBySide(TransformerMixin, BaseEstimator):
    """The features of several vectorizers, one after the other. sklearn's FeatureUnion takes milliseconds a text."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def fit(self, texts: list[str], labels: Any = None) -> "SideBySide":
        """Fit each."""
        for part in self.parts:
            part.fit(texts)
        return self

    def transform(self, texts: list[str]) -> csr_matrix:
        """(rows, features of all)."""
        return csr_matrix(hstack([part.transform(texts) for part in self.parts]))


class LogCountRatios(TransformerMixin, BaseEstimator):
    """Counts (rows, features) times the log-count ratio of each label against the others; of two labels one ratio."""

    def fit(self, counts: csr_matrix, labels: ArrayLike) -> "LogCountRatios":
        """Count how often each label has a feature, once more than it does."""
        ratios = []
        for label in np.unique(labels)[1:]:
            ours, theirs = (1 + np.asarray(counts[where].sum(axis=0)) for where in (labels == label, labels != label))
            ratios.append(np.log((ours / ours.sum()) / (theirs / theirs.sum())))
        self.ratios_ = ratios
        return self

    def transform(self, counts: csr_matrix) -> csr_matrix:
        """(rows, features x ratios)."""
        return csr_matrix(hstack([counts.multiply(ratio) for ratio in self.ratios_]))


def _words(rows: LabelledTexts) -> dict[str, Any]:
    """How a vectorizer finds words where no blanks part them; elsewhere its own way."""
    if rows.language not in SEGMENTERS:
        return {}
    return {"tokenizer": partial(words_of, language=rows.language), "token_pattern": None}


def words_of(text: str, *, language: str) -> list[str]:
    """The words of a text in a language without blanks."""
    return [text[start:end] for start, end in find_words(text, language)]
