"""Encoders without a head."""

from pathlib import Path
from typing import cast

from transformers import PreTrainedModel

from pipeline.models.loading import load_masked_lm


def load_encoder(folder: Path) -> PreTrainedModel:
    """The encoder of a saved model. Raises: UserError when some of its weights are missing."""
    return cast(PreTrainedModel, load_masked_lm(folder, new_head=True).base_model)
