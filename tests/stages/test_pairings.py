"""Every teacher with a student that it can teach: all stages, tiny, on random models, in one process."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    BigBirdConfig,
    ConvBertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    FNetConfig,
    LongformerConfig,
    MegatronBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    RemBertConfig,
    RobertaConfig,
    RoFormerConfig,
    SqueezeBertConfig,
    XLMRobertaConfig,
)

from pipeline.errors import UserError
from pipeline.models.architectures import LIKE_BERT, WITHOUT_QUERIES
from pipeline.plan.plan import make_plan
from tests import tiny
from tests.helpers.one_process import metrics, run_recipe

SIZE: dict[str, Any] = {
    "vocab_size": 55,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GROUPS: dict[str, Any] = {
    "q_groups": 1,
    "k_groups": 1,
    "v_groups": 1,
    "post_attention_groups": 1,
    "intermediate_groups": 1,
    "output_groups": 1,
}
TEACHERS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SIZE),
    "roberta": RobertaConfig(**SIZE),
    "multilingual": XLMRobertaConfig(**SIZE),
    "electra": ElectraConfig(**SIZE, embedding_size=12),
    "distilbert": DistilBertConfig(**SIZE),
    "modernbert": ModernBertConfig(**SIZE, local_attention=64),
    "mpnet": MPNetConfig(**SIZE),
    "deberta-v2": DebertaV2Config(**SIZE, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "megatron-bert": MegatronBertConfig(**SIZE),
    "rembert": RemBertConfig(**SIZE, input_embedding_size=12, output_embedding_size=16),
    "roformer": RoFormerConfig(**SIZE, embedding_size=24),
    "convbert": ConvBertConfig(**SIZE, embedding_size=24, head_ratio=1, conv_kernel_size=3),
    "big_bird": BigBirdConfig(**SIZE, attention_type="original_full", sep_token_id=3),
    "longformer": LongformerConfig(**SIZE, attention_window=[16, 16, 16]),
    "squeezebert": SqueezeBertConfig(**SIZE, **GROUPS, embedding_size=24),
}
HIDDEN_ONLY = [kind for kind in WITHOUT_QUERIES if kind in TEACHERS]
NO_ATTENTION = {"attention": 0}
STUDENTS: dict[str, dict[str, Any]] = {
    "bert": {"layers": 1, "width": 16, "feed_forward": 24, "heads": 2},
    "mobilebert": {"architecture": "mobilebert", "layers": 2, "width": 16, "feed_forward": 24, "heads": 4},
}


def write_teacher(folder: Path, config: PreTrainedConfig, *, cased: bool = False) -> Path:
    """A random masked LM of an architecture, with the tiny world's tokenizer."""
    tiny.write_model(folder)
    words = (folder / "vocab.txt").read_text().split()
    if cased:
        words += ["The"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "model.safetensors").unlink()
    BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=not cased).save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def write_recipe(world: Path, teacher: Path, **sections: dict[str, Any]) -> Path:
    """A short recipe over the tiny world: no augmentation, every training an epoch."""
    tree = tiny.recipe(world)
    tiny.write_rows(world / "rows.csv", rows=60)
    tree["backbone"] = str(teacher)
    tree["run"]["tracker"] = "none"
    tree["pretrain_teacher"] = {"epochs": 0}
    tree["finetune_teacher"] |= {"epochs": 1, "allow_majority": True}
    tree["propose_candidates"], tree["augment_data"] = {}, {"variants": 0}
    for section, fields in sections.items():
        tree[section] = {**tree.get(section, {}), **fields}
    return tiny.write_recipe(world / "recipe.yaml", tree)


