"""A general student: a recipe without a task, every stage of it in the test's own process."""

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline

from pipeline.data.corpus import HELD_OUT_FOLDER, Corpus
from pipeline.plan.run_folder import RESULTS
from pipeline.report.push import push
from pipeline.report.results import refresh_report, table
from tests import tiny
from tests.helpers.agreement import code_of_card
from tests.helpers.killed import kill_in
from tests.helpers.once import once
from tests.helpers.one_process import run_everything, run_recipe

TEXT = "The film is very good ."


def write(folder: Path, **changes: dict[str, Any]) -> Path:
    tree = tiny.general_recipe(folder) | {"card": {"teacher_licence": "mit", "data_licence": "cc-by-sa-4.0"}}
    for section, settings in changes.items():
        tree[section] |= settings
    return tiny.write_recipe(folder / "general.yaml", tree)


@pytest.fixture(scope="module")
def general(shared: Path) -> Path:
    """The folder of a finished run, for reading."""

    def make(folder: Path) -> None:
        tiny.make(folder)
        run_everything(write(folder))

    return once(shared / "general", make) / "runs" / "general"


def take_upstream(general: Path, world: Path) -> None:
    """Copy what general distillation reads."""
    for stage in ("prepare_corpus", "pretrain_teacher"):
        shutil.copytree(general.parent.parent / "artifacts" / stage, world / "artifacts" / stage)


@pytest.fixture(scope="module")
def results(general: Path) -> dict[str, Any]:
    return json.loads((general / RESULTS).read_text())


@pytest.mark.slow
def test_documents_that_measure_are_not_trained_on(general: Path) -> None:
    trained, measured = Corpus(general / "prepare_corpus"), Corpus(general / "prepare_corpus" / HELD_OUT_FOLDER)
    assert 0 < len(measured) < len(trained)
    assert not {block.tobytes() for block in trained} & {block.tobytes() for block in measured}


@pytest.mark.slow
def test_teacher_and_student_are_measured_on_the_same_masked_words(results: dict[str, Any]) -> None:
    teacher, student = results["teacher"], results["student"]
    assert results["metric"] == "masked_accuracy"
    assert results["kept"] == pytest.approx(student["score"] / teacher["score"])
    assert teacher["all_scores"]["cross_entropy"] < np.log(tiny_vocabulary())
    assert student["all_scores"]["cross_entropy"] < teacher["all_scores"]["cross_entropy"] + 0.3  # its head is fitted
    assert [(pair["student"], pair["teacher"]) for pair in results["layers"]] == [(0, 0), (1, 2)]
    assert all(0.5 < pair["linear_cka"] <= 1 for pair in results["layers"])
    assert "linear CKA" in table(results) and "masked_accuracy" in table(results)


def tiny_vocabulary() -> int:
    return len([*tiny.SPECIAL, *tiny.GOOD, *tiny.BAD, *tiny.NOUNS, *tiny.OTHER, *tiny.PIECES])


@pytest.mark.slow
def test_bare_transformers_fills_masks_with_what_is_published(general: Path) -> None:
    fill: Any = pipeline("fill-mask", model=str(general / "export_student"))
    found = fill(TEXT.replace("good", fill.tokenizer.mask_token))
    assert len(found) == 5 and all(0 < one["score"] < 1 for one in found)
    model = AutoModelForMaskedLM.from_pretrained(general / "export_student")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.slow
def test_the_report_and_the_card_speak_of_a_general_student(general: Path) -> None:
    page = refresh_report(general).read_text(encoding="utf-8")
    assert "Layer by layer" in page and "held-out text" in page and "on dev" not in page
    card = (general / "export_student" / "README.md").read_text(encoding="utf-8")
    assert f"Latency: one text of 32 tokens on {platform.machine()}, {torch.get_num_threads()} threads, cpu." in card
    assert "pipeline_tag: fill-mask" in card and 'pipeline("fill-mask", model=' in card
    assert "no task in particular" in card and "on the dev rows" not in card
    code = code_of_card(card, general / "export_student")
    exec(code.replace('} ..."', "} " + "good film " * 100 + '"'), {})  # a long text is cut


@pytest.mark.slow
def test_a_later_recipe_starts_from_it_and_proposes_words_with_it(general: Path, world: Path) -> None:
    tree = tiny.recipe(world)
    tree["backbone"] = str(general / "export_student")
    tree["student"]["model"] = str(general / "export_student")
    tree["pretrain_teacher"]["epochs"] = tree["distill_general"]["epochs"] = 0
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", tree), last="propose_candidates")
    assert any((plan.run_folder / "propose_candidates" / "data").glob("*.parquet"))
    published = AutoModel.from_pretrained(general / "export_student", add_pooling_layer=False).state_dict()
    started = AutoModel.from_pretrained(
        plan.run_folder / "distill_general" / "student", add_pooling_layer=False
    ).state_dict()
    assert all(torch.equal(published[name], tensor) for name, tensor in started.items())


@pytest.mark.slow
def test_a_student_without_a_head_is_measured_by_its_states(general: Path, world: Path) -> None:
    take_upstream(general, world)
    run = run_everything(write(world, distill_general={"soft_masked_lm": 0.0}))
    found = json.loads((run / RESULTS).read_text())
    assert found["metric"] == "linear_cka" and found["kept"] is None
    assert found["teacher"]["score"] == pytest.approx(1.0)
    assert found["student"]["score"] == pytest.approx(found["layers"][-1]["linear_cka"], abs=1e-3)
    exported = AutoModel.from_pretrained(run / "export_student", add_pooling_layer=False)
    tokens = AutoTokenizer.from_pretrained(run / "export_student")(TEXT, return_tensors="pt")
    assert exported(**tokens).last_hidden_state.shape[-1] == 16
    assert "pipeline_tag: feature-extraction" in (run / "export_student" / "README.md").read_text()


@pytest.mark.slow
def test_killed_while_it_learns_masked_words_it_ends_with_the_same_bytes(general: Path, world: Path) -> None:
    take_upstream(general, world)
    recipe = write(world, student={"start": "layers"})  # a fit takes all cores, which a copy of this process must not
    kill_in(recipe, "distill_general")
    published = run_recipe(recipe, last="distill_general").stages["distill_general"].artifact.folder
    resumed = published.rename(world / "resumed")
    run_recipe(recipe, last="distill_general")
    for name in ("student/model.safetensors", "projections.safetensors"):
        assert (resumed / name).read_bytes() == (published / name).read_bytes()


@pytest.mark.slow
def test_it_is_published_with_its_card_as_a_masked_lm(general: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    def publish(_: str, files: dict[str, Any], **__: Any) -> str:
        sent.update(files)
        return "address"

    monkeypatch.setattr("pipeline.report.push.publish", publish)
    assert push(general, "owner/small") == "address"
    assert {"model.safetensors", "tokenizer.json", "onnx/model_int8.onnx", "README.md"} <= sent.keys()
    assert 'pipeline("fill-mask", model="owner/small")' in sent["README.md"].decode()
