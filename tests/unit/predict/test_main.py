"""Answers of a student on the command line."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from pipeline import PROJECT
from pipeline.errors import UserError
from pipeline.models.saved_model import add_to_config
from pipeline.predict.__main__ import main
from pipeline.predict.student import WINDOWS, load_student
from tests import tiny

TEXTS = ["The film is good .", "the plot was dull and boring", "A story with a warm , funny cast ."]


def answers(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict]:
    assert main([*map(str, words), "--jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("words", [[], ["--batch-size", "2"]])
def test_labels_and_probabilities_are_those_of_transformers(
    shipped: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    found = answers(capsys, shipped, *TEXTS, *words)
    theirs = pipeline("text-classification", model=str(shipped))(TEXTS)
    assert [one["text"] for one in found] == TEXTS
    assert [one["label"] for one in found] == [one["label"] for one in theirs]
    assert [one["probability"] for one in found] == pytest.approx([one["score"] for one in theirs], abs=1e-5)
    assert all(sum(one["probabilities"].values()) == pytest.approx(1) for one in found)


def test_the_int8_file_answers_nearly_the_same(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = answers(capsys, shipped, "--onnx", *TEXTS, "--batch-size", "3")
    theirs = answers(capsys, shipped, *TEXTS)
    assert [one["probabilities"]["fresh"] for one in ours] == pytest.approx(
        [one["probabilities"]["fresh"] for one in theirs], abs=0.1
    )


def test_onnx_needs_neither_torch_nor_transformers(shipped: Path) -> None:
    program = (
        "import sys; from pipeline.predict.__main__ import main; status = main(sys.argv[1:])\n"
        "print(status, *sorted({'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(shipped), "--onnx", "a good film"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_standard_input_is_answered_line_by_line(shipped: Path) -> None:
    command = [sys.executable, "-m", "pipeline.predict", str(shipped), "--onnx"]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for text in TEXTS:  # each answer comes before the next question
            process.stdin.write(f"{text}\n\n")
            process.stdin.flush()
            label, share, *rest = process.stdout.readline().split()
            assert label in ("rotten", "fresh")
            assert share.endswith("%")
            assert " ".join(rest) == text
        process.stdin.close()
        assert process.wait() == 0


def test_a_table_is_answered_row_by_row(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny.write_rows(tmp_path / "rows.csv", rows=7)
    found = answers(capsys, shipped, "--onnx", "--input", path, "--batch-size", "3")
    assert len(found) == 7
    assert main([str(shipped), "--onnx", "--input", str(path), "--text", "review"]) == 2
    assert "review" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.safetensors", None, "has no model.safetensors; give the folder of a student"),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "model.safetensors is not a whole file of weights"),
        ("config.json", b"[]", "config.json is not a JSON object; save the model again"),
        ("config.json", b"{", "config.json is not valid JSON; save the model again"),
    ],
)
def test_a_damaged_student_is_one_sentence(
    shipped: Path, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load_student(folder, onnx=False)


def test_a_file_that_may_not_be_read_says_so(shipped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json cannot be read: Is a directory$"):
        load_student(folder, onnx=False)


@pytest.mark.parametrize("onnx", [False, True])
def test_the_tokenizer_of_another_model_is_refused(shipped: Path, tmp_path: Path, onnx: bool) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    pieces = config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 40}), encoding="utf-8")
    sentence = f"has {pieces} pieces, and vocab_size in config.json is 40; take the student's own tokenizer"
    with pytest.raises(UserError, match=sentence):
        load_student(folder, onnx=onnx)


def test_the_student_alone_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("the following arguments are required: STUDENT\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hidden_act": "gelux"}, "cannot be loaded: 'gelux'; save the model again"),
        ({"pad_token_id": 99999}, "cannot be loaded: Padding_idx must be within num_embeddings"),
        (
            {"chunk_size_feed_forward": "x"},
            "'chunk_size_feed_forward' is \"x\", and a whole number",
        ),
        ({"window_overlap": "x"}, "'window_overlap' is \"x\""),
        ({"thresholds": {"joy": "x"}}, "'thresholds' is {"),
        ({"output_attentions": "x"}, "'output_attentions' is \"x\", and true or false is needed"),
    ],
)
def test_what_no_library_takes_of_a_config_is_one_sentence(
    shipped: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | change
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        load_student(folder, onnx=False)


def test_a_config_may_ask_for_more_outputs(shipped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"output_attentions": True, "output_hidden_states": True, "return_dict": False}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    outputs = [
        next(load_student(each, onnx=False).read([("The film is good .",)])).windows[0].outputs
        for each in (shipped, folder)
    ]
    assert outputs[0].keys() == outputs[1].keys() == {"logits"}
    np.testing.assert_array_equal(outputs[0]["logits"], outputs[1]["logits"])


def asked(shipped: Path, *words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """The command in a language that knows no letter beyond ASCII."""
    command = [sys.executable, "-m", "pipeline.predict", str(shipped), "--onnx", *words]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, cwd=PROJECT, input=stdin, capture_output=True, check=False, env=environment)


def test_letters_beyond_ascii_are_read_and_written_whatever_the_language(shipped: Path) -> None:
    done = asked(shipped, "--jsonl", stdin="The café is good .".encode())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "The café is good ."


def test_a_byte_order_mark_is_no_part_of_the_first_text(shipped: Path) -> None:
    done = asked(shipped, "--jsonl", stdin="\ufeffThe film is good .\n".encode())
    assert json.loads(done.stdout)["text"] == "The film is good ."


def test_a_line_that_is_not_utf_8_is_named(shipped: Path) -> None:
    done = asked(shipped, stdin=b"The film is good .\nThe caf\xe9 is good .\n")
    assert done.returncode == 2
    assert done.stderr == b"error: standard input:2 is not UTF-8; save the texts as UTF-8\n"
    assert b"The film is good ." in done.stdout


def test_ctrl_c_ends_without_a_traceback(shipped: Path) -> None:
    command = [sys.executable, "-m", "pipeline.predict", str(shipped), "--onnx"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what starts these tests may have it ignored
    with subprocess.Popen(command, cwd=PROJECT, preexec_fn=heard, **pipes) as process:  # noqa: PLW1509
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"The film is good .\n")
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(1)  # until it waits for the next line: a signal on the way there would be heard after that line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 75
        assert process.stderr.read() == b""


def test_pairs_come_from_arguments_lines_and_tables(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = TEXTS[:2]
    arguments = answers(capsys, shipped, "--pairs", first, second)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{first}\t{second}\n"))
    lines = answers(capsys, shipped, "--pairs")
    path = tmp_path / "pairs.tsv"
    path.write_text(f"text\tother\n{first}\t{second}\n")
    table = answers(capsys, shipped, "--input", path, "--text-pair", "other")
    assert arguments == lines == table
    assert arguments[0]["text"] == [first, second]
    theirs = pipeline("text-classification", model=str(shipped))([{"text": first, "text_pair": second}])
    assert arguments[0]["probabilities"][theirs[0]["label"]] == pytest.approx(theirs[0]["score"], abs=1e-5)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_a_row_without_text_is_refused_and_a_pair_may_lack_its_second_text(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, sign = tmp_path / name, "," if name == "rows.csv" else "\t"
    path.write_text(f"text{sign}other\ngood{sign} \n")
    pair = answers(capsys, shipped, "--input", path, "--text-pair", "other")
    assert pair[0]["probabilities"] == answers(capsys, shipped, "good")[0]["probabilities"]
    assert pair[0]["probabilities"] == answers(capsys, shipped, "--pairs", "good", "")[0]["probabilities"]
    path.write_text(f"text{sign}other\ngood{sign}fine\n {sign}fine\n")
    for words in ([], ["--text-pair", "other"]):
        assert main([str(shipped), "--input", str(path), *words]) == 2
        assert capsys.readouterr().err == f"error: {path}:3: column 'text' holds no text\n"


def test_a_line_of_a_pair_without_its_first_text_is_refused(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("good\t\n\tfine\n"))
    assert main([str(shipped), "--pairs"]) == 2
    assert capsys.readouterr().err == "error: standard input:2: the first text of the pair is empty\n"


def test_a_regression_gives_scores(tiny_template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.write_classifier(tmp_path / "student", tiny_template / "model", labels=())
    found = answers(capsys, folder, *TEXTS)
    assert all(set(one) == {"text", "score"} for one in found)
    assert np.ptp([one["score"] for one in found]) > 0


def test_long_texts_are_cut_where_training_cut_them(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = " ".join(["good"] * 30)
    short, long = answers(capsys, shipped, begin, f"{begin} dull boring awful " + "bad " * 100)
    assert short["probabilities"] == pytest.approx(long["probabilities"])


@pytest.fixture(scope="module")
def finds_spans(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that finds answers in texts, of 64 tokens at once."""
    folder = tmp_path_factory.mktemp("spans")
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(tiny_template / "model", initializer_range=1.0)
    AutoModelForQuestionAnswering.from_config(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_template / "model", model_max_length=64)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_long_text_is_searched_in_windows(finds_spans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = " ".join(f"{word} film" for word in ["good", "dull", "bad", "boring", "fine"] * 30)
    [found] = answers(capsys, finds_spans, "--pairs", "the plot ?", context)
    tokenizer = AutoTokenizer.from_pretrained(finds_spans)
    model = AutoModelForQuestionAnswering.from_pretrained(finds_spans)
    windows = tokenizer("the plot ?", context, truncation="only_second", stride=64 // 3, padding=True,
                        return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt")  # fmt: skip
    assert len(windows["input_ids"]) > 2
    with torch.inference_mode():
        seen = model(**{name: windows[name] for name in ("input_ids", "attention_mask", "token_type_ids")})
    sums = {}
    for number in range(len(windows["input_ids"])):
        inside = [place for place, of in enumerate(windows.sequence_ids(number)) if of == 1]
        for start in inside:
            for end in inside:
                if start <= end < start + 30:
                    places = windows["offset_mapping"][number]
                    place = int(places[start, 0]), int(places[end, 1])
                    total = float(seen.start_logits[number, start] + seen.end_logits[number, end])
                    sums[place] = max(total, sums.get(place, -1e9))
    none = float((seen.start_logits[:, 0] + seen.end_logits[:, 0]).min())
    best = max(sums, key=lambda place: sums[place])
    assert (found["start"], found["end"]) == (best if sums[best] >= none else (0, 0))


def test_at_most_so_many_windows_go_through_the_model_at_once(finds_spans: Path) -> None:
    student = load_student(finds_spans, onnx=False)
    rows: list[int] = []

    def forward(arrays: dict[str, Any]) -> dict[str, Any]:
        rows.append(len(arrays["input_ids"]))
        return student.forward(arrays)

    texts = [("the plot ?", "good film " * 600), ("the plot ?", "a film")]
    apart = [reading.windows for one in texts for reading in student.read([one])]
    together = [reading.windows for reading in replace(student, forward=forward).read(texts)]
    assert len(rows) > 1 and max(rows) == WINDOWS and sum(rows) == sum(map(len, apart))
    for ours, theirs in zip(together, apart, strict=True):
        mine, its = ([window.outputs["start_logits"][:8] for window in windows] for windows in (ours, theirs))
        np.testing.assert_allclose(mine, its, atol=1e-3)


def test_a_text_is_cut_at_the_side_that_training_cut(shipped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped, tmp_path / "student")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": "left"}))
    [reading] = load_student(folder, onnx=False).read([("bad " * 40 + "good film",)])
    assert reading.windows[0].encoding.tokens[-3:] == ["good", "film", "[SEP]"]


def test_the_code_of_the_model_card_finds_the_same_answers(
    finds_spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finds_spans, tmp_path / "student")
    add_to_config(folder, {"longest_answer": 4, "always_answers": True, "window_overlap": 8})
    card = (PROJECT / "pipeline/report/templates/card.md.jinja").read_text(encoding="utf-8")
    begin = card.index("    from transformers import AutoModelForQuestionAnswering")
    code = "\n".join(line[4:] for line in card[begin:].partition("\n\n")[0].splitlines()).replace(
        "{{ here }}", str(folder)
    )
    for context in ("the film is good and the plot was dull .", "a story , a cast and an overlong ending"):
        names: dict[str, Any] = {}
        exec(code.replace('"...", "..."', f'"the plot ?", {context!r}'), names)
        [found] = answers(capsys, folder, "--pairs", "the plot ?", context)
        assert names["answer"] == found["answer"] != ""


@pytest.fixture(scope="module")
def tags_words(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that labels words, of 12 tokens at once."""
    folder = tmp_path_factory.mktemp("tags")
    torch.manual_seed(0)
    names = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}
    config = AutoConfig.from_pretrained(tiny_template / "model", initializer_range=1.0, **names)
    AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_template / "model", model_max_length=12).save_pretrained(folder)
    return folder


def test_running_text_is_tagged_as_its_words_parted_by_blanks(
    tags_words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, parted = "An unwatchable Film, (good).", "An unwatchable Film , ( good ) ."
    ours, theirs = answers(capsys, tags_words, running, parted)
    assert [word["word"] for word in ours["words"]] == parted.split()
    assert [running[word["start"] : word["end"]] for word in ours["words"]] == parted.split()
    for one, other in zip(ours["words"], theirs["words"], strict=True):
        assert (one["word"], one["label"]) == (other["word"], other["label"])
        assert one["probability"] == pytest.approx(other["probability"])


def test_words_beyond_the_cut_get_no_tag(tags_words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [found] = answers(capsys, tags_words, "good " * 30)
    assert len(found["words"]) == 10  # of 12 tokens two stand around the text


@pytest.mark.parametrize("name", ["squad.json", "rows.jsonl", "rows.csv"])
def test_questions_are_read_as_training_reads_them(
    finds_spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    question, context = "the plot ?", "the film is good"
    rows = {
        "squad.json": {"data": [{"paragraphs": [{"context": context, "qas": [{"question": question}]}]}]},
        "rows.jsonl": {"question": question, "context": context},
    }
    content = json.dumps(rows[name]) if name in rows else f"question,context\n{question},{context}\n"
    (tmp_path / name).write_text(content, encoding="utf-8")
    [found] = answers(capsys, finds_spans, "--input", str(tmp_path / name))
    assert found["text"] == [question, context] and found["answer"] in context


def test_a_text_that_is_not_utf_8_is_one_sentence(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(shipped), "caf\udce9"]) == 2
    assert "error: 'caf\\udce9' is not UTF-8; give the text in UTF-8\n" in capsys.readouterr().err


def test_a_question_without_its_text_is_refused(finds_spans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(finds_spans), "the plot ?"]) == 2
    assert "give a question and a text as a pair (--pairs)" in capsys.readouterr().err


@pytest.mark.parametrize("words", [8, 18, 25, 40, 200])
def test_a_question_of_any_length_leaves_room_for_the_text(
    finds_spans: Path, capsys: pytest.CaptureFixture[str], words: int
) -> None:
    (found,) = answers(capsys, finds_spans, "--pairs", "plot " * words, "a film and a score " * 40)
    assert found["answer"] in "a film and a score " * 40 and found["text"][0] == "plot " * words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/nowhere", "a text"], "there is no folder /nowhere; give the folder of a student"),
        (["{student}/config.json", "a text"], "there is no folder {student}/config.json; give the folder of a student"),
        (["{student}/onnx", "a text"], "{student}/onnx has no config.json; give the folder of a student"),
        (["", "a text"], "the name of the student's folder is empty"),
        (["", "--serve"], "the name of the student's folder is empty"),
        (["{student}", "a", "b", "c", "--pairs"], "--pairs: 3 texts are no pairs; give an even number"),
        (["{student}", "a text", "--input", "rows.csv"], "not from both"),
        (["{student}", "--input", "rows.txt"], "unknown kind of table"),
        (["{student}", "--input", "rows.csv", "--pairs"], "name the second column (--text-pair)"),
        (["{student}", "a text", "--text-pair", "other"], "--text-pair names a column of --input"),
        (["{student}", "a text", "--batch-size", "0"], "take 1 or more"),
        (["{student}", "a text", " "], "text 2 of the command line is empty"),
        (["{student}", "a", "b", "", "c", "--pairs"], "text 3 of the command line is empty"),
        (["{backbone}", "a text", "--onnx"], "has no onnx/model_int8.onnx; run the stage export_student"),
        (["{backbone}", "film"], "which are no answers; give a student that classifies, scores, tags or finds answers"),
    ],
)
def test_bad_input_gets_one_sentence(
    shipped: Path, tiny_template: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    folders = {"student": shipped, "backbone": tiny_template / "model"}
    assert main([word.format(**folders) for word in words]) == 2
    error = capsys.readouterr().err
    assert message.format(**folders) in error
    assert len(error.splitlines()) == 1


def test_a_closed_standard_input_is_one_sentence(shipped: Path) -> None:
    words = [sys.executable, "-m", "pipeline.predict", str(shipped), "--onnx"]
    done = subprocess.run(["bash", "-c", 'exec "$@" <&-', "-", *words], cwd=PROJECT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, b"error: standard input is closed; give texts, or --input FILE\n")
