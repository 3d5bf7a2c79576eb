"""Sentence embeddings: a text is a vector, and what is saved is what sentence-transformers reads."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModel

from pipeline.config.data import Task
from pipeline.config.student import Student
from pipeline.errors import UserError
from pipeline.heads.embedding import EmbeddingHead, SentenceEncoder
from pipeline.losses.tinybert import similarity_loss
from pipeline.models.collate import Batch
from pipeline.models.loading import load_tokenizer
from pipeline.plan.plan import make_plan
from pipeline.tasks.tokenised import TokenisedTexts
from tests import tiny

HEAD = EmbeddingHead()
TEXTS = ["the film is good", "a dull story", "the cast was very unwatchable and the plot was cold ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


def encoder(folder: Path) -> SentenceEncoder:
    model = HEAD.load(folder, label_names=(), new_head=True).eval()
    assert isinstance(model, SentenceEncoder)
    return model


def batch_of(folder: Path, texts: Sequence[str], rows: Sequence[int]) -> Batch:
    dataset, task = Dataset.from_dict({"text": texts}), Task(kind="embedding")
    tokenised = TokenisedTexts(dataset, load_tokenizer(folder), text_columns=["text"], max_length=24, task=task)
    return HEAD.collate(tokenised, np.array(rows), packed=True)


@torch.no_grad()
def test_an_embedding_is_the_mean_over_real_tokens_at_length_1(folder: Path) -> None:
    batch = batch_of(folder, TEXTS, [2, 0, 1])
    assert batch.packing is not None
    found = HEAD.outputs(encoder(folder), batch)
    bare, tokenizer = AutoModel.from_pretrained(folder).eval(), load_tokenizer(folder)
    for vector, text in zip(found, (TEXTS[2], TEXTS[0], TEXTS[1]), strict=True):
        states = bare(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(dim=0)
        torch.testing.assert_close(vector, mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_the_similarity_loss_is_that_of_a_slow_loop() -> None:
    ours, theirs = (torch.nn.functional.normalize(torch.randn(5, width), dim=-1) for width in (3, 7))
    gaps = [(float(ours[i] @ ours[j]) - float(theirs[i] @ theirs[j])) ** 2 for i in range(5) for j in range(5)]
    assert float(similarity_loss(ours, theirs)) == pytest.approx(sum(gaps) / 25, rel=1e-4)
    exact = float(similarity_loss(ours, theirs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(similarity_loss(ours, theirs)) == exact
    assert float(similarity_loss(ours, theirs, examples=20)) == pytest.approx(sum(gaps) / 5 / 20, rel=1e-4)


def test_the_projection_of_a_narrow_student_ships_with_it(folder: Path, tmp_path: Path) -> None:
    student = encoder(folder)
    projection = torch.nn.Linear(24, 40, bias=False)
    HEAD.init_from_projection(student, projection, Student(project_embedding=False))
    assert HEAD.width(student) == 24
    HEAD.init_from_projection(student, projection, Student())
    assert HEAD.width(student) == 40
    HEAD.save(student, tmp_path, tokenizer_of=folder)
    batch = batch_of(folder, TEXTS, [0, 1, 2])
    with torch.no_grad():
        torch.testing.assert_close(HEAD.outputs(encoder(tmp_path), batch), HEAD.outputs(student, batch))


def test_what_is_saved_has_the_modules_that_sentence_transformers_reads(folder: Path, tmp_path: Path) -> None:
    student = encoder(folder)
    HEAD.init_from_projection(student, torch.nn.Linear(24, 40, bias=False), Student())
    HEAD.save(student, tmp_path, tokenizer_of=folder)
    modules = json.loads((tmp_path / "modules.json").read_text())
    names = [(module["path"], module["type"].rpartition(".")[2]) for module in modules]
    assert names == [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    pooling = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert pooling == {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}
    dense = json.loads((tmp_path / "2_Dense" / "config.json").read_text())
    assert (dense["in_features"], dense["out_features"], dense["bias"]) == (24, 40, False)
    weight = load_file(tmp_path / "2_Dense" / "model.safetensors")["linear.weight"]
    # the same by hand, from the files alone
    bare, tokenizer = AutoModel.from_pretrained(tmp_path).eval(), load_tokenizer(tmp_path)
    with torch.no_grad():
        mean = bare(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        vector = torch.nn.functional.normalize(weight @ mean, dim=0)
        batch = batch_of(folder, TEXTS[:1], [0])
        torch.testing.assert_close(HEAD.outputs(student, batch)[0], vector, rtol=1e-4, atol=1e-5)


def test_a_teacher_of_embeddings_is_not_trained(world: Path) -> None:
    tiny.write_rows(world / "pairs.csv", pair=True, regression=True)
    changes = ["--task.kind", "embedding", "--task.text_pair", "other", "--task.train", str(world / "pairs.csv")]
    with pytest.raises(UserError, match=r"finetune_teacher.epochs: 4, but the teacher of embedding tasks is taken"):
        make_plan(world / "recipe.yaml", changes)


def test_a_sentence_encoder_of_another_pooling_is_refused(world: Path) -> None:
    tiny.write_rows(world / "pairs.csv", pair=True, regression=True)
    (world / "model/1_Pooling").mkdir()
    mode = {"word_embedding_dimension": 24, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (world / "model/1_Pooling/config.json").write_text(json.dumps(mode), encoding="utf-8")
    changes = ["--task.kind", "embedding", "--task.text_pair", "other", "--task.train", str(world / "pairs.csv"),
               "--finetune_teacher.epochs", "0"]  # fmt: skip
    with pytest.raises(UserError, match=r"means over tokens here, this model wants pooling_mode_cls_token"):
        make_plan(world / "recipe.yaml", changes)


@pytest.mark.parametrize(
    ("role", "layer", "refused"),
    [
        ("backbone", {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}, True),
        ("finetune_teacher.model", {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}, False),
        ("finetune_teacher.model", {"bias": True, "activation_function": "torch.nn.modules.linear.Identity"}, True),
        ("finetune_teacher.model", {"bias": False, "activation_function": "torch.nn.modules.activation.Tanh"}, True),
    ],
)
def test_a_layer_on_top_of_the_mean_is_taken_where_it_can_be(
    world: Path, role: str, layer: dict, refused: bool
) -> None:
    tiny.write_rows(world / "pairs.csv", pair=True, regression=True)
    other = shutil.copytree(world / "model", world / "other")
    (other / "2_Dense").mkdir()
    (other / "2_Dense/config.json").write_text(json.dumps(layer | {"in_features": 24, "out_features": 24}))
    (other / "2_Dense/model.safetensors").write_bytes(b"weights")
    changes = ["--task.kind", "embedding", "--task.text_pair", "other", "--task.train", str(world / "pairs.csv"),
               "--finetune_teacher.epochs", "0", f"--{role}", str(other)]  # fmt: skip
    if refused:
        with pytest.raises(UserError, match=r"2_Dense/config.json: a layer on top of the mean is taken from finetune_"):
            make_plan(world / "recipe.yaml", changes)
        return
    spec = make_plan(world / "recipe.yaml", changes).stages["finetune_teacher"]
    assert {"teacher/2_Dense/config.json", "teacher/2_Dense/model.safetensors"} <= spec.files.keys()
