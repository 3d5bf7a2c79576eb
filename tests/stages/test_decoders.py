"""Decoders: a GPT-2 and a Llama through every stage; what cannot be made of them is said by the plan."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, pipeline

from pipeline.data.corpus import HELD_OUT_FOLDER, Corpus, text_bytes
from pipeline.errors import UserError
from pipeline.export.decoder_onnx import OnnxDecoder
from pipeline.export.onnx_session import FLOAT32
from pipeline.models.loading import backbone_of, load_tokenizer
from pipeline.plan.plan import Plan, make_plan
from pipeline.predict.student import load_student
from pipeline.report.results import refresh_report, table
from tests.helpers.decoders import DECODERS, STUDENT, decoder_recipe, write_decoder
from tests.helpers.killed import kill_in
from tests.helpers.one_process import metrics, run_everything, run_recipe


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
def test_a_decoder_goes_through_every_stage(decoders: Path, kind: str) -> None:
    run = run_everything(decoder_recipe(decoders, decoders / kind))
    curve = json.loads((run / "distill_general/stage.json").read_text())["metrics"]["curve"]
    names = {"soft_causal_lm", "causal_lm", "embedding", "hidden_1", "hidden_cosine_1", "attention_1"}
    assert set(curve[-1]) - {"step"} == names | {"value_relations_1"}
    assert curve[-1]["causal_lm"] < curve[0]["causal_lm"]

    corpus, tokenizer = Corpus(run / "prepare_corpus"), load_tokenizer(decoders / kind)
    blocks = [corpus[number] for number in range(len(corpus))]
    assert all(block[0] == tokenizer.bos_token_id for block in blocks)
    text = str(tokenizer.decode(np.concatenate(blocks), skip_special_tokens=True))
    assert sum(text_bytes(tokenizer, block) for block in blocks) == len(text.encode())

    shipped = run / "export_student"
    results = json.loads((run / "results.json").read_text())
    assert results["metric"] == "next_token_accuracy"
    assert 1 < results["student"]["all_scores"]["perplexity"] < 300
    measured = perplexity(shipped, Corpus(run / "prepare_corpus" / HELD_OUT_FOLDER))
    assert results["student"]["all_scores"]["perplexity"] == pytest.approx(measured, rel=1e-4)
    assert "perplexity" in table(results)

    causal: Any = AutoModelForCausalLM
    student, info = causal.from_pretrained(shipped, output_loading_info=True)
    assert not info["missing_keys"] and student.config.model_type == kind
    if kind == "llama":
        assert student.config.num_key_value_heads == 2
    write: Any = pipeline("text-generation", model=str(shipped))
    assert write("The film is", max_new_tokens=4)[0]["generated_text"].startswith("The film is")
    ids = torch.tensor([[5, 9, 40, 7]])
    logits = OnnxDecoder(shipped / FLOAT32, student.config)(ids).logits
    torch.testing.assert_close(logits, student.eval()(ids).logits.detach(), rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="is a decoder, which goes on with a text"):
        load_student(shipped, onnx=True)
    card = (shipped / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-generation" in card and "soft_causal_lm 1" in card and "masked" not in card
    page = refresh_report(run).read_text(encoding="utf-8")
    assert "masked places" not in page and "next_token_accuracy" in page

    later = {"student": STUDENT | {"model": str(shipped)}, "distill_general": {"epochs": 0}, "seed": 3}
    again = student_of(run_recipe(decoder_recipe(decoders, decoders / kind, **later), last="distill_general"))
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (again, shipped))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@torch.no_grad()
def perplexity(folder: Path, corpus: Corpus) -> float:
    """As bare transformers has it, a block at a time."""
    model, nats, count = AutoModelForCausalLM.from_pretrained(folder).eval(), 0.0, 0
    for number in range(len(corpus)):
        ids = torch.from_numpy(corpus[number])[None]
        nats += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return math.exp(nats / count)


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


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_with_the_same_bytes(decoders: Path) -> None:
    recipe = decoder_recipe(decoders, decoders / "llama")
    kill_in(recipe, "distill_general")
    published = run_recipe(recipe, last="distill_general").stages["distill_general"].artifact.folder
    resumed = published.rename(decoders / "resumed")
    run_recipe(recipe, last="distill_general")
    for name in ("student/model.safetensors", "projections.safetensors"):
        assert (resumed / name).read_bytes() == (published / name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "sections", "words"),
    [
        ("gpt2", {"task": {"train": "rows.csv"}}, "a decoder, which is distilled on plain text alone, without augment"),
        ("gpt2", {"distill_general": {"masked_lm": 1}}, "masks no token; take causal_lm instead"),
        ("gpt2", {"distill_general": {"soft_masked_lm": 1}}, "masks no token; take soft_causal_lm instead"),
        (
            "gpt2",
            {"pretrain_teacher": {"train": "head"}},
            "whose head may be its embeddings; take 'top 1' or more, or all",
        ),
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
