"""The student learns, is measured and ships with a vocabulary of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import AutoModelForTokenClassification

from pipeline.export.four_bits import pack_rows, unpack_rows
from pipeline.models.collate import Batch
from pipeline.models.loading import load_tokenizer
from pipeline.models.vocabulary import pieces_kept
from stages import distill_layers
from tests import tiny
from tests.helpers.one_process import run_everything, run_recipe

PIECES = 40  # of tiny.recipe

pytestmark = pytest.mark.slow


def embeddings(folder: Path) -> int:
    """Rows of the word embeddings in a model's weights."""
    with safe_open(folder / "model.safetensors", "pt") as weights:
        (name,) = (name for name in weights.keys() if name.endswith("word_embeddings.weight"))  # noqa: SIM118
        return weights.get_slice(name).get_shape()[0]


def test_the_pieces_that_the_texts_use_most_are_those_of_every_student(finished: Path) -> None:
    students = [finished / "distill_layers" / "student", finished / "distill_predictions", finished / "export_student"]
    vocabularies = [load_tokenizer(folder).get_vocab() for folder in students]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    assert len(vocabularies[0]) == PIECES == embeddings(students[0]) == embeddings(students[2])
    whole = load_tokenizer(finished / "finetune_teacher")
    texts = pq.read_table(finished / "augment_data" / "data")["text"].to_pylist()
    ids = np.concatenate(whole(texts, truncation=True, max_length=32)["input_ids"])
    counts = {piece: np.count_nonzero(ids == number) for piece, number in whole.get_vocab().items()}
    rarest = min(counts[piece] for piece in vocabularies[0] if len(piece) > 3 and piece not in tiny.SPECIAL)
    lost = [count for piece, count in counts.items() if piece not in vocabularies[0]]
    assert 0 < max(lost) <= rarest
    said = json.loads((finished / "results.json").read_text(encoding="utf-8"))["vocabulary"]
    assert (said["teacher"], said["student"]) == (len(whole), PIECES)
    assert 0 < said["texts_changed"] < 1


def test_the_student_has_the_word_embeddings_that_ship(finished: Path) -> None:
    for folder in ("distill_predictions", "export_student"):
        weights = load_file(finished / folder / "model.safetensors")
        (table,) = (weights[name] for name in weights if name.endswith("word_embeddings.weight"))
        np.testing.assert_allclose(unpack_rows(*pack_rows(table)), table, rtol=1e-6)


def test_the_answers_of_a_tagger_are_for_the_tokens_that_the_student_reads(world: Path) -> None:
    tiny.write_tagged(world / "rows.conll")
    recipe = tiny.recipe(world)
    recipe["task"] = {"kind": "token_classification", "train": [str(world / "rows.conll")], "max_length": 32}
    recipe["distill_layers"]["pieces"] = 20
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    words = [text.split(" ") for text in pq.read_table(run / "augment_data" / "data")["text"].to_pylist()]
    student, teacher = (run / stage for stage in ("distill_predictions", "finetune_teacher"))
    theirs, ours = (
        load_tokenizer(folder)(words, is_split_into_words=True, truncation=True, max_length=32)["input_ids"]
        for folder in (teacher, student)
    )
    kept, _ = pieces_kept(student, old_tokenizer=teacher)
    read = [kept[ids] for ids in ours]
    assert any(ids.tolist() != others for ids, others in zip(read, theirs, strict=True))
    model = AutoModelForTokenClassification.from_pretrained(teacher).eval()
    logits = np.load(run / "annotate_data" / "logits.npy")
    assert len(logits) == sum(map(len, ours))
    begin = 0
    for ids in read[:30]:
        with torch.inference_mode():
            expected = model(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()
        assert logits[begin : begin + len(ids)] == pytest.approx(expected, abs=1e-4)
        begin += len(ids)


def test_random_tokens_are_of_the_student_s_vocabulary(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[np.ndarray] = []

    def collate(columns: Mapping[str, Any], *args: Any, **kwargs: Any) -> Batch:
        read.extend(columns["input_ids"])
        return in_the_library(columns, *args, **kwargs)

    in_the_library = distill_layers.collate
    monkeypatch.setattr(distill_layers, "collate", collate)
    recipe = tiny.recipe(world)
    recipe["distill_layers"]["random_tokens"] = 0.3
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="distill_layers")
    tokenizer = load_tokenizer(plan.stages["distill_layers"].artifact.folder / "student")
    ordinary = set(range(PIECES)) - set(tokenizer.all_special_ids)
    assert set(np.concatenate(read)) >= ordinary
    assert {(int(ids[0]), int(ids[-1])) for ids in read} == {(tokenizer.cls_token_id, tokenizer.sep_token_id)}
    assert max(map(max, read)) < PIECES


def test_random_tokens_teach_pieces_that_the_texts_do_not_hold(world: Path) -> None:
    recipe = tiny.recipe(world)
    recipe["distill_layers"] |= {"pieces": 0, "random_tokens": 0.5}
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="distill_layers")
    before, after = (
        load_file(plan.stages[stage].artifact.folder / "student" / "model.safetensors")
        for stage in ("distill_general", "distill_layers")
    )
    tables = [next(array for name, array in model.items() if "word_embeddings" in name) for model in (before, after)]
    learnt = np.flatnonzero((tables[0] != tables[1]).any(axis=1))
    tokenizer = load_tokenizer(plan.stages["distill_layers"].artifact.folder / "student")
    texts = pq.read_table(plan.stages["augment_data"].artifact.folder / "data")["text"].to_pylist()
    held = set(np.concatenate(tokenizer(texts)["input_ids"]))
    ordinary = set(range(len(tokenizer))) - set(tokenizer.all_special_ids)
    assert ordinary - held
    assert set(learnt) >= ordinary
