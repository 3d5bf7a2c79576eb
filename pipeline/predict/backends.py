"""A saved student that answers texts: its PyTorch weights, or its int8 ONNX file without torch and transformers."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tokenizers import Encoding, Tokenizer

from pipeline.errors import UserError
from pipeline.models.saved_model import check_weights, tokenizer_vocabulary
from pipeline.predict.answers import Outputs, Seen
from pipeline.tasks.question_answering import QUESTION_SHARE, first_tokens

OVERLAP = 3  # windows of a context share one part of so many
Texts = tuple[str, ...]  # one, or a pair
Inputs = dict[str, np.ndarray]
Model = Callable[[Inputs], Outputs]


@dataclass(frozen=True, kw_only=True)
class Served:
    """Texts in, named outputs such as `logits` out."""

    tokenizer: Tokenizer
    model: Model
    config: dict[str, Any]
    """Of config.json."""

    def __call__(self, batch: Sequence[Texts]) -> Iterator[list[Seen]]:
        """The model's outputs for each text, padded as long as the longest, and its tokens.

        A text is one sequence; where the answer is a span of a long context, overlapping windows of that.
        """
        if finds_spans(self.config) and any(len(text) == 1 for text in batch):
            raise UserError("this student finds answers in texts: give a question and a text as a pair (--pairs)")
        if finds_spans(self.config):
            batch = [(self.cut(text[0]), *text[1:]) for text in batch]
        encodings = self.tokenizer.encode_batch([text[0] if len(text) == 1 else text for text in batch])
        windows = [[one, *one.overflowing] if finds_spans(self.config) else [one] for one in encodings]
        outputs = self.model(model_inputs([window for those in windows for window in those]))
        rows = iter([{name: array[row] for name, array in outputs.items()} for row in range(sum(map(len, windows)))])
        for those in windows:
            yield [(next(rows), window) for window in those]

    def cut(self, question: str) -> str:
        """A question cut as in training: at most a quarter of a window."""
        question, rule = question.strip(), cast("dict[str, Any]", self.tokenizer.truncation)
        self.tokenizer.no_truncation()
        offsets = self.tokenizer.encode(question, add_special_tokens=False).offsets
        self.tokenizer.enable_truncation(**rule)
        return first_tokens(question, offsets, max(1, rule["max_length"] // QUESTION_SHARE))


def finds_spans(config: Mapping[str, Any]) -> bool:
    """Whether a model's answers are spans of a text's second part, by its config.json."""
    return any(name.endswith("ForQuestionAnswering") for name in config.get("architectures") or [])


def load(folder: Path, *, onnx: bool) -> Served:
    """A student's folder; texts are cut where its tokenizer says, in an exported student as in training.

    Raises: UserError for a folder that holds no student, or no ONNX file.
    """
    config = _read_json(folder / "config.json")
    longest = _read_json(folder / "tokenizer_config.json").get("model_max_length") or sys.maxsize
    tokenizer_vocabulary(folder)  # one that is missing would load as one of five pieces
    model, tokenizer = (_load_onnx if onnx else _load_torch)(folder, config)
    pad = config.get("pad_token_id") or 0
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "[PAD]")
    longest = int(min(longest, config.get("max_position_embeddings", longest)))
    if finds_spans(config):
        tokenizer.enable_truncation(longest, stride=longest // OVERLAP, strategy="only_second")
    else:
        tokenizer.enable_truncation(longest)
    return Served(tokenizer=tokenizer, model=model, config=config)


def model_inputs(encodings: Sequence[Encoding]) -> Inputs:
    """input_ids, attention_mask and token_type_ids, each (B, T), int64."""
    columns: dict[str, list[list[int]]] = {
        "input_ids": [one.ids for one in encodings],
        "attention_mask": [one.attention_mask for one in encodings],
        "token_type_ids": [one.type_ids for one in encodings],
    }
    return {name: np.array(rows, dtype=np.int64) for name, rows in columns.items()}


def _load_onnx(folder: Path, config: dict[str, Any]) -> tuple[Model, Tokenizer]:
    """The int8 file, and the tokenizer beside it."""
    from pipeline.export.onnx_session import INT8, open_session  # noqa: PLC0415 (only --onnx needs onnxruntime)

    if not (folder / INT8).is_file():
        raise UserError(f"{folder} has no {INT8}; run the stage export_student, or leave --onnx out")
    session = open_session(folder / INT8)
    inputs, outputs = ([part.name for part in parts] for parts in (session.get_inputs(), session.get_outputs()))

    def run(batch: Inputs) -> Outputs:
        found: list[Any] = list(session.run(outputs, {name: batch[name] for name in inputs}))
        return dict(zip(outputs, found, strict=True))

    return run, Tokenizer.from_file(str(folder / "tokenizer.json"))


def _load_torch(folder: Path, config: dict[str, Any]) -> tuple[Model, Tokenizer]:
    """The PyTorch weights, as the class that config.json names, and the tokenizer beside them."""
    import torch  # noqa: PLC0415 (--onnx needs neither)
    import transformers  # noqa: PLC0415

    from pipeline.models.loading import LOAD, load_tokenizer  # noqa: PLC0415

    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder} has no model.safetensors; give the folder of a student")
    check_weights(folder)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(transformers, (config.get("architectures") or [""])[0], None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise UserError(f"{folder / 'config.json'}: 'architectures' names no model of transformers")
    model: Any = kind.from_pretrained(folder, **LOAD).eval()
    takes_types = getattr(model.config, "type_vocab_size", 0) > 1

    def run(batch: Inputs) -> Outputs:
        tensors = {
            name: torch.from_numpy(rows) for name, rows in batch.items() if name != "token_type_ids" or takes_types
        }
        with torch.inference_mode():
            outputs: dict[str, Any] = model(**tensors)
            return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run, load_tokenizer(folder).backend_tokenizer


def _read_json(path: Path) -> dict[str, Any]:
    """Raises UserError for a folder that holds no saved model."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}; give the folder of a student") from None
    except ValueError:
        raise UserError(f"{path} is not valid JSON; export the student again") from None
    raise UserError(f"{path} is not a JSON object; export the student again")
