"""The augmented dataset as stages read it: which outputs have a label that is known."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from pipeline.artifacts.store import Artifact
from pipeline.config.data import Task
from pipeline.distill.augmented_dataset import _by_shards, _known_labels, read_augmented
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.tokenised import TokenisedTexts
from tests.helpers.one_process import make_stage


def test_of_words_the_first_token_has_a_known_tag(tiny_template: Path) -> None:
    tags = List(ClassLabel(names=["O", "B-x", "I-x"]))
    rows = Dataset.from_dict(
        {"text": ["the unwatchable film", "it", "a plot"], "label": [[0, 1, 2], None, [0, 1]]},
        features=Features({"text": Value("string"), "label": tags}),
    )
    texts = TokenisedTexts(
        rows,
        load_tokenizer(tiny_template / "model"),
        text_columns=["text"],
        max_length=32,
        task=Task(kind="token_classification"),
    )
    units, labels = _known_labels(rows, texts)
    first, second = texts.lengths[0], texts.lengths[1]
    assert first > 5  # a word of several tokens
    assert units.tolist() == [1, 2, first - 2, first + second + 1, first + second + 2]
    assert labels.tolist() == [0, 1, 2, 0, 1]


def test_of_texts_those_with_a_label_are_known(tiny_template: Path) -> None:
    rows = Dataset.from_dict(
        {"text": ["the film", "it", "a plot"], "label": [1, None, 0]},
        features=Features({"text": Value("string"), "label": ClassLabel(names=["a", "b"])}),
    )
    texts = TokenisedTexts(rows, load_tokenizer(tiny_template / "model"), text_columns=["text"], max_length=32)
    units, labels = _known_labels(rows, texts)
    assert (units.tolist(), labels.tolist()) == ([0, 2], [1, 0])


def test_files_that_the_artifact_does_not_list_are_not_read(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path / "artifacts", "augment_data", "f00d")
    rows = Dataset.from_dict({"text": ["the film", "it"]})
    rows.to_parquet(artifact.output / "data" / "train-00000-of-00001.parquet")
    artifact.publish({})
    rows.to_parquet(artifact.folder / "data" / "train-00000-of-00001 (copy).parquet")
    (artifact.folder / "data" / "._train-00000-of-00001.parquet").write_bytes(b"of a file system")
    assert len(read_augmented(make_stage(tmp_path), artifact.folder)) == 2


def test_of_a_dataset_in_the_making_hidden_files_are_not_read(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["the film"]}).to_parquet(tmp_path / "everything" / "data" / "train-0.parquet")
    (tmp_path / "everything" / "data" / "._train-0.parquet").write_bytes(b"of a file system")
    assert len(read_augmented(make_stage(tmp_path), tmp_path / "everything")) == 1


def test_logits_of_all_shards_are_in_memory_once(tmp_path: Path, tiny_template: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.distill.augmented_dataset.SHARD", 3)
    rows = Dataset.from_dict({"text": ["the film"] * 20})
    texts = TokenisedTexts(rows, load_tokenizer(tiny_template / "model"), text_columns=["text"], max_length=32)
    stage = make_stage(tmp_path)
    stage.work.mkdir()

    def logits_of(rows: np.ndarray) -> np.ndarray:
        return np.repeat(rows[:, None], 100_000, axis=1).astype(np.float32)

    _by_shards(stage, texts, logits_of)
    tracemalloc.start()
    found = _by_shards(stage, texts, logits_of)  # the shards are there
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == (20, 100_000) and (found == np.arange(20)[:, None]).all()
    assert peak < 1.5 * found.nbytes


@pytest.mark.parametrize("name", ["[1]", "a*", "a?"])
def test_a_path_with_signs_of_patterns_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    for folder, texts in ((name, ["the film"]), ("1", ["it", "is"]), ("ab", ["it", "is"])):
        Dataset.from_dict({"text": texts}).to_parquet(tmp_path / folder / "data" / "train-0.parquet")
    assert read_augmented(make_stage(tmp_path), tmp_path / name)["text"][:] == ["the film"]
