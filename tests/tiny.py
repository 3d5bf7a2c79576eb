"""A tiny world for tests and first steps: a random BERT, a few hundred sentences with labels, text, vectors, a recipe.

python -m tests.tiny /tmp/tiny && ./run_all.sh /tmp/tiny/recipe.yaml
"""

import argparse
import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    PreTrainedModel,
)

GOOD = ["good", "great", "fine", "warm", "funny", "bright", "clever", "moving", "lovely", "fresh"]
BAD = ["bad", "dull", "poor", "cold", "silly", "grim", "lazy", "boring", "awful", "stale"]
NOUNS = ["film", "story", "cast", "plot", "scene", "ending", "script", "actor", "score", "joke"]
OTHER = ["the", "a", "is", "was", "and", "very", "with", "this", "an", "of", "it", "in", ",", "."]
PIECES = ["un", "##watch", "##able", "over", "##long"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sentence(source: random.Random, words: list[str]) -> str:
    """One review; its adjectives tell the label."""
    noun, other = source.sample(NOUNS, 2)
    first, second = source.sample(words, 2)
    long_word = source.choice(["", " unwatchable", " overlong"])
    return f"The {noun} is {first} and the{long_word} {other} was very {second} ."


def write_model(folder: Path, *, layers: int = 2, width: int = 24, heads: int = 2, seed: int = 0) -> Path:
    """A BERT with random weights and a WordPiece tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *GOOD, *BAD, *NOUNS, *OTHER, *PIECES]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * width,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def write_classifier(folder: Path, source: Path, *, labels: Sequence[str] = ("rotten", "fresh")) -> Path:
    """The model of `write_model` with a random head, all weights large enough that its answers differ by text.

    Args: labels: none makes a regressor.
    """
    from pipeline.models.loading import load_classifier, load_tokenizer
    from pipeline.models.vocabulary import save_tokenizer

    torch.manual_seed(3)
    model = load_classifier(source, label_names=labels, new_head=True)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    model.save_pretrained(folder)
    save_tokenizer(load_tokenizer(source), folder, max_length=32)
    return folder


def load_eager(folder: Path) -> PreTrainedModel:
    """A saved classifier as it is exported."""
    return AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()


def outputs(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What a model, or an ONNX file in its place, gives for these inputs."""
    with torch.inference_mode():
        return {name: tensor.numpy() for name, tensor in model(**inputs).items()}


def write_rows(path: Path, *, rows: int = 240, seed: int = 0, pair: bool = False, regression: bool = False) -> Path:
    """A CSV of labelled reviews."""
    source = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *(["other"] if pair else []), "label", "film"])
        for number in range(rows):
            good = source.random() < 0.5
            first, second = (sentence(source, GOOD if good else BAD) for _ in range(2))
            label = f"{source.random() + 3 * good:.2f}" if regression else ("fresh" if good else "rotten")
            writer.writerow([first, *([second] if pair else []), label, f"film {number % 40}"])
    return path


def write_label_lists(path: Path, *, rows: int = 160, seed: int = 0, sign: str = "|") -> Path:
    """A CSV of reviews with any of the labels good, bad and long, or none, in one column."""
    source = random.Random(seed)
    lines = []
    for _ in range(rows):
        good, bad, is_long = (source.random() < share for share in (0.5, 0.4, 0.3))
        words = ["the", source.choice(NOUNS), "is", *([source.choice(GOOD)] if good else [])]
        words += [*([source.choice(BAD)] if bad else []), *(["overlong"] if is_long else []), "."]
        labels = [name for name, has in {"good": good, "bad": bad, "long": is_long}.items() if has]
        lines.append(f"{' '.join(words)},{sign.join(labels)}\n")
    path.write_text("text,label\n" + "".join(lines), encoding="utf-8")
    return path


