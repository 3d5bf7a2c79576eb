"""The baseline of the quality benchmark is the student that its settings ask for."""

import json
from pathlib import Path

from transformers import BertConfig, BertModel

from benchmarks.quality import saved
from tests.tiny import write_model


def test_a_student_of_earlier_settings_is_written_anew(tmp_path: Path) -> None:
    write_model(tmp_path / "backbone")
    for layers in (1, 2):
        student = BertModel(BertConfig(hidden_size=12, num_hidden_layers=layers, intermediate_size=12, vocab_size=20))
        saved(student, tmp_path / "labels-alone", tokenizer_of=tmp_path / "backbone")
    assert json.loads((tmp_path / "labels-alone/config.json").read_text())["num_hidden_layers"] == 2