@pytest.fixture(autouse=True)
def no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine multiplies takes longer to measure than all else here."""
    monkeypatch.setattr("pipeline.training.loop.matrix_rate", lambda *_: 1e9)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_teacher_teaches_a_bert_and_a_mobilebert(
    world: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_teacher(world / "teacher", TEACHERS[teacher])
    for student, size in STUDENTS.items():
        copied = NO_ATTENTION if teacher in HIDDEN_ONLY or student != "bert" else {}
        layers = {"epochs": 1, **copied}
        recipe = write_recipe(world, folder, student=size, distill_general=copied, distill_layers=layers)
        plan = run_recipe(recipe, last="distill_predictions")
        curve = metrics(plan, "distill_layers")["curve"][-1]
        assert ("attention_1" in curve) == (not copied)
        assert {"embedding", "hidden_1"} <= curve.keys()
        saved = plan.stages["distill_predictions"].artifact.folder
        model, info = AutoModelForSequenceClassification.from_pretrained(saved, output_loading_info=True)
        assert model.config.model_type == student
        assert not info["missing_keys"] and not info["mismatched_keys"]
    said = capsys.readouterr().err
    assert "2 layers do not divide the teacher's 3" in said
    assert "the student starts at random: a mobilebert to a" in said
    kind = TEACHERS[teacher].model_type
    assert ("fitting layers 1 to 3 of the teacher" in said) == (kind in LIKE_BERT)
    assert (f"the student starts at random: a bert to a {kind} cannot" in said) == (kind not in LIKE_BERT)


@pytest.mark.parametrize(("kind", "precision"), [("regression", "bf16"), ("multi_label", "fp32")])
def test_a_teacher_whose_head_comes_before_its_encoder_learns_scores_and_several_labels(
    world: Path, kind: str, precision: str
) -> None:
    folder = write_teacher(world / "teacher", TEACHERS["multilingual"])
    recipe = write_recipe(world, folder, student=STUDENTS["bert"], task={"kind": kind}, distill_general={"epochs": 0})
    if kind == "regression":
        tiny.write_rows(world / "rows.csv", rows=60, regression=True)
    else:
        tiny.write_label_lists(world / "rows.csv", rows=60)
    overrides = ["--precision", precision, "--finetune_teacher.epochs", "6", "--finetune_teacher.learning_rate", "5e-3"]
    overrides += ["--task.label_separator", "|"] if kind == "multi_label" else []
    plan = run_recipe(recipe, *overrides, last="annotate_data")
    taught = metrics(plan, "finetune_teacher")
    assert taught["dev_score"] == pytest.approx(max(taught["dev_scores"]), abs=0.05)


def test_a_teacher_that_cannot_be_distilled_is_one_sentence(world: Path) -> None:
    folder = write_teacher(world / "teacher", FNetConfig(**SIZE))
    recipe = write_recipe(world, folder, student=STUDENTS["bert"], distill_general=NO_ATTENTION)
    with pytest.raises(UserError, match="backbone is a fnet, which cannot be distilled here; take a BERT, RoBERTa"):
        run_recipe(recipe, last="distill_general")


def test_a_cased_bert_teaches_a_student_that_tells_cases_apart(world: Path) -> None:
    folder = write_teacher(world / "teacher", BertConfig(**SIZE), cased=True)
    plan = run_recipe(write_recipe(world, folder, student=STUDENTS["bert"]), last="distill_predictions")
    saved = BertTokenizer.from_pretrained(plan.stages["distill_predictions"].artifact.folder)
    assert saved.tokenize("The the") == ["The", "the"]


@pytest.mark.parametrize("teacher", HIDDEN_ONLY)
def test_where_attention_cannot_be_taken_the_plan_says_what_can(world: Path, teacher: str) -> None:
    folder = write_teacher(world / "teacher", TEACHERS[teacher])
    with pytest.raises(UserError, match=r"set it to 0: the embeddings, the hidden states .* and the predictions"):
        make_plan(write_recipe(world, folder, student=STUDENTS["bert"]))


def test_a_student_with_other_heads_copies_relations(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = {**STUDENTS["bert"], "width": 12, "heads": 3}
    relations = {"embedding": 0, "hidden": 0, "attention": 0, "layer_map": "last", "relation_heads": 4}
    relations |= dict.fromkeys(("query_relations", "key_relations", "value_relations"), 1)
    sections = {"student": student, "distill_general": relations, "distill_layers": relations}
    plan = run_recipe(write_recipe(world, world / "model", **sections), last="distill_layers")
    curve = metrics(plan, "distill_layers")["curve"]
    assert set(curve[-1]) == {"step", "query_relations_1", "key_relations_1", "value_relations_1"}
    assert "the student has 3 attention heads, the teacher 2: several" in capsys.readouterr().err


def test_an_existing_student_without_model_type_goes_on_where_it_stood(world: Path) -> None:
    sections = {"student": STUDENTS["bert"], "distill_general": {"epochs": 0}}
    first = run_recipe(write_recipe(world, world / "model", **sections), last="distill_general")
    published = shutil.copytree(first.stages["distill_general"].artifact.folder / "student", world / "published")
    config = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "model_type"}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (published / name).unlink()
    sections["student"] = STUDENTS["bert"] | {"model": str(published)}
    again = run_recipe(write_recipe(world, world / "model", **sections), "--seed", "5", last="distill_general")
    ours, theirs = (p.stages["distill_general"].artifact.folder / "student/model.safetensors" for p in (first, again))
    assert first.stages["distill_general"].artifact != again.stages["distill_general"].artifact
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("start", ["fitted", "layers"])
def test_a_student_of_all_layers_of_the_task_s_teacher_answers_as_it_does(world: Path, start: str) -> None:
    whole = {"layers": 2, "width": 24, "feed_forward": 48, "heads": 2, "hidden_dropout": 0}
    student = whole | {"start": start, "start_from": "task_teacher"}
    teacher = tiny.write_classifier(world / "teacher", world / "model")
    given = {"model": str(teacher), "labels": ["fresh", "rotten"]}
    sections = {"student": student, "finetune_teacher": given}
    sections |= {"distill_general": {"epochs": 0}, "distill_layers": {"epochs": 0, "pieces": 0}}
    plan = run_recipe(write_recipe(world, world / "model", **sections), last="distill_layers")
    assert "distill_general" not in plan.stages
    folders = (
        plan.stages["distill_layers"].artifact.folder / "student",
        plan.stages["finetune_teacher"].artifact.folder,
    )
    ids = torch.tensor([[2, 6, 28, 7, 3], [2, 16, 28, 17, 3]])  # good words and bad
    ours, theirs = (AutoModelForSequenceClassification.from_pretrained(f).eval()(input_ids=ids).logits for f in folders)
    assert not torch.allclose(theirs[0], theirs[1], atol=1e-3)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", ["fitted", "layers"])
def test_the_head_of_a_teacher_of_another_architecture_begins_anew_over_its_layers(world: Path, start: str) -> None:
    folder = write_teacher(world / "teacher", TEACHERS["roberta"])
    student = STUDENTS["bert"] | {"start": start, "start_layers": "top", "start_from": "task_teacher"}
    plan = run_recipe(
        write_recipe(world, folder, student=student, distill_general={"epochs": 0}), last="distill_predictions"
    )
    saved = plan.stages["distill_predictions"].artifact.folder
    model, info = AutoModelForSequenceClassification.from_pretrained(saved, output_loading_info=True)
    assert model.config.model_type == "bert"
    assert not info["missing_keys"]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"student": {"start_layers": "every 3"}}, "student.start_layers: a student of 1 layers would learn from"),
        ({"student": {"start": "layers", "width": 32}}, "student.start: layers are cut, not widened"),
        ({"student": {"start": "layers", "architecture": "mobilebert"}}, "a mobilebert can only start at random"),
        ({"student": {"start": "fitted", "architecture": "mobilebert"}}, "a mobilebert can only start at random"),
        ({"student": {"start": "fitted", "model": "{world}/model"}}, "student.model is there to start from"),
        ({"student": {"start": "random", "start_from": "task_teacher"}}, "only a student that starts fitted or with"),
        ({"student": {"start_from": "task_teacher"}}, "with student.start_from: task_teacher there is no general"),
        ({"student": {"copy_layers": "top"}}, "unknown setting; write student.start: layers, and student.start_layers"),
        ({"student": {"copy_from": "backbone"}}, "student.copy_from: unknown setting; write student.start_from"),
        (
            {"student": {"embeddings": "teacher"}},
            "student.embeddings: unknown setting; write student.start: embeddings",
        ),
        ({"student": {"architecture": "mobilebert", "width": 12}}, "take a multiple of 8"),
        ({"student": {"architecture": "mobilebert", "start": "embeddings"}}, "can only start at random"),
        ({"student": {"model": "{world}/model"}}, "has {'layers': 2, 'width': 24, 'heads': 2, 'feed_forward': 48}"),
        ({"distill_predictions": {"prediction": 0}}, "distill_predictions: no objective has a weight"),
        (
            {"distill_predictions": {"label": 1}, "task": {"unlabelled": "{world}/rows.csv"}},
            "distill_predictions.label: the rows of task.unlabelled have no labels",
        ),
    ],
)
def test_what_cannot_be_is_said_by_the_plan(world: Path, sections: dict[str, dict[str, Any]], words: str) -> None:
    filled = json.loads(json.dumps(sections).replace("{world}", str(world)))
    filled["student"] = STUDENTS["bert"] | filled.get("student", {})
    with pytest.raises(UserError) as caught:
        make_plan(write_recipe(world, world / "model", **filled))
    assert words in str(caught.value)


def test_an_existing_student_must_share_the_tokenizer(world: Path) -> None:
    other = tiny.write_model(world / "other", layers=1, width=16)
    words = (other / "vocab.txt").read_text().split()
    (other / "vocab.txt").write_text("\n".join([*words[:-1], "other"]) + "\n")
    for path in other.glob("tokenizer*"):
        path.unlink()
    student = STUDENTS["bert"] | {"feed_forward": 32, "model": str(other)}
    with pytest.raises(UserError, match="they must share one"):
        make_plan(write_recipe(world, world / "model", student=student))