def write_tagged(path: Path, *, rows: int = 160, seed: int = 0) -> Path:
    """Reviews in CoNLL: nouns are entities of type thing, and 'NOUN of NOUN' is one entity."""
    source = random.Random(seed)
    lines = []
    for _ in range(rows):
        first, second, third = source.sample(NOUNS, 3)
        adjective = source.choice(GOOD + BAD)
        words = ["the", first, "of", second, "is", "very", adjective, "and", third, "unwatchable", "."]
        tags = ["O", "B-thing", "I-thing", "I-thing", *["O"] * 4, "B-thing", "O", "O"]
        lines += [f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)] + [""]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_questions(path: Path, *, rows: int = 160, seed: int = 0, impossible: bool = False) -> Path:
    """SQuAD: which of two nouns is of some kind; where asked every fourth question has no answer (v2)."""
    source = random.Random(seed)
    paragraphs = []
    for number in range(rows):
        first, second = source.sample(NOUNS, 2)
        good, bad, other = (source.choice(words) for words in (GOOD, BAD, GOOD))
        context = f"The {first} is {good} , and the unwatchable {second} was very {bad} ."
        wanted, answer = source.choice([(good, first), (bad, second)])
        asked = {"id": f"q{number}", "question": f"the {other} is {wanted}", "answers": []}
        if impossible and number % 4 == 0:
            asked |= {"is_impossible": True, "plausible_answers": [{"text": first, "answer_start": 4}]}
        else:
            asked["answers"] = [{"text": answer, "answer_start": context.index(f" {answer} ") + 1}]
        paragraphs.append({"context": context, "qas": [asked]})
    content = {"version": "v2.0" if impossible else "1.1", "data": [{"title": "films", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_text(path: Path, *, lines: int = 120, seed: int = 1) -> Path:
    """Unlabelled text, a document of three sentences each."""
    source = random.Random(seed)
    text = "\n\n".join(" ".join(sentence(source, GOOD + BAD) for _ in range(3)) for _ in range(lines))
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_vectors(path: Path, *, seed: int = 2) -> Path:
    """Word vectors as GloVe writes them."""
    source = random.Random(seed)
    words = ["unwatchable", "overlong", *GOOD, *BAD, *NOUNS]
    lines = [f"{word} " + " ".join(f"{source.gauss(0, 1):.4f}" for _ in range(5)) for word in words]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def recipe(folder: Path) -> dict[str, Any]:
    """A recipe over the files of `make`, every stage a few steps long, everything inside `folder`."""
    few = {"epochs": 1, "batch_size": 16, "micro_batch_tokens": 128}
    return {
        "precision": "fp32",
        "backbone": str(folder / "model"),
        "run": {"artifacts": str(folder / "artifacts"), "runs": str(folder / "runs"), "log_every": 1},
        "task": {"train": [str(folder / "rows.csv")], "text": "text", "label": "label", "max_length": 32},
        "student": {"layers": 1, "width": 16, "feed_forward": 24, "heads": 2},
        "prepare_corpus": {"sources": [str(folder / "text.txt")], "length": 32, "task_text": True},
        "pretrain_teacher": {**few, "learning_rate": 1e-3, "held_out": 0.1},
        "finetune_teacher": {**few, "epochs": 4, "learning_rate": 3e-3},
        "distill_general": {**few},
        "propose_candidates": {"candidates": 4, "vectors": str(folder / "vectors.txt"), "shard_texts": 64},
        "augment_data": {"variants": 2},
        "distill_layers": {**few, "pieces": 40, "echo": 2},
        "distill_predictions": {**few, "epochs": 2, "learning_rate": 3e-3},
        "evaluate_student": {"bootstrap": 100, "timing_rounds": 3},
        "export_student": {"largest_loss": 0.25},
    }


def general_recipe(folder: Path) -> dict[str, Any]:
    """A recipe without a task over the same files: a general student with a masked-LM head."""
    whole = recipe(folder)
    kept = ("precision", "backbone", "run", "student", "prepare_corpus", "pretrain_teacher", "distill_general")
    tree = {name: whole[name] for name in (*kept, "evaluate_student")}
    tree["prepare_corpus"] = {"sources": [str(folder / "text.txt")], "length": 32, "held_out": 0.2}
    tree["distill_general"] = {**whole["distill_general"], "learning_rate": 1e-3, "soft_masked_lm": 1.0}
    return tree | {"export_student": {"largest_loss": 0.5}}


def make(folder: Path) -> Path:
    """Write model, data and recipe; returns the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model")
    write_rows(folder / "rows.csv")
    write_text(folder / "text.txt")
    write_vectors(folder / "vectors.txt")
    return write_recipe(folder / "recipe.yaml", recipe(folder))


def write_recipe(path: Path, tree: dict[str, Any]) -> Path:
    """A recipe as a user writes it."""
    without_aliases = json.loads(json.dumps(tree))
    path.write_text(yaml.safe_dump(without_aliases, sort_keys=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.tiny", description="Write a tiny world; prints its recipe.")
    parser.add_argument("folder", type=Path)
    print(make(parser.parse_args().folder.resolve()))
