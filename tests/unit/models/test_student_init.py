"""How a student begins: with the teacher's layers, whole or cut, or with an existing student."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from pipeline.config.student import Student
from pipeline.distill.layers import ProjectedStudent
from pipeline.models.new_student import new_student
from pipeline.models.student_init import copy_embeddings, copy_layers, init_student, load_student, student_config
from tests.helpers.encoders import LIKE_BERT, SIZE


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(0))
    real = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    return {"input_ids": ids.where(real, 1), "attention_mask": real.long()}


@pytest.fixture(params=LIKE_BERT)
def teacher(request: pytest.FixtureRequest) -> PreTrainedModel:
    model, config = LIKE_BERT[request.param]
    torch.manual_seed(0)
    return model(config).eval()


@torch.no_grad()
def test_a_student_with_all_of_the_layers_is_the_teacher(teacher: Any) -> None:
    student: Any = new_student(Student(layers=4, width=24, feed_forward=40, heads=3), teacher).eval()
    copy_layers(student, teacher, {layer: layer for layer in range(5)})
    real = inputs()["attention_mask"].bool()
    ours, theirs = (model(**inputs()).last_hidden_state[real] for model in (student, teacher))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_projections_begin_so_that_copied_layers_already_say_what_the_teacher_says(teacher: Any) -> None:
    sizes = Student(layers=4, width=24, feed_forward=40, heads=3, start="layers")
    student: Any = new_student(sizes, teacher).eval()
    model = ProjectedStudent(student, teacher_width=24)
    model.init_projections(init_student(student, sizes, teacher=teacher, existing=None))
    states = [m(**inputs(), output_hidden_states=True).hidden_states for m in (student, teacher)]
    real = inputs()["attention_mask"].bool()
    for projection, ours, theirs in zip(model.projections, *states, strict=True):
        torch.testing.assert_close(projection(ours)[real], theirs[real], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_each_layer_begins_as_the_one_that_it_is_mapped_to(teacher: Any) -> None:
    student: Any = new_student(Student(layers=2, width=24, feed_forward=40, heads=3), teacher).eval()
    copy_layers(student, teacher, {0: 0, 1: 2, 2: 4})
    whole: Any = new_student(Student(layers=4, width=24, feed_forward=40, heads=3), teacher)
    copy_layers(whole, teacher, {layer: layer for layer in range(5)})
    ours, theirs = dict(student.named_parameters()), dict(whole.named_parameters())
    for number, source in {0: 1, 1: 3}.items():
        same = [name for name in ours if f"layer.{number}." in name]
        assert len(same) == 16
        for name in same:
            assert torch.equal(ours[name], theirs[name.replace(f"layer.{number}.", f"layer.{source}.")])


def test_a_narrower_student_has_the_first_numbers_of_every_head(teacher: Any) -> None:
    student: Any = new_student(Student(layers=1, width=12, feed_forward=20, heads=3), teacher)
    whole: Any = new_student(Student(layers=4, width=24, feed_forward=40, heads=3), teacher)
    copy_layers(whole, teacher, {layer: layer for layer in range(5)})
    copy_layers(student, teacher, {0: 0, 1: 4})
    ours, theirs = student.encoder.layer[0], whole.encoder.layer[3]
    for h in range(3):
        mine, its = slice(4 * h, 4 * h + 4), slice(8 * h, 8 * h + 4)
        for name in ("query", "key", "value"):
            weight, right = (getattr(layer.attention.self, name).weight for layer in (ours, theirs))
            assert torch.equal(weight[mine], right[its, :12])
        assert torch.equal(ours.attention.output.dense.weight[:, mine], theirs.attention.output.dense.weight[:12, its])
    assert torch.equal(ours.intermediate.dense.weight, theirs.intermediate.dense.weight[:20, :12])
    assert torch.equal(ours.output.dense.bias, theirs.output.dense.bias[:12])
    words = student.embeddings.word_embeddings.weight
    assert torch.equal(words, teacher.get_input_embeddings().weight[:, :12])


def test_fewer_heads_of_one_width_are_the_teacher_s_first(teacher: Any) -> None:
    student: Any = new_student(Student(layers=1, width=16, feed_forward=40, heads=2), teacher)
    whole: Any = new_student(Student(layers=4, width=24, feed_forward=40, heads=3), teacher)
    copy_layers(whole, teacher, {layer: layer for layer in range(5)})
    copy_layers(student, teacher, {0: 0, 1: 1})
    ours, theirs = (model.encoder.layer[0].attention.self.value.weight for model in (student, whole))
    assert torch.equal(ours, theirs[:16, :16])


def test_layers_that_learn_from_none_stay_as_they_were(teacher: Any) -> None:
    student: Any = new_student(Student(layers=2, width=24, feed_forward=40, heads=3), teacher)
    before = student.encoder.layer[0].output.dense.weight.clone()
    copy_layers(student, teacher, {0: 0, 2: 4})
    assert torch.equal(student.encoder.layer[0].output.dense.weight, before)
    assert not torch.equal(student.encoder.layer[1].output.dense.weight, before)


def test_the_first_token_of_a_roberta_reads_the_row_after_the_padding_s() -> None:
    torch.manual_seed(0)
    teacher: Any = RobertaModel(RobertaConfig(**SIZE, pad_token_id=1))
    student: Any = new_student(Student(layers=1, width=24, feed_forward=40, heads=3), teacher)
    basis = copy_embeddings(student, teacher)
    ours, theirs = (model.embeddings.position_embeddings.weight for model in (student, teacher))
    assert student.config.max_position_embeddings == 30
    torch.testing.assert_close(ours, theirs[2:] @ basis, rtol=1e-4, atol=1e-6)


def test_a_published_tinybert_without_model_type_is_loaded_as_the_bert_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = BertModel(BertConfig(**SIZE))
    original.save_pretrained(tmp_path)
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    tensors |= {"fit_dense.weight": torch.zeros(5, 24), "cls.predictions.bias": torch.zeros(50)}  # as the authors save
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    plain = json.loads((tmp_path / "config.json").read_text())
    for name in ("model_type", "architectures", "transformers_version"):
        plain.pop(name, None)
    (tmp_path / "config.json").write_text(json.dumps(plain | {"cell": {}, "emb_size": 312, "structure": []}))
    config = student_config(tmp_path, hidden_dropout=0.2)
    student = load_student(tmp_path, config)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.model_type) == (0.2, 0.0, "bert")
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, original.state_dict()[name])
