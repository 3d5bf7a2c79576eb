"""What the files of a saved model say."""

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.models.loading import load_tokenizer
from pipeline.models.saved_model import special_id
from tests.tiny import write_model


def test_a_special_token_that_the_tokenizer_lacks_is_named(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_model(tmp_path))
    assert special_id(tokenizer, "mask_token_id") == 4
    tokenizer.mask_token = None
    with pytest.raises(UserError, match="the tokenizer has no mask_token_id"):
        special_id(tokenizer, "mask_token_id")
