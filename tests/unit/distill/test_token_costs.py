"""What a run costs, measured on the models of a recipe."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.distill import token_costs
from pipeline.distill.meter import Meter
from pipeline.distill.token_costs import count, estimated
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import STAGES
from tests import tiny
from tests.helpers.decoders import decoder_recipe, write_decoder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.distill.meter.AT_ONCE", 64)
    monkeypatch.setattr("pipeline.distill.meter.TRIES", 1)


def test_some_texts_are_tokenised_and_stand_for_all(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(world / "recipe.yaml", checked=False)
    whole = count(plan)
    monkeypatch.setattr(token_costs, "SAMPLE", 20)
    part = count(plan)
    assert part.rows == whole.rows and len(part.lengths) == 20
    assert part.tokens == pytest.approx(whole.tokens, rel=0.1)
    assert whole.tokens["train"] == whole.lengths.sum()


@pytest.mark.parametrize("kind", ["token_classification", "question_answering"])
def test_texts_of_other_kinds_are_counted_as_the_models_read_them(world: Path, kind: str) -> None:
    recipe = tiny.recipe(world)
    if kind == "token_classification":
        recipe["task"] = {"train": [str(tiny.write_tagged(world / "rows.conll", rows=60))], "max_length": 32}
        longest = 15  # eleven words, one of them three pieces, and two tokens around them
    else:
        columns = {"text": "question", "text_pair": "context", "label": "answers"}
        questions = tiny.write_questions(world / "questions.json", rows=60)
        recipe["task"] = {"train": [str(questions)], "max_length": 20, "window_overlap": 4, **columns}
        longest = 20  # windows of a text that is longer
    recipe["task"]["kind"] = kind
    found = count(make_plan(tiny.write_recipe(world / "recipe.yaml", recipe), checked=False))
    assert found.lengths.max() <= longest
    assert found.tokens["train"] >= found.rows["train"] * 10


def test_a_backbone_without_weights_and_tokenizer_has_an_estimate_too(world: Path) -> None:
    for path in (world / "model").iterdir():
        if path.name != "config.json":
            path.unlink()
    words = ["--pretrain_teacher.from_scratch", "true", "--pretrain_teacher.tokenizer", "train"]
    found = estimated(make_plan(world / "recipe.yaml", words, checked=False), processes=1)
    assert list(found) == list(STAGES)


def test_every_stage_has_an_estimate_and_what_was_measured_is_kept(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["token_costs", "--recipe", str(world / "recipe.yaml"), "--seed", "1"])
    token_costs.main()
    found = json.loads(capsys.readouterr().out)
    assert list(found["stages"]) == list(STAGES)
    assert all(seconds > 0 and size > 0 for seconds, size in found["stages"].values())

    plan = make_plan(world / "recipe.yaml", ["--seed", "1"], checked=False)
    monkeypatch.setattr(Meter, "_seconds", lambda *_: pytest.fail("it was measured before"))
    kept = estimated(plan, processes=1)
    assert {stage: list(cost) for stage, cost in kept.items()} == found["stages"]
    monkeypatch.setattr(Meter, "_seconds", lambda *_: 1e6)  # the best counts, and this is none
    assert estimated(plan, processes=1, again=True) == kept
    monkeypatch.setattr(Meter, "_seconds", lambda *_: 0.0)
    assert estimated(plan, processes=1, again=True)["distill_layers"] < kept["distill_layers"]
    assert estimated(plan, processes=2)["finetune_teacher"] <= kept["finetune_teacher"]
    in_bf16 = make_plan(world / "recipe.yaml", ["--seed", "1", "--precision", "bf16"], checked=False)
    monkeypatch.setattr(Meter, "_seconds", lambda *_: 1e6)  # what was measured in float32 says nothing of bf16
    assert estimated(in_bf16, processes=1)["propose_candidates"].seconds > 1e6
    for content in ("damaged", "[]"):
        (world / "artifacts/cache/token_costs.json").write_text(content)
        assert list(estimated(plan, processes=1)) == list(STAGES)


def test_other_work_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)  # the load is of all cores
    for load, said in ((1.2, ""), (5.0, "load 4.0 on 2 cores")):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, load, load))
        assert token_costs.busy() == said


def test_a_decoder_and_its_student_have_an_estimate_with_their_heads(world: Path) -> None:
    backbone = write_decoder(world / "llama", "llama", world / "text.txt")
    plan = make_plan(decoder_recipe(world, backbone), checked=False)
    found = estimated(plan, processes=1)
    assert list(found) == list(plan.why)
    assert found["distill_general"].seconds > 1
