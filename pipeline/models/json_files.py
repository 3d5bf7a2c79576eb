"""The JSON files beside a model: nothing in them is trusted. No torch.

A value of a wrong type is one sentence with the file and the key, before any library stumbles over it.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, require

Check = tuple[Callable[[Any], bool], str]  # whether a value fits, and what is needed
LARGEST = 10**9  # no size of a model is larger
INDEX = "model.safetensors.index.json"


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_token(value: Any) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return value is None or isinstance(text, str)


def _is_tokens(value: Any) -> bool:
    several = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [0]
    return value is None or all(map(_is_token, several))


def _is_names(value: Any) -> bool:
    named = isinstance(value, dict) and all(type(name) in (str, int) for name in value.values())
    return named and {*value} == {*map(str, range(len(value)))}


def _is_numbering(value: Any) -> bool:
    return isinstance(value, dict) and all(type(one) is int and one >= 0 for one in value.values())


def _is_chances(value: Any) -> bool:
    return isinstance(value, dict) and all(map(SHARE[0], value.values())) and None not in value.values()


def _is_added(value: Any) -> bool:
    named = isinstance(value, dict) and all(key.isdecimal() for key in value)
    return named and all(isinstance(one, dict) and _is_token(one) for one in value.values())


SIZE: Check = (_is_size, "a whole number above 0")
SIZE_OR_NONE: Check = (lambda value: value is None or _is_size(value), "a whole number above 0")
TEXT: Check = (lambda value: value is None or isinstance(value, str), "text")
YES_OR_NO: Check = (lambda value: value is None or isinstance(value, bool), "true or false")
SHARE: Check = (lambda value: value is None or (_is_number(value) and 0 <= value <= 1), "a number from 0 to 1")
SIDE: Check = (lambda value: value in (None, "left", "right"), "left or right")
TOKEN: Check = (_is_token, "a token")
TOKENS: Check = (_is_tokens, "a list of tokens")
ID: Check = (lambda value: value is None or _is_count(value), "the number of a token")
COUNT: Check = (lambda value: value is None or _is_count(value), "a whole number, 0 or more")

CONFIG: dict[str, Check] = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "hidden_size", "dim", "num_attention_heads", "n_heads"), SIZE),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "intermediate_size", "hidden_dim"), SIZE),
    **dict.fromkeys(("embedding_size", "n_layer", "n_embd", "n_head", "n_positions"), SIZE),
    **dict.fromkeys(("n_inner", "num_key_value_heads", "head_dim"), SIZE_OR_NONE),
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "layer_norm_epsilon", "rms_norm_eps"), SHARE),
    **dict.fromkeys(("model_type", "problem_type", "hidden_act", "activation", "dtype", "torch_dtype"), TEXT),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"), SHARE),
    **dict.fromkeys(("classifier_dropout", "seq_classif_dropout", "initializer_range", "layer_norm_eps"), SHARE),
    **dict.fromkeys(("is_decoder", "tie_word_embeddings", "add_cross_attention", "use_cache"), YES_OR_NO),
    **dict.fromkeys(("output_attentions", "output_hidden_states", "return_dict"), YES_OR_NO),
    **dict.fromkeys(("pad_token_id", "bos_token_id"), ID),
    **dict.fromkeys(("type_vocab_size", "chunk_size_feed_forward", "window_overlap"), COUNT),
    "architectures": (lambda value: value is None or _is_texts(value), "a list of names of classes"),
    "id2label": (lambda value: value is None or _is_names(value), 'an object such as {"0": "bad", "1": "good"}'),
    "label2id": (lambda value: value is None or _is_numbering(value), 'an object such as {"bad": 0, "good": 1}'),
    "num_labels": SIZE,
    "longest_answer": SIZE_OR_NONE,
    "thresholds": (lambda value: value is None or _is_chances(value), 'an object such as {"joy": 0.4}'),
}
TOKENIZER_CONFIG: dict[str, Check] = {
    **dict.fromkeys(("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space"), YES_OR_NO),
    **dict.fromkeys(("clean_up_tokenization_spaces", "do_basic_tokenize", "trim_offsets"), YES_OR_NO),
    **dict.fromkeys(("tokenizer_class", "backend"), TEXT),
    **dict.fromkeys(("padding_side", "truncation_side"), SIDE),
    **dict.fromkeys((f"{name}_token" for name in ("unk", "sep", "pad", "cls", "mask", "bos", "eos")), TOKEN),
    **dict.fromkeys(("additional_special_tokens", "extra_special_tokens"), TOKENS),
    "model_max_length": (lambda value: value is None or (_is_number(value) and value > 0), "a number of tokens"),
    "added_tokens_decoder": (_is_added, 'an object such as {"0": {"content": "[PAD]"}}'),
    "model_input_names": (_is_texts, "a list of names"),
}


def json_object(path: Path, role: str = "") -> dict[str, Any] | None:
    """The object in a file; None where there is no file.

    Args: role: of the model, as errors name it.
    Raises: UserError where it holds none, or may not be read.
    """
    named = f"{path} ({role})" if role else str(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{named} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{named} is not valid JSON; save the model again") from None
    require(isinstance(content, dict), f"{named} is not a JSON object; save the model again")
    return content


def check_types(path: Path, content: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Raises: UserError for the first value that is not what its key needs."""
    for name, (fits, needed) in checks.items():
        if name in content and not fits(content[name]):
            shown = json.dumps(content[name])
            shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
            raise UserError(f"{path}: '{name}' is {shown}, and {needed} is needed; mend it, or save the model again")


