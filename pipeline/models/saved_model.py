"""What the files of a saved model say without loading it: its sizes, its vocabulary, whether its weights are whole.

No torch: the plan reads them. Every problem is a `UserError`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from pipeline.errors import UserError, require
from pipeline.models.architectures import DECODERS, rows_before_text
from pipeline.models.json_files import CONFIG, check_index, check_tokenizer_files, check_types, json_object

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MODEL_FILES = (
    "config.json", "*.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "*.model",
)  # fmt: skip
TOKENIZER_FILES = MODEL_FILES[3:]
LOADED_FILES = (*MODEL_FILES, "2_Dense/*")  # of sentence encoders also the layer on top
SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
POSITIONS = ("max_position_embeddings", "n_positions")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What a model's config.json says about its size."""

    layers: int
    width: int
    heads: int
    vocab_size: int
    positions: int
    labels: tuple[str, ...]
    embedding_size: int  # width of the embeddings, which ELECTRA and ALBERT have narrower than the layers
    model_type: str
    feed_forward: int
    architectures: tuple[str, ...]
    """Of transformers, such as BertForSequenceClassification; empty where the file does not say."""
    problem_type: str = ""  # such as multi_label_classification; empty where the file does not say
    key_value_heads: int = 0  # of a decoder; fewer than `heads` where queries share keys and values in groups

    @property
    def is_decoder(self) -> bool:
        """Whether it predicts the next token."""
        return self.model_type in DECODERS


def model_shape(folder: Path, role: str, *, default_type: str | None = None) -> ModelShape:
    """Layers, heads, pieces and positions of a saved model, under the names that its architecture uses."""
    path, config = folder / "config.json", read_config(folder, role, default_type=default_type)

    def number(*names: str) -> int:
        for name in names:
            if isinstance(config.get(name), int):
                return config[name]
        raise UserError(f"{path} ({role}) lacks {names[0]!r}; is it an encoder such as BERT?")

    layers, width = number("num_hidden_layers", "n_layers", "n_layer"), number("hidden_size", "dim", "n_embd")
    heads = number("num_attention_heads", "n_heads", "n_head")
    if config["model_type"] == "gpt2":
        config["n_inner"] = config.get("n_inner") or 4 * width
    return ModelShape(
        layers=layers,
        width=width,
        heads=heads,
        vocab_size=number("vocab_size"),
        positions=number(*POSITIONS) - rows_before_text(config),
        labels=_labels(config),
        embedding_size=config.get("embedding_size", width),
        model_type=config["model_type"],
        feed_forward=number("intermediate_size", "hidden_dim", "n_inner"),
        architectures=_architectures(config),
        problem_type=str(config.get("problem_type") or ""),
        key_value_heads=config.get("num_key_value_heads") or heads,
    )


def is_decoder(folder: Path) -> bool:
    """Whether a backbone predicts the next token (GPT-2, Llama), by its config.json."""
    return (json_object(folder / "config.json", "backbone") or {}).get("model_type") in DECODERS


