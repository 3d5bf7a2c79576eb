"""The snippets of docs/how-to/deploy.md print the student's label, each where its client is installed."""

import json
import os
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from pipeline import PROJECT
from pipeline.heads.embedding import EmbeddingHead
from pipeline.models.loading import load_tokenizer
from pipeline.predict.__main__ import main

PAGE = PROJECT / "docs/how-to/deploy.md"
STUDENT = "runs/rotten_tomatoes/export_student"
TEXT = "A quiet triumph."
NODE = shutil.which("node")
NODE_FOLDER = os.environ.get("TRANSFORMERS_JS", str(PROJECT))  # where `npm install @huggingface/transformers` was run


def snippet(section: str, language: str) -> str:
    """The code of a section of the page."""
    part = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    return code


@pytest.fixture
def label(shipped: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    """The answer of the project's own command."""

    def answer(*words: str) -> dict:
        main([str(shipped), TEXT, "--jsonl", *words])
        return json.loads(capsys.readouterr().out)

    return answer


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of another environment: it has the installed packages of this one, and not this project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    packages.joinpath("others.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    python = folder / "bin/python"
    found = in_its_folder(python, "import torch, pipeline")
    assert found.stderr.endswith("ModuleNotFoundError: No module named 'pipeline'\n")
    return python


def in_its_folder(python: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where nothing leads to this project."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = os.pathsep.join(path for path in paths if path and Path(path).resolve() != PROJECT)
    known = os.environ | {"PYTHONPATH": others}
    words = [python, "-c", code]
    return subprocess.run(words, cwd=python.parent, env=known, capture_output=True, text=True, check=False, timeout=120)


def run_in(python: Path, code: str, shipped: Path, *, student: str = STUDENT, without: tuple[str, ...] = ()) -> str:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in without)
    done = in_its_folder(python, f"import sys\n{blocked}" + code.replace(student, str(shipped)))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_onnx_runtime_alone(elsewhere: Path, shipped: Path, label: Callable[..., dict]) -> None:
    code, without = snippet("ONNX Runtime alone", "python"), ("torch", "transformers")
    assert run_in(elsewhere, code, shipped, without=without) == label("--onnx")["label"]


def test_transformers(elsewhere: Path, shipped: Path, label: Callable[..., dict]) -> None:
    assert run_in(elsewhere, snippet("transformers", "python"), shipped) == label()["label"]


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
def test_sentence_transformers(elsewhere: Path, tiny_template: Path, tmp_path: Path) -> None:
    backbone, head = tiny_template / "model", EmbeddingHead()
    head.save(head.load(backbone, label_names=(), new_head=True), tmp_path, tokenizer_of=backbone)
    code = snippet("sentence-transformers", "python")
    found = float(run_in(elsewhere, code, tmp_path, student="runs/stsb/export_student"))
    texts, bare = re.findall(r'"([^"]+\.)"', code), AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        states = [bare(**load_tokenizer(tmp_path)(text, return_tensors="pt")).last_hidden_state for text in texts]
    one, other = (state[0].mean(dim=0) for state in states)
    assert found == pytest.approx(torch.cosine_similarity(one, other, dim=0).item(), abs=1e-4)


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino(elsewhere: Path, shipped: Path, label: Callable[..., dict]) -> None:
    assert run_in(elsewhere, snippet("OpenVINO", "python"), shipped, without=("torch",)) == label()["label"]


def in_node(code: str, shipped: Path) -> str:
    assert NODE
    code = code.replace("runs/rotten_tomatoes/", f"{shipped.parent}/").replace('"export_student"', f'"{shipped.name}"')
    words = [NODE, "--input-type=module", "-e", code]
    done = subprocess.run(words, cwd=NODE_FOLDER, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


needs_transformers_js = pytest.mark.skipif(
    NODE is None or not Path(NODE_FOLDER, "node_modules/@huggingface/transformers").is_dir(),
    reason="Transformers.js is not installed; TRANSFORMERS_JS names the folder where npm installed it",
)


@needs_transformers_js
def test_transformers_js(shipped: Path, label: Callable[..., dict]) -> None:
    assert in_node(snippet("Transformers.js", "js"), shipped) == label("--onnx")["label"]


@needs_transformers_js
@pytest.mark.parametrize("dtype", ["fp32", "q8", "int8"])
def test_transformers_js_gives_the_same_probabilities(shipped: Path, label: Callable[..., dict], dtype: str) -> None:
    code = snippet("Transformers.js", "js").replace('"q8"', f'"{dtype}"').replace("const [answer]", "const answers")
    code = code.replace(f'"{TEXT}")', f'"{TEXT}", {{ top_k: null }})').replace(
        "answer.label", "JSON.stringify(answers)"
    )
    found = {answer["label"]: answer["score"] for answer in json.loads(in_node(code, shipped))}
    expected = label(*([] if dtype == "fp32" else ["--onnx"]))["probabilities"]
    assert found == pytest.approx(expected, abs=1e-3)