def check_tokenizer_files(folder: Path) -> None:
    """What stands beside the vocabulary.

    Raises: UserError for a wrong type, or where nothing says whether texts are lower-cased.
    """
    path = folder / "tokenizer_config.json"
    settings = json_object(path) or {}
    require("auto_map" not in settings, f"{path} wants code of its own (auto_map), which is never run; remove the key")
    check_types(path, settings, TOKENIZER_CONFIG)
    path = folder / "special_tokens_map.json"
    special = json_object(path) or {}
    check_types(path, special, {name: TOKENS if name.endswith("_tokens") else TOKEN for name in special})
    path = folder / "added_tokens.json"
    added = json_object(path) or {}
    require(_is_numbering(added), f'{path}: an object such as {{"[NEW]": 100}} is needed; save the model again')
    _check_case(folder, settings)


def _check_case(folder: Path, settings: Mapping[str, Any]) -> None:
    """A vocab.txt alone is read as lower-cased, which takes the capitals from a cased model without a word."""
    pieces = folder / "vocab.txt"
    if (folder / "tokenizer.json").is_file() or not pieces.is_file() or settings.get("do_lower_case") is not None:
        return
    try:
        lines = pieces.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return  # `tokenizer_vocabulary` says so
    capitals = [line for line in lines if line != line.lower() and not line.startswith(("[", "<"))]
    require(
        not capitals,
        f"{pieces} has pieces with capitals ('{''.join(capitals[:1])}'), and nothing beside it says whether texts are"
        f' lower-cased; write {{"do_lower_case": false}} (true for an uncased model) to'
        f" {folder / 'tokenizer_config.json'}",
    )


def check_index(folder: Path) -> None:
    """The list of the weights' files. Raises: UserError where it is none, or names a file that is not there."""
    path = folder / INDEX
    index = json_object(path)
    if index is None:
        return
    files = index.get("weight_map")
    fits = isinstance(files, dict) and bool(files) and _is_texts([*files.values()])
    require(fits, f"{path}: 'weight_map' names a file for each weight; fetch or save the model again")
    assert isinstance(files, dict)
    for name in dict.fromkeys(files.values()):
        inside = Path(name).name == name and name.endswith(".safetensors")
        require(inside, f"{path}: '{name}' is no .safetensors file of this folder; fetch or save the model again")
        require((folder / name).is_file(), f"{path} names {name}, which is not there; fetch the model again")


@contextmanager
def loading_from(folder: Path) -> Iterator[None]:
    """What a library says against a user's model becomes one sentence."""
    try:
        yield
    except Exception as error:  # transformers and tokenizers raise any, and bare ones
        of_machine = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if isinstance(error, UserError) or of_machine or getattr(error, "errno", None):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{folder} cannot be loaded: {reason}; save the model again with its tokenizer") from error
