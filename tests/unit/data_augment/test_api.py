"""Candidates without the pipeline: what is proposed, and folders that are there already."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_augment.api import propose
from data_augment.candidates_folder import read_candidates
from data_augment.provenance import candidates_provenance
from pipeline.errors import UserError
from tests.helpers.alone import run, texts_of


def test_every_text_gets_candidates_of_both_sources(world: Path) -> None:
    found = read_candidates(world / "candidates")
    assert set(found) == set(texts_of(world))
    words = [word for text in found for word in found[text]]
    assert {word.source for word in words} == {"masked_lm", "vectors"}
    assert all(0 < len(word.candidates) <= 4 for word in words)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_the_same_call_again_does_nothing_and_a_shard_that_is_lost_or_cut_off_alone_is_made_again(
    world: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    options: dict[str, Any] = {"masked_lm": world / "model", "vectors": world / "vectors.txt", "k": 2, "shard_texts": 8}
    folder = propose(texts_of(world), tmp_path / "candidates", **options)
    shards = sorted((folder / "data").glob("*.parquet"))
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in shards}
    assert len(before) > 2
    damage(shards[1])
    propose(texts_of(world), folder, **options)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in shards}
    assert {name for name in before if after[name][0] != before[name][0]} == {shards[1].name}
    assert {name: content for name, (_, content) in after.items()} == {n: content for n, (_, content) in before.items()}


def test_a_folder_of_other_candidates_is_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "propose", "--output", "candidates", "-k", "5") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {world}/candidates holds candidates with k 4, not 5; give another folder"
    )


def test_where_the_masked_lm_alone_proposes_vectors_do_not(world: Path) -> None:
    assert run(world, "propose", "--output", "model_alone", "--several-pieces", "masked_lm") == 0
    found = read_candidates(world / "model_alone")
    assert {word.source for text in found for word in found[text]} == {"masked_lm"}


def test_a_folder_of_candidates_made_with_a_setting_that_is_left_out_now_is_refused(world: Path) -> None:
    assert run(world, "propose", "--output", "of_the_model", "--several-pieces", "masked_lm") == 0
    assert run(world, "propose", "--output", "of_the_model") == 2


def test_candidates_of_one_name_are_told_apart_by_what_they_hold(world: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):  # as the pipeline publishes them: without settings
        shutil.copytree(world / "candidates/data", tmp_path / name / "propose_candidates/data")
    one, other = (tmp_path / name / "propose_candidates" for name in ("one", "other"))
    assert candidates_provenance(one) == candidates_provenance(other)
    next((other / "data").glob("*.parquet")).write_bytes(b"others")
    assert candidates_provenance(one) != candidates_provenance(other)


def test_another_tokenizer_is_another_model(world: Path, tmp_path: Path) -> None:
    model = shutil.copytree(world / "model", tmp_path / "model")
    folder = propose(texts_of(world)[:4], tmp_path / "candidates", masked_lm=model, k=2)
    with (model / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("another\n")
    with pytest.raises(UserError, match="holds candidates with masked_lm_sha256"):
        propose(texts_of(world)[:4], folder, masked_lm=model, k=2)


def test_stop_words_and_protected_words_are_not_replaced(world: Path) -> None:
    (world / "stop.txt").write_text("Film\nstory\n")
    options = ["--stop-words", str(world / "stop.txt"), "--protect", "s[ck]\\w+|good and"]
    assert run(world, "propose", "--output", "spared", *options) == 0
    found = read_candidates(world / "spared")
    words = {text[word.start : word.end].lower() for text in found for word in found[text]}
    assert words
    assert not words & {"film", "story", "scene", "script", "score"}
    assert "the" in words  # the given list stands instead of ours
