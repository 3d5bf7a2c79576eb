"""ONNX files and cut vocabularies: what is shipped says what the student says."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForQuestionAnswering,
    BertForTokenClassification,
    PreTrainedModel,
)

from pipeline.config.recipe_file import load_recipe
from pipeline.errors import UserError, WorkFailed
from pipeline.export.onnx import OnnxModel, export_onnx, quantise
from pipeline.export.onnx_session import FLOAT32, INT8
from pipeline.export.vocabulary import kept_pieces, save_tokenizer, trim_embeddings
from pipeline.models.loading import load_tokenizer
from pipeline.plan.checks import check_export
from stages.export_student import FLOAT32 as ONNX
from stages.export_student import WEIGHTS, check
from tests import tiny

RANDOM = torch.Generator().manual_seed(0)


def batch(rows: int, length: int, *, pieces: int = 40) -> dict[str, torch.Tensor]:
    """Random texts, each row padded a little more than the one before."""
    mask = torch.ones((rows, length), dtype=torch.long)
    for row in range(1, rows):
        mask[row, max(1, length - row) :] = 0
    return {"input_ids": torch.randint(5, pieces, (rows, length), generator=RANDOM) * mask, "attention_mask": mask}


@torch.inference_mode()
def outputs(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model(**inputs).items()}


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 32), (5, 7)])
def test_the_onnx_file_says_what_the_model_says_at_any_size(shipped: Path, rows: int, length: int) -> None:
    model, inputs = tiny.load_eager(shipped), batch(rows, length)
    ours, theirs = outputs(OnnxModel(shipped / FLOAT32, model.config), inputs), outputs(model, inputs)
    assert ours["logits"] == pytest.approx(theirs["logits"], abs=1e-5)


def test_the_int8_file_says_nearly_the_same_in_fewer_bytes(shipped: Path) -> None:
    model, inputs = tiny.load_eager(shipped), batch(16, 24)
    ours, theirs = outputs(OnnxModel(shipped / INT8, model.config), inputs)["logits"], outputs(model, inputs)["logits"]
    assert np.abs(ours - theirs).max() < 0.1 * np.ptp(theirs)
    kinds = {tensor.data_type for tensor in onnx.load(shipped / INT8).graph.initializer if len(tensor.dims) > 1}
    assert onnx.TensorProto.INT8 in kinds
    assert onnx.TensorProto.FLOAT not in kinds


def test_the_files_hold_standard_operators_and_nothing_of_this_machine(shipped: Path) -> None:
    for name in (FLOAT32, INT8):
        assert {node.domain for node in onnx.load(shipped / name).graph.node} <= {"", "ai.onnx"}
        assert b"site-packages" not in (shipped / name).read_bytes()


@pytest.mark.parametrize(
    ("head", "names"),
    [(BertForTokenClassification, ["logits"]), (BertForQuestionAnswering, ["start_logits", "end_logits"])],
)
def test_outputs_keep_their_names_whatever_the_head(tmp_path: Path, head: Any, names: list[str]) -> None:
    sizes: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 32,
    }
    config = BertConfig(vocab_size=40, hidden_size=8, **sizes)
    config._attn_implementation = "eager"
    model: PreTrainedModel = head(config).eval()
    inputs = batch(3, 9) | {"token_type_ids": torch.randint(0, 2, (3, 9), generator=RANDOM)}
    export_onnx(model, tmp_path / "model.onnx", inputs=list(inputs))
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    theirs = outputs(model, inputs)
    for name, gap in (("model.onnx", 1e-5), ("int8.onnx", 0.05)):
        ours = outputs(OnnxModel(tmp_path / name, config), inputs)
        assert list(ours) == names
        for output in names:
            assert ours[output] == pytest.approx(theirs[output], abs=gap)


def trimmed(source: Path, folder: Path, counts: dict[str, int]) -> PreTrainedModel:
    """The student with the pieces that are counted, in a folder of its own; loaded from there."""
    tokenizer = load_tokenizer(source)
    vocabulary = tokenizer.get_vocab()
    numbers = np.zeros(len(vocabulary), dtype=np.int64)
    for piece, count in counts.items():
        numbers[vocabulary[piece]] = count
    kept = kept_pieces(tokenizer, numbers, min_count=2)
    model = tiny.load_eager(source)
    trim_embeddings(model, kept)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, max_length=16, kept=kept)
    return tiny.load_eager(folder)


KEPT = {"good": 3, "film": 2, "is": 9, "dull": 1, "un": 2, "##able": 2}


def test_texts_of_kept_pieces_get_the_same_answer_from_a_cut_vocabulary(shipped: Path, tmp_path: Path) -> None:
    small, whole = trimmed(shipped, tmp_path / "small", KEPT), tiny.load_eager(shipped)
    one, other = AutoTokenizer.from_pretrained(tmp_path / "small"), AutoTokenizer.from_pretrained(shipped)
    text = "A GOOD film, is a film."
    assert one.tokenize(text) == other.tokenize(text)
    ours, theirs = (
        outputs(model, tokenizer(text, return_tensors="pt"))["logits"]
        for model, tokenizer in ((small, one), (whole, other))
    )
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_rare_pieces_leave_tokenizer_and_embeddings_and_single_characters_stay(shipped: Path, tmp_path: Path) -> None:
    small = trimmed(shipped, tmp_path / "small", KEPT)
    vocabulary = AutoTokenizer.from_pretrained(tmp_path / "small").get_vocab()
    expected = {*tiny.SPECIAL, "good", "film", "is", "un", "##able", "a", ",", "."}
    assert set(vocabulary) == expected
    assert sorted(vocabulary.values()) == list(range(len(expected)))
    embeddings: Any = small.get_input_embeddings()
    assert embeddings.num_embeddings == small.config.vocab_size == len(expected)
    assert small.config.pad_token_id == vocabulary["[PAD]"]


def test_a_saved_tokenizer_cuts_at_the_length_of_training_and_pads_no_further_than_needed(
    shipped: Path, tmp_path: Path
) -> None:
    trimmed(shipped, tmp_path / "small", KEPT)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert len(tokenizer("film " * 50, truncation=True)["input_ids"]) == 16
    assert len(tokenizer(["film", "a film"], padding=True)["input_ids"][0]) == 4


def form(score: float, gap: float = 0.0) -> dict[str, Any]:
    return {"score": score, "largest_difference": gap}


def test_a_form_that_loses_more_than_the_recipe_allows_is_an_error() -> None:
    forms = {WEIGHTS: form(0.9), ONNX: form(0.9), INT8: form(0.885)}
    check(forms, base_score=0.9, largest_loss=0.02, scale=1.0)
    with pytest.raises(WorkFailed, match=r"onnx/model_int8.onnx scores 0.8850 on dev, the student 0.9000.*0.01, below"):
        check(forms, base_score=0.9, largest_loss=0.01, scale=1.0)


def test_an_onnx_file_that_is_not_the_model_is_an_error() -> None:
    forms = {WEIGHTS: form(0.9), ONNX: form(0.9, gap=0.2), INT8: form(0.9)}
    with pytest.raises(WorkFailed, match=r"its outputs differ by 0\.2 from those of PyTorch"):
        check(forms, base_score=0.9, largest_loss=0.02, scale=1.0)


def test_a_vocabulary_of_merges_is_not_cut(world: Path) -> None:
    path = world / "model" / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"type": "WordPiece"', '"type": "BPE"').replace('"type":"WordPiece"', '"type":"BPE"')
    )
    check_export(load_recipe(world / "recipe.yaml", ["--export_student.min_count=0"]), world / "model")
    with pytest.raises(UserError, match="is a BPE, and only WordPiece vocabularies can be cut; set it to 0"):
        check_export(load_recipe(world / "recipe.yaml", ["--export_student.min_count=1"]), world / "model")
