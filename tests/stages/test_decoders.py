"""Decoders: a GPT-2 and a Llama through every stage; what cannot be made of them is said by the plan."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipeline.data.corpus import Corpus, text_bytes
from pipeline.errors import UserError
from pipeline.models.collate import Batch
from pipeline.models.loading import backbone_of, load_tokenizer
from pipeline.plan.plan import Plan, make_plan
from pipeline.training.causal_lm import CausalBlocks
from tests.faults import differing
from tests.helpers.decoders import DECODERS, STUDENT, decoder_recipe, write_decoder
from tests.helpers.one_process import metrics, run_recipe


@pytest.fixture
def decoders(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world with a GPT-2 and a Llama in it."""
    monkeypatch.setattr("pipeline.training.loop.matrix_rate", lambda *_: 1e9)  # to measure it takes long
    for kind in DECODERS:
        write_decoder(world / kind, kind, world / "text.txt")
    return world


def student_of(plan: Plan) -> Path:
    return plan.stages["distill_general"].artifact.folder / "student"


@pytest.mark.slow
@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_s_student_learns_the_next_token_the_teacher_s_guesses_and_its_layers(
    decoders: Path, kind: str
) -> None:
    plan = run_recipe(decoder_recipe(decoders, decoders / kind), last="distill_general")
    curve = metrics(plan, "distill_general")["curve"]
    names = {"soft_causal_lm", "causal_lm", "embedding", "hidden_1", "hidden_cosine_1", "attention_1"}
    assert set(curve[-1]) - {"step"} == names | {"value_relations_1"}
    assert curve[-1]["causal_lm"] < curve[0]["causal_lm"]
    causal: Any = AutoModelForCausalLM
    student, info = causal.from_pretrained(student_of(plan), output_loading_info=True)
    assert not info["missing_keys"] and student.config.model_type == kind
    if kind == "llama":
        assert student.config.num_key_value_heads == 2
    assert load_tokenizer(student_of(plan)).eos_token == "<|endoftext|>"
    corpus = Corpus(plan.stages["prepare_corpus"].artifact.folder)
    blocks = [corpus[number] for number in range(len(corpus))]
    tokenizer = load_tokenizer(decoders / kind)
    assert all(block[0] == tokenizer.bos_token_id for block in blocks)
    text = str(tokenizer.decode(np.concatenate(blocks), skip_special_tokens=True))
    assert sum(text_bytes(tokenizer, block) for block in blocks) == len(text.encode())


@pytest.mark.slow
def test_a_decoder_is_trained_from_scratch_with_a_tokenizer_made_from_the_texts(decoders: Path) -> None:
    for path in (decoders / "gpt2").glob("*"):
        if path.name != "config.json":
            path.unlink()
    scratch = {"from_scratch": True, "tokenizer": "train", "pieces": 280, "epochs": 3, "learning_rate": 3e-3}
    scratch |= {"batch_size": 16, "held_out": 0.1}
    recipe = decoder_recipe(decoders, decoders / "gpt2", pretrain_teacher=scratch)
    plan = run_recipe(recipe, last="pretrain_teacher")
    found = metrics(plan, "pretrain_teacher")
    assert 1 < found["perplexity_after"] < 0.8 * found["perplexity_before"] < 400
    backbone = backbone_of(plan.stages["pretrain_teacher"].artifact.folder)
    tokenizer = load_tokenizer(backbone)
    config = json.loads((backbone / "config.json").read_text())
    assert len(tokenizer) == config["vocab_size"] == 280
    assert config["bos_token_id"] == config["eos_token_id"] == tokenizer.bos_token_id


@pytest.mark.slow
@pytest.mark.parametrize("kind", DECODERS)
def test_a_student_of_all_layers_of_a_decoder_is_its_copy(decoders: Path, kind: str) -> None:
    whole = {**STUDENT, "layers": 2, "start": "layers"}
    recipe = decoder_recipe(decoders, decoders / kind, student=whole, distill_general={"epochs": 0})
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (
        student_of(run_recipe(recipe, last="distill_general")), decoders / kind
    ))  # fmt: skip
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_with_the_same_bytes(decoders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = decoder_recipe(decoders, decoders / "llama", run={"checkpoint_seconds": 1e-9})
    whole = run_recipe(recipe, last="distill_general").stages["distill_general"].artifact.folder
    elsewhere = ("--run.artifacts", str(decoders / "elsewhere"))
    collate, calls = CausalBlocks.collate, iter(range(15))

    def killed(blocks: CausalBlocks, rows: np.ndarray, epoch: int) -> Batch:
        if next(calls, None) is None:
            raise Killed
        return collate(blocks, rows, epoch)

    monkeypatch.setattr(CausalBlocks, "collate", killed)
    with pytest.raises(Killed):
        run_recipe(recipe, *elsewhere, last="distill_general")
    assert list(decoders.glob("elsewhere/distill_general/*.work/checkpoint-*[0-9]"))
    monkeypatch.setattr(CausalBlocks, "collate", collate)
    again = run_recipe(recipe, *elsewhere, last="distill_general").stages["distill_general"].artifact.folder
    assert list(differing(whole, again)) == []


@pytest.mark.parametrize(
    ("kind", "sections", "words"),
    [
        ("gpt2", {"task": {"train": "rows.csv"}}, "a decoder, which is distilled on plain text alone, without augment"),
        ("gpt2", {"distill_general": {"masked_lm": 1}}, "masks no token; take causal_lm instead"),
        ("gpt2", {"distill_general": {"soft_masked_lm": 1}}, "masks no token; take soft_causal_lm instead"),
        ("gpt2", {"distill_general": {"normalised_hidden": 1}}, "whose first token says nothing of its text"),
        ("gpt2", {"distill_general": {"causal_lm": 0, "soft_causal_lm": 0}}, "learns from causal_lm or soft_causal_lm"),
        ("gpt2", {"student": {"start": "fitted"}}, "starts with layers of the backbone or at random"),
        ("gpt2", {"student": {"start": "layers", "width": 8}}, "layers of a decoder are copied whole, so the student"),
        ("gpt2", {"student": {"key_value_heads": 2}}, "a gpt2 has keys and values for each head"),
        ("llama", {"student": {"heads": 1, "width": 16}}, "student.heads: 1, but in"),
        ("llama", {"student": {"key_value_heads": 3}}, "3 do not divide student.heads, 4"),
        ("llama", {"student": {"architecture": "mobilebert"}}, "is a llama, and its student is one too"),
        ("llama", {"pretrain_teacher": {"only_proposes": True}}, "which proposes no words; leave it out"),
        ("mistral", {}, "is a MistralForCausalLM; of the decoders gpt2 and llama can be distilled"),
        ("model", {"distill_general": {"causal_lm": 1}}, "does not predict the next token; take masked_lm instead"),
    ],
)
def test_what_cannot_be_made_is_said_by_the_plan(
    decoders: Path, kind: str, sections: dict[str, Any], words: str
) -> None:
    if kind == "mistral":
        config = json.loads((decoders / "llama/config.json").read_text()) | {"model_type": kind}
        shutil.copytree(decoders / "llama", decoders / kind)
        (decoders / kind / "config.json").write_text(json.dumps(config | {"architectures": ["MistralForCausalLM"]}))
    sections = json.loads(json.dumps(sections).replace("rows.csv", str(decoders / "rows.csv")))
    recipe = decoder_recipe(decoders, decoders / kind, **sections)
    with pytest.raises(UserError) as caught:
        make_plan(recipe)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
