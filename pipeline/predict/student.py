"""A saved student that reads texts, by its PyTorch weights or by its int8 ONNX file."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tokenizers import Encoding, Tokenizer

from pipeline.errors import UserError, require
from pipeline.models.architectures import DECODERS
from pipeline.models.json_files import CONFIG, check_tokenizer_files, check_types, json_object
from pipeline.models.saved_model import tokenizer_vocabulary
from pipeline.predict.answers import Arrays, Reading, Texts, Window
from pipeline.tasks.question_answering import QUESTION_SHARE, first_tokens
from pipeline.tasks.words import Parting

WINDOWS = 32  # of long contexts, through the model at once
OVERLAP = 3  # windows of a context share one part in so many, unless config.json says how much


class Parted(str):
    """A text whose words single blanks part already, as a file with a list of words gives it."""

    __slots__ = ()


Forward = Callable[[Arrays], Arrays]
"""A model: input_ids, attention_mask and token_type_ids, each (B, T), to named outputs, each (B, ...)."""


@dataclass(frozen=True, kw_only=True)
class Student:
    """A model with its tokenizer."""

    tokenizer: Tokenizer
    forward: Forward
    config: dict[str, Any]  # the content of config.json

    @property
    def finds_spans(self) -> bool:
        """Whether the answers are spans of the second text of a pair."""
        return self._has_head("ForQuestionAnswering")

    @property
    def tags_words(self) -> bool:
        """Whether the answers are tags of words."""
        return self._has_head("ForTokenClassification")

    def _has_head(self, ending: str) -> bool:
        return any(name.endswith(ending) for name in self.config.get("architectures") or [])

    def read(self, batch: Sequence[Texts]) -> Iterator[Reading]:
        """Each text, or pair, as the model read it, with the model's outputs; a batch goes through it at once.

        A text is one window; a pair whose second text is searched for an answer is as many as it takes, overlapping,
        and at most WINDOWS of these, or one for each text, go through the model at once.
        Raises: UserError as `check` does.
        """
        batch = [self.as_in_training(texts) for texts in batch]
        encodings = self.tokenizer.encode_batch([texts[0] if len(texts) == 1 else texts for texts in batch])
        windows = [[one, *one.overflowing] if self.finds_spans else [one] for one in encodings]
        rows = self._outputs([window for group in windows for window in group], at_once=max(WINDOWS, len(batch)))
        for texts, group in zip(batch, windows, strict=True):
            yield Reading(texts, [Window(next(rows), window) for window in group])

    def _outputs(self, windows: Sequence[Encoding], *, at_once: int) -> Iterator[Arrays]:
        """The model's outputs for each window."""
        for start in range(0, len(windows), at_once):
            some = windows[start : start + at_once]
            outputs = self.forward(model_inputs(some))
            yield from ({name: array[row] for name, array in outputs.items()} for row in range(len(some)))

    def check(self, texts: Texts) -> None:
        """Raises UserError for a single text where the answers are spans, and for a pair where they are tags."""
        several = len(texts) > 1
        require(
            several or not self.finds_spans, "this student finds answers in texts; give a question and a text as a pair"
        )
        require(not (several and self.tags_words), "this student tags the words of one text; give no pairs")

    def as_in_training(self, texts: Texts) -> Texts:
        """Texts in the form that the model was trained on: a long question cut, the words of a tagged text parted."""
        self.check(texts)
        if self.finds_spans:
            question, limit = texts[0].strip(), cast("dict[str, Any]", self.tokenizer.truncation)["max_length"]
            cut = first_tokens(question, self._tokens(question).offsets, max(1, limit // QUESTION_SHARE))
            return (cut, *texts[1:])
        if self.tags_words and not isinstance(texts[0], Parted):
            return (Parting.from_config(self.config).part(texts[0]), *texts[1:])
        return texts if len(texts) == 1 or texts[1].strip() else texts[:1]  # a pair without its second text

    def _tokens(self, text: str) -> Encoding:
        """All tokens of a text, without those that the tokenizer puts around it."""
        truncation = cast("dict[str, Any]", self.tokenizer.truncation)
        self.tokenizer.no_truncation()
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        self.tokenizer.enable_truncation(**truncation)
        return encoding


def load_student(folder: Path, *, onnx: bool) -> Student:
    """A student's folder; texts are cut where its tokenizer says, in an exported student as in training.

    Raises: UserError for a folder that holds no student, no ONNX file, or another model's tokenizer.
    """
    require(folder.is_dir(), f"there is no folder {folder}; give the folder of a student")
    config, settings = _read_json(folder / "config.json"), _read_json(folder / "tokenizer_config.json")
    check_types(folder / "config.json", config, CONFIG)
    require(
        config.get("model_type") not in DECODERS,
        f"{folder} is a decoder, which goes on with a text and has no answers to one; load it by"
        ' transformers.pipeline("text-generation", model=FOLDER)',
    )
    check_tokenizer_files(folder)
    max_length = settings.get("model_max_length") or sys.maxsize
    max_length = int(min(max_length, config.get("max_position_embeddings", max_length)))
    # Raises where it is missing, which else loads as a vocabulary of five pieces.
    pieces = max(tokenizer_vocabulary(folder).values(), default=-1) + 1
    known = config.get("vocab_size", pieces)
    require(
        pieces <= known,
        f"{folder}: the tokenizer has {pieces} pieces, and vocab_size in config.json is {known}; take the student's own"
        " tokenizer",
    )
    if onnx:
        from pipeline.predict.onnx_backend import load_model  # noqa: PLC0415 (onnxruntime may not be installed)
    else:
        from pipeline.predict.torch_backend import load_model  # noqa: PLC0415 (ONNX files run without torch)
    forward, tokenizer = load_model(folder, config)
    pad = config.get("pad_token_id") or 0
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "[PAD]")
    student = Student(tokenizer=tokenizer, forward=forward, config=config)
    cut_at = settings.get("truncation_side") or "right"
    if student.finds_spans:
        stride = config.get("window_overlap")
        stride = max_length // OVERLAP if stride is None else stride
        tokenizer.enable_truncation(max_length, stride=stride, strategy="only_second", direction=cut_at)
    else:
        tokenizer.enable_truncation(max_length, direction=cut_at)
    return student


def model_inputs(encodings: Sequence[Encoding]) -> Arrays:
    """input_ids, attention_mask and token_type_ids, each (B, T), int64."""
    return {
        "input_ids": np.array([one.ids for one in encodings], dtype=np.int64),
        "attention_mask": np.array([one.attention_mask for one in encodings], dtype=np.int64),
        "token_type_ids": np.array([one.type_ids for one in encodings], dtype=np.int64),
    }


def _read_json(path: Path) -> dict[str, Any]:
    """Raises UserError for a folder that holds no saved model."""
    found = json_object(path)
    if found is None:
        raise UserError(f"{path.parent} has no {path.name}; give the folder of a student")
    return found
