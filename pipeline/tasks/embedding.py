"""Sentence embeddings: texts that mean the same lie near to each other (semantic search).

The teacher is taken as it is: its hidden states, averaged over the tokens of a text and scaled to length 1. The student
learns these vectors; one of another width through a projection that ships with it, or by the similarities between the
texts of a batch. Pairs with a score measure how well cosines rank them. Models are saved as sentence-transformers does.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.config.training import DistillPredictions, Student
from pipeline.data.examples import parse_score
from pipeline.tasks import regression, sequence
from pipeline.tasks.base import Asked, Kind

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.models.collate import Inputs
    from pipeline.tasks.tokenised import EncodedTexts

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
POOLING, DENSE, NORMALIZE = "1_Pooling", "2_Dense", "3_Normalize"  # folders, as sentence-transformers names them


# ---- tokens


def encode(batch: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", asked: Asked) -> dict[str, Any]:
    """Each text is a sequence of its own: both of a pair, and of a variant the one that was varied."""
    varied = [
        {replaced["column"] for replaced in row} or set(asked.text_columns)
        for row in batch.get("replaced", [()] * len(batch[asked.text_columns[0]]))
    ]
    found = [
        (row, place, batch[column][row])
        for row, columns in enumerate(varied)
        for place, column in enumerate(asked.text_columns)
        if column in columns
    ]
    encoded = tokenizer([text for _, _, text in found], truncation=True, max_length=asked.max_length)
    return {
        "input_ids": encoded["input_ids"],
        "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
        "row": [row for row, _, _ in found],
        "place": [place for _, place, _ in found],
    }


# ---- the model


def load(
    folder: Path,
    *,
    label_names: Sequence[str],
    new_head: bool,
    hidden_dropout: float = 0.0,
    attention: str | None = None,
) -> "PreTrainedModel":
    """An encoder whose logits are embeddings, with the projection that was saved beside it."""
    from safetensors.torch import load_file  # noqa: PLC0415

    from pipeline.heads.embedding import SentenceEncoder, new_projection  # noqa: PLC0415
    from pipeline.models.attention import ATTENTION  # noqa: PLC0415
    from pipeline.models.loading import load_masked_lm  # noqa: PLC0415

    masked_lm = load_masked_lm(folder, new_head=True, hidden_dropout=hidden_dropout, attention=attention or ATTENTION)
    weights = folder / DENSE / "model.safetensors"
    projection = new_projection(load_file(weights)["linear.weight"]) if weights.is_file() else None
    return SentenceEncoder(cast("PreTrainedModel", masked_lm.base_model), projection)


def begin_head(student: "PreTrainedModel", projection: "nn.Linear", settings: Student) -> None:
    """The student's projection begins as that of its last layer: both are linear, and so is the mean over tokens."""
    from pipeline.heads.embedding import SentenceEncoder, new_projection  # noqa: PLC0415

    assert isinstance(student, SentenceEncoder)
    if settings.project_embedding and projection.in_features != projection.out_features:
        student.project(new_projection(projection.weight.detach()))


def save(model: "PreTrainedModel", folder: Path, *, tokenizer_of: Path) -> None:
    """The encoder as transformers loads it, and what sentence-transformers needs beside it."""
    from safetensors.torch import save_file  # noqa: PLC0415

    from pipeline.heads.embedding import SentenceEncoder  # noqa: PLC0415
    from pipeline.models.loading import save_model  # noqa: PLC0415

    assert isinstance(model, SentenceEncoder)
    save_model(model.encoder, folder, tokenizer_of=tokenizer_of)
    width, parts = model.encoder.config.hidden_size, [("", "Transformer"), (POOLING, "Pooling")]
    _write(folder / POOLING / "config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True})
    if model.projection is not None:
        parts.append((DENSE, "Dense"))
        weight = model.projection.weight.detach().cpu().contiguous()
        settings = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": False}
        _write(folder / DENSE / "config.json", {**settings, "activation_function": "torch.nn.modules.linear.Identity"})
        save_file({"linear.weight": weight}, folder / DENSE / "model.safetensors")
    parts.append((NORMALIZE, "Normalize"))
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(parts)
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": None, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def outputs(model: "nn.Module", inputs: "Inputs") -> "Tensor":
    """(B, E): embeddings. A packed batch goes in whole, since it is its encoder that is packed."""
    from pipeline.heads.embedding import SentenceEncoder  # noqa: PLC0415

    packs = isinstance(getattr(model, "module", model), SentenceEncoder)  # an ONNX file does not
    names = (*MODEL_INPUTS, "buckets", "places") if packs else MODEL_INPUTS
    return model(**{name: inputs[name] for name in names if name in inputs}).logits


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Squared distance of the embeddings, or of another width squared gap of the similarities in the micro-batch."""
    from pipeline.losses.tinybert import regression_loss, similarity_loss  # noqa: PLC0415

    if student.shape == teacher.shape:
        return regression_loss(student, teacher, examples=weight)
    return similarity_loss(student, teacher, examples=weight)


# ---- scores


def answers(outputs: np.ndarray, encoded: "EncodedTexts", dataset: "Dataset") -> np.ndarray:
    """The cosine of each pair."""
    first, second = (outputs[encoded.place == place] for place in (0, 1))  # in the order of the rows
    return (first * second).sum(axis=1)


KIND = Kind(
    metrics=("spearman", "pearson", "pearson_and_spearman"),
    answer=parse_score,
    label_names=regression.label_names,
    has_label_names=False,
    feature=regression.feature,
    encode=encode,
    load=load,
    save=save,
    begin_head=begin_head,
    width=lambda model: model.config.sentence_width,
    outputs=outputs,
    distilled=distilled,
    gold=sequence.gold,
    answers=answers,
    written=lambda answers, outputs, label_names: {"": answers.astype(np.float64).tolist()},
    statistics=sequence.statistics,
    details=sequence.details,
    beats_trivial=lambda metric, statistics: regression.correlates(statistics),
    agreement=regression.agreement,
)
