"""The PyTorch weights of a student as a function from arrays to arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from pipeline.errors import UserError
from pipeline.models.json_files import loading_from
from pipeline.models.loading import LOAD, load_tokenizer
from pipeline.models.saved_model import check_weights
from pipeline.predict.answers import Arrays


def load_model(folder: Path, config: dict[str, Any]) -> tuple[Callable[[Arrays], Arrays], Tokenizer]:
    """The weights, as the class that config.json names, and the tokenizer beside them.

    Raises: UserError where there are no whole weights, or config.json names no class.
    """
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder} has no model.safetensors; give the folder of a student")
    check_weights(folder)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model_class = getattr(transformers, (config.get("architectures") or [""])[0], None)
    if not (isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)):
        raise UserError(f"{folder / 'config.json'}: 'architectures' names no model of transformers")
    with loading_from(folder):
        model: Any = model_class.from_pretrained(folder, **LOAD).eval()
    input_names = ["input_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        input_names.append("token_type_ids")

    @torch.inference_mode()
    def forward(inputs: Arrays) -> Arrays:
        given = {name: torch.from_numpy(inputs[name]) for name in input_names}
        outputs: dict[str, Any] = model(**given, return_dict=True)  # whatever config.json says
        return {name: tensor.numpy() for name, tensor in outputs.items() if isinstance(tensor, torch.Tensor)}

    return forward, load_tokenizer(folder).backend_tokenizer