def add_to_config(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write settings of our own into a saved model's config.json."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | settings
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """What config.json of a classifier of any architecture says of its outputs and its length."""

    labels: tuple[str, ...]
    architectures: tuple[str, ...]
    problem_type: str
    positions: int | None  # tokens of the longest text; None: the file does not say


def classifier_config(folder: Path, role: str) -> ClassifierConfig:
    """Raises: UserError where config.json is missing or no JSON object, or wants code of its own."""
    config = read_config(folder, role)
    positions = next((config[name] for name in POSITIONS if isinstance(config.get(name), int)), None)
    return ClassifierConfig(
        labels=_labels(config),
        architectures=_architectures(config),
        problem_type=str(config.get("problem_type") or ""),
        positions=positions and positions - rows_before_text(config),
    )


def read_config(folder: Path, role: str, *, default_type: str | None = None) -> dict[str, Any]:
    """The content of config.json.

    Args:
        role: the setting that names the model, for errors.
        default_type: `model_type` where the file has none (TinyBERT is published without it); None: that is an error.
    """
    path = folder / "config.json"
    config = json_object(path, role)
    if config is None:
        raise UserError(f"{folder} ({role}) has no config.json; give the folder of a saved transformers model")
    require(
        "auto_map" not in config,
        f"{path} ({role}) wants code of its own (auto_map), which is never run; take a model of transformers' own",
    )
    if default_type:
        config.setdefault("model_type", default_type)
    check_types(path, config, CONFIG)
    require(config.get("model_type"), f'{path} ({role}) lacks \'model_type\'; add it, such as "model_type": "bert"')
    return config


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # left out of the file when it is just this
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _architectures(config: Mapping[str, Any]) -> tuple[str, ...]:
    classes = config.get("architectures")
    return tuple(map(str, classes)) if isinstance(classes, list) else ()


def check_weights(folder: Path) -> None:
    """Every file of weights is there and whole: a download that broke off is found here."""
    check_index(folder)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            pointer = file.read(8) == b"version "
        require(not pointer, f"{path} is a pointer of Git LFS, not the weights; run git lfs pull")
        try:
            with safe_open(path, "np"):
                pass
        except (SafetensorError, OSError):
            size = path.stat().st_size
            raise UserError(
                f"{path} is not a whole file of weights ({size} bytes); fetch or save the model again"
            ) from None


def weight_names(folder: Path) -> set[str]:
    """What the weights of a saved model are called."""
    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:
            names.update(file.keys())
    return names


def check_tokenizer(folder: Path, shape: ModelShape) -> None:
    """A tokenizer that is missing loads as one of five pieces without an error, so look for it here."""
    check_tokenizer_files(folder)
    largest = max(tokenizer_vocabulary(folder).values(), default=-1)
    require(
        largest < shape.vocab_size,
        f"{folder}: the tokenizer has a piece number {largest}, the model only {shape.vocab_size} pieces; take the"
        " tokenizer that the model was trained with",
    )


def tokenizer_vocabulary(folder: Path) -> Mapping[str, int]:
    """Pieces and their numbers; empty where only transformers can read them.

    Raises: UserError when there is no tokenizer, or its vocabulary lacks one of its special tokens: that one would get
        a number that the model does not know.
    """
    vocabulary = _vocabulary(folder)
    added = json_object(folder / "added_tokens.json") or {}
    for path in (folder / name for name in ("tokenizer_config.json", "special_tokens_map.json")):
        settings = json_object(path) or {}
        for name in SPECIAL_TOKENS:
            given = settings.get(name)
            token = given.get("content") if isinstance(given, dict) else given
            require(
                not (vocabulary and token and isinstance(token, str)) or token in vocabulary or token in added,
                f"{path}: '{name}' is '{token}', which is no piece of the vocabulary; write the one that the model was"
                " trained with",
            )
    return vocabulary


def _vocabulary(folder: Path) -> Mapping[str, int]:
    whole, pieces = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.is_file():
        from tokenizers import Tokenizer  # noqa: PLC0415 (a finished run needs none)

        try:
            return Tokenizer.from_file(str(whole)).get_vocab(with_added_tokens=True)
        except Exception as error:  # tokenizers raises bare Exception
            raise UserError(f"{whole} cannot be read as a tokenizer: {error}") from None
    if pieces.is_file():
        try:
            lines = pieces.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError:
            raise UserError(f"{pieces} is not UTF-8; take the tokenizer from where the model came from") from None
        return {piece: number for number, piece in enumerate(lines) if piece}
    if any((folder / name).is_file() for name in ("vocab.json", "spiece.model", "sentencepiece.bpe.model")):
        return {}
    raise UserError(f"{folder} has no tokenizer (tokenizer.json or vocab.txt); save the tokenizer beside the model")


def special_id(tokenizer: "PreTrainedTokenizerFast", name: str) -> int:
    """The id of a special token, such as `pad_token_id`. Raises: UserError when the tokenizer has none."""
    number = getattr(tokenizer, name)
    if not isinstance(number, int):
        raise UserError(f"{tokenizer.name_or_path}: the tokenizer has no {name}; take one of a BERT-like encoder")
    return number
