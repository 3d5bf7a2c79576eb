"""Models: built to size, begun from the teacher, refused when incomplete, and loaded by anybody afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    LlamaConfig,
    LlamaModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
)

from pipeline.config.student import Student
from pipeline.distill.layers import ProjectedStudent
from pipeline.errors import UserError
from pipeline.models.loading import (
    copy_model_files,
    encoder_parameter_count,
    freeze,
    load_classifier,
    load_config,
    load_language_model,
    load_tokenizer,
    parameter_count,
    pooler_of,
    save_model,
)
from pipeline.models.new_student import new_student
from pipeline.models.student_init import copy_embeddings
from tests.helpers.encoders import load_encoder
from tests.tiny import write_model

WIDTH = 24  # of the tiny teacher
NAMES = ("rotten", "fresh")
SMALL = Student(layers=1, width=16, feed_forward=20, heads=2, hidden_dropout=0.2)


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def copy(teacher_folder: Path, tmp_path: Path) -> Path:
    """The teacher's folder, to be spoilt."""
    copy_model_files(teacher_folder, tmp_path)
    return tmp_path


def embeddings(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: table.detach() for name, table in model.named_parameters() if name.startswith("embeddings.")}


def test_copied_embeddings_are_the_best_of_their_rank(teacher_folder: Path) -> None:
    teacher = load_encoder(teacher_folder)
    student = new_student(SMALL, teacher)
    basis = copy_embeddings(student, teacher)
    theirs = embeddings(teacher)["embeddings.word_embeddings.weight"]
    left, values, right = torch.linalg.svd(theirs, full_matrices=False)
    best = left[:, :16] * values[:16] @ right[:16]
    ours = embeddings(student)["embeddings.word_embeddings.weight"]
    torch.testing.assert_close(ours @ basis.T, best, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(basis.T @ basis, torch.eye(16), rtol=0, atol=1e-6)


def test_positions_and_token_types_are_copied_in_the_same_basis(teacher_folder: Path) -> None:
    teacher = load_encoder(teacher_folder)
    student = new_student(SMALL, teacher)
    basis = copy_embeddings(student, teacher)
    for name in ("position_embeddings", "token_type_embeddings"):
        key = f"embeddings.{name}.weight"
        torch.testing.assert_close(embeddings(student)[key], embeddings(teacher)[key] @ basis, rtol=1e-4, atol=1e-6)


def test_at_full_width_the_embedding_projection_gives_the_teacher_s_back(teacher_folder: Path) -> None:
    teacher = load_encoder(teacher_folder)
    student = new_student(Student(layers=1, width=WIDTH, feed_forward=20, heads=2), teacher)
    model = ProjectedStudent(student, teacher_width=WIDTH)
    model.init_projections({0: copy_embeddings(student, teacher)})
    for name, table in embeddings(student).items():
        if table.ndim == 2:
            torch.testing.assert_close(model.projections[0](table), embeddings(teacher)[name], rtol=1e-4, atol=1e-6)


def test_a_parameter_used_twice_counts_once(teacher_folder: Path) -> None:
    model = load_language_model(teacher_folder)
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    untied = sum(tensor.numel() for name, tensor in model.state_dict().items() if name not in tied)
    assert parameter_count(model) == untied


def test_encoder_parameters_are_those_of_the_layers(teacher_folder: Path) -> None:
    model = load_classifier(teacher_folder, label_names=NAMES, new_head=True)
    layers = sum(p.numel() for name, p in model.named_parameters() if ".layer." in name)
    assert encoder_parameter_count(model) == layers > 0


def test_a_checkpoint_that_lacks_encoder_weights_is_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of the model's weights \(bert.encoder.layer.1.output.dense.weight\)"):
        load_classifier(copy, label_names=NAMES, new_head=True)
    with pytest.raises(UserError, match="lacks 1 of"):
        load_language_model(copy, new_head=True)


def test_a_missing_head_is_refused_unless_it_is_to_be_new(teacher_folder: Path) -> None:
    with pytest.raises(UserError, match="lacks 4 of the model's weights"):
        load_classifier(teacher_folder, label_names=NAMES, new_head=False)
    model = load_classifier(teacher_folder, label_names=NAMES, new_head=True)
    assert model.config.id2label == {0: "rotten", 1: "fresh"}


@pytest.mark.parametrize("name", ["max_position_embeddings", "vocab_size"])
def test_a_table_of_another_size_than_the_config_says_is_not_filled_at_random(copy: Path, name: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {name: config[name] + 8}))
    with pytest.raises(UserError, match=r"_embeddings.weight\), or has them in another size than its config.json says"):
        load_classifier(copy, label_names=NAMES, new_head=True)


def test_a_head_of_another_number_of_labels_starts_anew(teacher_folder: Path, tmp_path: Path) -> None:
    save_model(load_classifier(teacher_folder, label_names=NAMES, new_head=True), tmp_path, tokenizer_of=teacher_folder)
    model = load_classifier(tmp_path, label_names=("a", "b", "c"), new_head=True)
    assert model.config.num_labels == 3


def test_more_layers_than_the_checkpoint_has_are_not_filled_at_random(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match="lacks 16 of the model's weights"):
        load_encoder(copy)


