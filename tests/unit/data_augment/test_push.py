"""An augmented dataset on the hub: what is published, and what is said where it cannot be."""

import subprocess
from pathlib import Path

import pytest
from datasets import Features, Value
from huggingface_hub import DatasetCard

from data_augment.__main__ import main
from data_augment.dataset import read_counts, write_card, write_shard
from tests.helpers.fake_hub import TOKEN, answer_of, serve


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of one text."""
    folder, rows = tmp_path / "dataset", [{"source_id": 0, "text": "A fine film .", "variant": 0, "replaced": []}]
    features = Features({"id": Value("int64"), "text": Value("string")})
    write_shard(lambda _: rows, folder, number=0, count=1, features=features, text_columns=["text"])
    write_card(folder, read_counts(folder), text_columns=["text"], provenance={})
    return folder


def publish(
    folder: Path, name: str, home: Path, *options: str, token: str = TOKEN
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`push`, and what the hub then holds."""
    hub = home / "hub"
    with serve({}, uploads=hub) as address:
        return answer_of(main, "push", folder, name, *options, address=address, home=home, token=token), hub / name


def test_a_dataset_is_published_with_its_card_and_nothing_else(dataset: Path, tmp_path: Path) -> None:
    (dataset / "stage.json").write_text("{}")
    answer, there = publish(dataset, "owner/augmented", tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "/datasets/owner/augmented/commit/" in answer.stdout
    files = {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert sorted(files) == ["README.md", "data/train-00000-of-00001.parquet"]
    assert all((dataset / name).read_bytes() == content for name, content in files.items())


def test_a_licence_can_be_said_when_it_is_published(dataset: Path, tmp_path: Path) -> None:
    before = (dataset / "README.md").read_text()
    answer, there = publish(dataset, "owner/augmented", tmp_path, "--licence", "cc-by-4.0")
    assert answer.returncode == 0, answer.stderr
    published = DatasetCard.load(there / "README.md")
    assert published.data["license"] == "cc-by-4.0" and "configs" in published.data.to_dict()
    assert published.text.strip() == DatasetCard(before).text.strip()
    assert (dataset / "README.md").read_text() == before


def test_without_leave_to_write_it_says_so(dataset: Path, tmp_path: Path) -> None:
    answer, there = publish(dataset, "owner/augmented", tmp_path, token="reader")
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == (
        "error: hub:owner/augmented cannot be written with your token (401): give one that may write there, by"
        " `hf auth login`"
    )
    assert not there.exists()
