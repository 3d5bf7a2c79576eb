"""An exported student gives the answers of evaluate_student, however it is run."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, pipeline

from pipeline.export.onnx_session import FLOAT32, open_session
from pipeline.predict.__main__ import main
from pipeline.report.model_card import HERE

ROUNDING = 1e-4


def assert_same_answers(run: Path, kind: str, capsys: Any, *, int8: float = 0.9) -> None:
    """Of every test row: `pipeline.predict` by PyTorch and by ONNX, and transformers alone.

    Args: int8: the share of rows on which the int8 file gives the same.
    """
    table = pq.read_table(run / "evaluate_student" / "predictions.parquet").to_pylist()
    texts, right = [row["texts"] for row in table], [row["student"] for row in table]
    folder = run / "export_student"
    assert_alike(right, predicted(folder, kind, texts, capsys), 1)
    if kind == "token_classification":
        assert_alike(right, predicted(folder, kind, texts, capsys, as_typed=True), 1)
    assert_alike(right, predicted(folder, kind, texts, capsys, "--onnx"), int8)
    short = [number for number, each in enumerate(texts) if kind != "question_answering" or _fits(folder, each)]
    alone = [by_transformers(folder, kind, texts[number]) for number in short]
    assert_alike([right[number] for number in short], alone, 1)


def _fits(folder: Path, texts: list[str]) -> bool:
    """Whether a question and its context are one window, as the card's code reads them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return len(tokenizer(*texts)["input_ids"]) <= tokenizer.model_max_length


def assert_alike(right: list[Any], found: list[Any], share: float) -> None:
    if right and isinstance(right[0], float):
        spread = max(1.0, float(np.ptp(right)))
        np.testing.assert_allclose(found, right, atol=(ROUNDING if share == 1 else 0.2) * spread)
    else:
        other = [pair for pair in zip(right, found, strict=True) if pair[0] != pair[1]]
        assert len(other) <= (1 - share) * len(right), other


def predicted(
    folder: Path, kind: str, texts: list[list[str]], capsys: Any, *words: str, as_typed: bool = False
) -> list[Any]:
    """Args: as_typed: a tagged text is no list of its words."""
    in_words = kind == "token_classification" and not as_typed
    rows = [{"text": each[0].split(" ") if in_words else each[0], "other": each[-1]} for each in texts]
    path = folder.resolve().parent.parent / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    capsys.readouterr()
    pair = ["--text-pair", "other"] if len(texts[0]) > 1 else []
    assert main([str(folder), "--input", str(path), *pair, "--jsonl", "--batch-size", "8", *words]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    if kind == "token_classification":
        return [[word["label"] for word in one["words"]] for one in found]
    key = {"question_answering": "answer", "regression": "score", "multi_label": "labels"}.get(kind, "label")
    return [sorted(one[key]) if kind == "multi_label" else one[key] for one in found]


def by_transformers(folder: Path, kind: str, texts: list[str]) -> Any:
    """As the model card says."""
    if kind in ("token_classification", "question_answering", "multi_label"):
        return _by_the_card(folder, kind, texts)
    answer: Any = pipeline("text-classification", model=str(folder), top_k=None, function_to_apply="none")
    given = {"text": texts[0], "text_pair": texts[1]} if len(texts) > 1 else texts[0]
    scores = {one["label"]: one["score"] for one in answer([given])[0]}
    if kind == "regression":
        return next(iter(scores.values()))
    return max(scores, key=lambda name: scores[name])


def code_of_card(card: str, folder: Path) -> str:
    """The code that a model card shows, for a student in this folder."""
    text = card.partition("\n# ")[2].partition("## Measured")[0]
    return "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE)).replace(HERE, str(folder))


def _by_the_card(folder: Path, kind: str, texts: list[str]) -> Any:
    code = code_of_card((folder / "README.md").read_text(encoding="utf-8"), folder)
    if kind == "multi_label":
        names: dict[str, Any] = {}
        exec(code.replace('"..."', repr(texts[0])), names)
        return sorted(names["labels"])
    if kind == "token_classification":
        names = {}
        exec(code.replace('"..."', repr(texts[0])), names)
        starts = [0, *(match.end() for match in re.finditer(" ", texts[0]))]
        return [names["tags"].get(start, "O") for start in starts]
    question, context = texts
    names = {}
    exec(code.replace('"...", "..."', f"{question!r}, {context!r}"), names)
    return names["answer"]


def cosines(folder: Path, texts: list[list[str]], *, onnx: bool = False) -> list[float]:
    """Of pairs of sentences, by transformers alone: means over tokens, and the layer that some students have on top.

    Args: onnx: by the float32 file, whose output is the embedding, instead of the weights.
    """
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    session = open_session(folder / FLOAT32)
    top = folder / "2_Dense" / "model.safetensors"
    dense = load_file(top)["linear.weight"] if top.is_file() else torch.eye(model.config.hidden_size)

    @torch.no_grad()
    def embedded(text: str) -> torch.Tensor:
        tokens = tokenizer(text, return_tensors="pt")
        if onnx:
            given = {tensor.name: tokens[tensor.name].numpy() for tensor in session.get_inputs()}
            outputs: list[Any] = list(session.run(None, given))
            return torch.nn.functional.normalize(torch.from_numpy(outputs[0])[0], dim=0)
        return torch.nn.functional.normalize(dense @ model(**tokens).last_hidden_state[0].mean(0), dim=0)

    return [float(embedded(first) @ embedded(second)) for first, second in texts]
