"""Bad input: found before anything is launched, one sentence, exit status 2, no artifact."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.graph import STAGES
from pipeline.plan import make_plan
from pipeline.run import main
from tests import tiny

ROWS = "text,label\nThe film is great .,fresh\nThe plot is dull .,rotten\n"
MANY = "text,label\n" + 10 * ROWS.partition("\n")[2]
Settings = dict[str, Any]
Files = dict[str, str | bytes | None]  # None: the file is removed


def prepare(world: Path, settings: Settings, files: Files) -> Path:
    """The tiny world with other settings ('section.field') and files; `{world}` in a setting is its folder."""
    tree = json.loads(json.dumps(tiny.recipe(world)))  # no section shared with another
    for name, value in settings.items():
        section, _, field = name.rpartition(".")
        (tree[section] if section else tree)[field] = filled(value, world) if isinstance(value, str) else value
    recipe = tiny.write_recipe(world / "recipe.yaml", tree)
    for name, content in files.items():
        path = world / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return recipe


def filled(text: str, world: Path) -> str:
    return text.replace("{world}", str(world))


def assert_one_sentence(world: Path, errors: str, words: str) -> None:
    """Of what was printed to stderr, and that no stage left a trace in the store."""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert filled(words, world) in errors
    assert [path.name for path in (world / "artifacts").glob("*") if path.name in STAGES] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"distill_layers.epoch": 3}, "distill_layers.epoch: unknown setting; did you mean 'epochs'?"),
        ({"student.layers": "four"}, "student.layers: 'four' does not fit: input should be a valid integer"),
        ({"student.layers": 0}, "student.layers: 0 does not fit: input should be greater than or equal to 1"),
        ({"student.heads": 4}, "distill_general.attention: it compares heads one by one, and {world}/model has 2, the"),
        ({"student.heads": 4}, "set it to 0 and copy query_relations, key_relations, value_relations instead"),
        ({"distill_layers.layer_map": "every 3"}, "distill_layers.layer_map: a student of 1 layers would learn from"),
        ({"distill_layers.layer_map": [1, 2]}, "distill_layers.layer_map: it lists 2 layers for a student of 1"),
        (
            {"distill_layers.layer_map": "topmost"},
            "'topmost' does not fit: value error, it must be uniform, top, bottom",
        ),
        (
            {"distill_general.value_relations": 1, "distill_general.relation_heads": 3},
            "relation_heads: 3 heads do not divide the width of the student, 16; choose one of 1, 2, 4, 8",
        ),
        (
            {"distill_layers.embedding": 0, "distill_layers.hidden": 0, "distill_layers.attention": 0},
            "distill_layers: no objective has a weight; give one, or set distill_layers.epochs: 0",
        ),
        ({"student.width": 17}, "student.width: 17 is not a multiple of student.heads, 2"),
        ({"task.max_length": 128}, "task.max_length: 128, up to the next multiple of 4, is more than the 64 positions"),
        (
            {"prepare_corpus.length": 128},
            "prepare_corpus.length: 128, up to the next multiple of 4, is more than the 64 positions",
        ),
        ({"prepare_corpus.sources": [], "prepare_corpus.task_text": False}, "but pretrain_teacher trains on it"),
        ({"prepare_corpus.sources": "{world}/txet.txt"}, "there is no 'txet.txt' in {world}; did you mean 'text.txt'?"),
        ({"task.train": "{world}/row.csv"}, "there is no 'row.csv' in {world}; did you mean 'rows.csv'?"),
        ({"task.train": []}, "task.train: empty; name your training files, or set task.glue"),
        ({"task.train": "{world}/text.txt"}, "text.txt: unknown kind of table"),
        ({"task.label": "lable"}, "rows.csv:1: no column 'lable'; did you mean 'label'?"),
        ({"task.text_pair": "other"}, "rows.csv:1: no column 'other'"),
        ({"task.kind": "regression"}, "rows.csv:2: column 'label' holds 'rotten', not a finite number"),
        ({"task.metric": "pearson"}, "task.metric: "),
        ({"task.labels": ["fresh", "stale"]}, ": unknown label 'rotten'"),
        ({"task.dev_share": 0.6, "task.test_share": 0.4}, "together 1, which leaves no training row"),
        ({"task.glue": "sst2"}, "task.train: GLUE's sst2 has its own; leave it out, or leave task.glue out"),
        ({"backbone": "{world}/modle"}, "there is no 'modle' in {world}; did you mean 'model'?"),
        ({"backbone": "{world}/rows.csv"}, "is no model: {world}/rows.csv is not a folder with a config.json"),
        ({"backbone": "hub:"}, "hub: names no repository: write hub:OWNER/NAME"),
        ({"backbone": "wheel:toy-words"}, "write wheel:NAME==VERSION#PATH/IN/WHEEL"),
        ({"propose_candidates.vectors": "{world}/vector.txt"}, "did you mean 'vectors.txt'?"),
        ({"propose_candidates.keep": "("}, "propose_candidates.keep: '(' is no regular expression: missing )"),
        ({"finetune_teacher.model": "{world}/teacher"}, "there is no 'teacher' in {world}"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_recipe_that_does_not_fit_is_one_sentence(
    world: Path, settings: Settings, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(prepare(world, settings, {}))]) == 2
    assert_one_sentence(world, capsys.readouterr().err, words)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"rows.csv": ""}, "rows.csv: is empty; its first line names the columns"),
        ({"rows.csv": ROWS + " ,fresh\n"}, "rows.csv:4: column 'text' has no text; write one, or set task.skip_empty"),
        ({"rows.csv": ROWS + "The end .,\n"}, "rows.csv:4: column 'label' has no label"),
        ({"rows.csv": ROWS + "The end, again .,fresh\n"}, "rows.csv:4: 3 fields where the table has 2 columns"),
        ({"rows.csv": ROWS + "The end .\n"}, "rows.csv:4: 1 fields where the table has 2 columns"),
        ({"rows.csv": ROWS + '"The end,fresh\n'}, "rows.csv:4: the row that begins here is not valid CSV"),
        ({"rows.csv": ROWS.encode() + b"A clich\xe9 .,fresh\n"}, "rows.csv:4: not UTF-8 (byte 0xe9)"),
        ({"rows.csv": "text,label,text\na,b,c\n"}, "rows.csv:1: two columns are named 'text'; rename one"),
        ({"rows.csv": "text,label\na,b\nc,b\n"}, "all training rows have the label 'b'; a task needs at least two"),
        ({"rows.csv": "text,label\na,b\nc,d\n"}, "too few for a row in"),
        ({"recipe.yaml": b"\xff\xfe"}, "recipe.yaml: not UTF-8; save the recipe as UTF-8"),
        ({"model/tokenizer.json": None, "model/vocab.txt": None}, "model has no tokenizer (tokenizer.json or vocab"),
        ({"model/tokenizer.json": "{}"}, "tokenizer.json cannot be read as a tokenizer"),
        ({"model/config.json": "{}"}, "config.json (backbone) lacks 'model_type'"),
        ({"model/config.json": '{"model_type": "bert"}'}, "config.json (backbone) lacks 'num_hidden_layers'"),
        ({"model/config.json": "not JSON"}, "config.json (backbone) is not valid JSON"),
        ({"model/config.json": None}, "is no model: {world}/model is not a folder with a config.json"),
        ({"model/model.safetensors": None}, "model has no model.safetensors"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(
    world: Path, files: Files, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(prepare(world, {}, files))]) == 2
    assert_one_sentence(world, capsys.readouterr().err, words)


@pytest.mark.parametrize("value", ["NaN", "inf", "1_0", "fine", ""])
def test_a_score_that_is_no_number_is_one_sentence(world: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = prepare(world, {"task.kind": "regression"}, {"rows.csv": f"text,label\none,1.5\ntwo,{value}\n"})
    assert main([str(recipe)]) == 2
    assert_one_sentence(world, capsys.readouterr().err, f"rows.csv:3: column 'label' holds '{value}', not a finite")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no.yaml"], "no.yaml: no such recipe"),
        (["{recipe}", "other.yaml"], "'other.yaml': one recipe at a time, and settings as --section.field value"),
        (["{recipe}", "--seed"], "--seed wants a value"),
        (["{recipe}", "--seed", "one"], "--seed: 'one' does not fit: input should be a valid integer"),
        (["{recipe}", "--sead", "1"], "--sead: no such option; did you mean '--seed'?"),
        (["{recipe}", "--dryrun"], "--dryrun: no such option; did you mean '--dry-run'?"),
        (["{recipe}", "--from"], "--from: expected one argument; see --help"),
        (["{recipe}", "--list=all"], "--list: ignored explicit argument 'all'; see --help"),
        (["{recipe}", "--only", "distil_layers"], "--only: no stage 'distil_layers'; did you mean 'distill_layers'?"),
        (["{recipe}", "--force", "distil_layers"], "--force: no stage 'distil_layers'; did you mean 'distill_layers'?"),
        (["{recipe}", "--from", "augment_data"], "not done (not run yet); start there: --from propose_candidates"),
        (["{recipe}", "--only", "annotate_data"], "annotate_data reads finetune_teacher, which is not done"),
        (
            ["{recipe}", "--augment_data.variants", "0", "--until", "propose_candidates"],
            "propose_candidates: this recipe does not need the stage; it runs prepare_corpus, ",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value[1:]) or value[0],
)
def test_a_wrong_command_line_is_one_sentence(
    world: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("{recipe}", str(world / "recipe.yaml")) for word in words]) == 2
    assert_one_sentence(world, capsys.readouterr().err, sentence)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": 10}, "the model only 10 pieces; take the tokenizer that the model"),
        (
            {"model_type": "mpnet"},
            "is a mpnet, whose queries, keys and values cannot be taken; set it to 0: the embeddings",
        ),
        ({"embedding_size": 8}, "has embeddings of width 8 under layers of width 24"),
    ],
    ids=["vocabulary", "no attention interface", "narrow embeddings"],
)
def test_a_backbone_that_does_not_fit_is_one_sentence(
    world: Path, change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((world / "model/config.json").read_text())
    (world / "model/config.json").write_text(json.dumps(config | change))
    assert main([str(prepare(world, {"student.embeddings": "teacher"}, {}))]) == 2
    assert_one_sentence(world, capsys.readouterr().err, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id2label": {"0": "good", "1": "bad"}}, "are good, bad, the task's are fresh, rotten; list the task's names"),
        ({"id2label": {str(n): f"LABEL_{n}" for n in range(3)}}, "are LABEL_0, LABEL_1, LABEL_2, the task's are"),
        ({"num_hidden_layers": 4}, "has 4 layers and 2 heads, the backbone 2 and 2"),
    ],
    ids=["labels", "label count", "layers"],
)
def test_an_own_teacher_that_does_not_fit_is_one_sentence(
    world: Path, change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "model", world / "teacher")
    config = json.loads((world / "teacher/config.json").read_text())
    (world / "teacher/config.json").write_text(json.dumps(config | change))
    assert main([str(prepare(world, {"finetune_teacher.model": "{world}/teacher"}, {}))]) == 2
    assert_one_sentence(world, capsys.readouterr().err, words)


def test_a_wheel_of_another_checksum_is_one_sentence(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(world / "toy_words-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_words-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n")
        wheel.writestr("toy_words-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy_words/rows.csv", ROWS)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(world))
    settings = {"task.train": "wheel:toy-words==1.0#toy_words/rows.csv", "checksums": {"toy-words==1.0": "00ff"}}
    assert main([str(prepare(world, settings, {}))]) == 2
    said, error = capsys.readouterr().err.splitlines(keepends=True)
    assert said == "downloading toy-words==1.0\n"
    assert_one_sentence(world, error, "the recipe's checksums say 00ff; the download was removed")


def test_a_hub_that_is_not_reached_is_one_sentence(world: Path) -> None:
    recipe = prepare(world, {"backbone": "hub:owner/tiny"}, {})
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(world)}  # nobody listens there
    command = [sys.executable, "-m", "pipeline.run", str(recipe)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert_one_sentence(world, run.stderr, "hub:owner/tiny is not in the hub's cache, and the hub is not reached")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"\xef\xbb\xbf" + MANY.encode()),
        ("rows.csv", MANY.replace("\n", "\r\n").encode()),
        ("rows.tsv", MANY.replace(",", "\t").replace("The", '"The').encode()),
        ("rows.csv", MANY.replace("The film is great .", '"The film, ""great"" is\ngreat ."').encode()),
    ],
    ids=["byte-order mark", "CRLF", "lone quotes in TSV", "quotes in CSV"],
)
def test_what_looks_odd_and_is_right_is_accepted(world: Path, name: str, content: bytes) -> None:
    plan = make_plan(prepare(world, {"task.train": f"{world}/{name}"}, {name: content}))
    assert set(plan.why) == set(STAGES)
