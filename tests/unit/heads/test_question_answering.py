"""The losses of the first and the last token of an answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.question_answering import QuestionAnsweringHead
from tests.helpers.tiny_tokenised import question_rows, tokenised_questions

HEAD = QuestionAnsweringHead()


def test_the_losses_are_means_over_windows_of_start_and_end(tmp_path: Path) -> None:
    rows, tokenizer = question_rows(tmp_path)
    texts = tokenised_questions(rows, tokenizer, max_length=20)
    batch = HEAD.collate(texts, np.arange(5), packed=False)
    ours, theirs = torch.randn(2, *batch.input_ids.shape, 2)
    label, soft = 0.0, 0.0
    for row in range(5):
        allowed = batch.targets["allowed"][row].bool()
        for side, name in enumerate(("start", "end")):
            logs = ours[row, allowed, side].log_softmax(-1)
            place = int(allowed[: batch.targets[name][row]].sum())
            label -= float(logs[place]) / 2
            soft -= float((theirs[row, allowed, side].softmax(-1) * logs).sum()) / 2
    found = HEAD.supervised_loss(ours, batch, weight=10)
    assert float(found["start"] + found["end"]) == pytest.approx(label / 10, rel=1e-4)
    gap = HEAD.distillation_loss(ours, theirs, batch, weight=10, settings=DistillPredictions())
    assert float(gap) == pytest.approx(soft / 10, rel=1e-4)