def test_a_half_precision_checkpoint_is_loaded_in_float32(copy: Path) -> None:
    weights = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    assert {p.dtype for p in load_encoder(copy).parameters()} == {torch.float32}


def test_hidden_dropout_is_as_asked_and_attention_dropout_is_off(teacher_folder: Path, tmp_path: Path) -> None:
    config = load_config(teacher_folder, hidden_dropout=0.3)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.3, 0)
    DistilBertConfig().save_pretrained(tmp_path)
    config = load_config(tmp_path, hidden_dropout=0.3)
    assert (config.dropout, config.attention_dropout) == (0.3, 0)
    ModernBertConfig().save_pretrained(tmp_path)
    config = load_config(tmp_path, hidden_dropout=0.3)
    assert (config.embedding_dropout, config.mlp_dropout, config.attention_dropout) == (0.3, 0.3, 0)


@pytest.mark.parametrize("saved_as", [BertModel, BertForSequenceClassification])
def test_the_pooler_outlives_a_masked_lm_stage(
    teacher_folder: Path, tmp_path: Path, saved_as: type[PreTrainedModel]
) -> None:
    torch.manual_seed(0)
    original = saved_as(BertConfig.from_pretrained(teacher_folder))
    original.save_pretrained(tmp_path / "begin")
    masked = load_language_model(tmp_path / "begin", new_head=True)
    (tmp_path / "end").mkdir()
    save_model(masked, tmp_path / "end", tokenizer_of=teacher_folder, extra=pooler_of(tmp_path / "begin", masked))
    model = load_classifier(tmp_path / "end", label_names=NAMES, new_head=True)
    pooler = original.base_model.get_parameter("pooler.dense.weight")
    assert torch.equal(model.base_model.get_parameter("pooler.dense.weight"), pooler)


def test_tied_weights_are_saved_once_from_a_device_whose_copies_are_new_tensors(
    teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_language_model(teacher_folder, new_head=True)
    for name in ("here", "from a gpu"):
        (tmp_path / name).mkdir()
        save_model(model, tmp_path / name, tokenizer_of=teacher_folder)
        monkeypatch.setattr(torch.Tensor, "cpu", torch.Tensor.clone)
    here, from_gpu = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("here", "from a gpu"))
    assert here == from_gpu


USE_IT = """
import json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
model, info = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], output_loading_info=True)
missing = [sorted(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")]
tokens = AutoTokenizer.from_pretrained(sys.argv[1])("the film is good", return_tensors="pt")
classify = pipeline("text-classification", model=sys.argv[1], top_k=None, function_to_apply="none")
found = {one["label"]: one["score"] for one in classify(["the film is good"])[0]}
print(json.dumps([missing, model(**tokens).logits.tolist(), found, "pipeline" in sys.modules]))
"""


def test_a_saved_student_is_loaded_by_transformers_alone(teacher_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name in ("begin", "student", "elsewhere"):
        (tmp_path / name).mkdir()
    save_model(new_student(SMALL, load_encoder(teacher_folder)), tmp_path / "begin", tokenizer_of=teacher_folder)
    student = load_classifier(tmp_path / "begin", label_names=NAMES, new_head=True).eval()
    save_model(student, tmp_path / "student", tokenizer_of=tmp_path / "begin")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-c", USE_IT, str(tmp_path / "student")],
        cwd=tmp_path / "elsewhere",
        env={**environment, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    faults, (logits,), by_name, ours_loaded = json.loads(answer.stdout)
    tokens = load_tokenizer(teacher_folder)("the film is good", return_tensors="pt")
    right = student(**tokens).logits[0].tolist()
    assert (faults, ours_loaded) == ([[], [], []], False)
    assert logits == pytest.approx(right, rel=1e-4)
    assert by_name == pytest.approx(dict(zip(NAMES, right, strict=True)), rel=1e-4)


def test_a_frozen_teacher_keeps_the_frequencies_of_its_positions() -> None:
    size: dict[str, Any] = {"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    size |= {"num_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    for model in (
        ModernBertModel(ModernBertConfig(**size, cls_token_id=1, sep_token_id=2)),
        LlamaModel(LlamaConfig(**size)),
    ):
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        assert any("inv_freq" in name for name in before)
        freeze(model, precision="bf16")
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        for name, buffer in model.named_buffers():
            assert buffer.dtype == torch.float32
            assert torch.equal(buffer, before[name])


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["bert.encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"encoder.layer.1.output.dense.weight has numbers that are not finite; save"):
        load_language_model(copy, new_head=True)


def test_a_head_of_another_size_than_the_config_says_is_named(teacher_folder: Path, tmp_path: Path) -> None:
    model = load_classifier(teacher_folder, label_names=("a", "b", "c"), new_head=True)
    save_model(model, tmp_path, tokenizer_of=teacher_folder)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"id2label": {"0": "rotten", "1": "fresh"}, "label2id": {"rotten": 0, "fresh": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"\(classifier.bias, classifier.weight\), or has them in another size than"):
        load_classifier(tmp_path, label_names=NAMES, new_head=False)
