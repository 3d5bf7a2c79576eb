"""Tags as targets of a word's first token, and their losses."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import total_weight
from pipeline.heads.token_classification import TokenClassificationHead
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import BatchPlan
from tests.helpers.tiny_tokenised import tokenised_tags

HEAD, SETTINGS = TokenClassificationHead(), DistillPredictions()


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenisedTexts, Dataset]:
    return tokenised_tags(tmp_path_factory.mktemp("tags"))


def test_the_first_piece_of_each_word_bears_its_tag(tags: tuple[TokenisedTexts, Dataset]) -> None:
    texts, rows = tags
    batch = HEAD.collate(texts, np.array([0, 1]), packed=False)
    assert batch.targets["labels"].shape == batch.input_ids.shape == batch.targets["begins"].shape
    # [CLS] the X of Y is very Z and W un[watch][able] . [SEP], cut at 12 tokens: the dot is beyond the cut
    assert batch.targets["labels"][0].tolist()[:12] == [-100, *rows["label"][0][:10], -100]
    assert batch.targets["begins"][0].tolist()[:12] == [0, *[1] * 10, 0]
    assert texts.weights.tolist() == [10] * 6


def test_the_losses_are_means_over_words_of_the_global_batch(tags: tuple[TokenisedTexts, Dataset]) -> None:
    texts, _ = tags
    global_batch = BatchPlan(texts.lengths, batch_size=6, epochs=1, micro_batch_tokens=36, seed=0).at(0)
    outputs = torch.randn(6, 12, 3)
    teacher = torch.randn(6, 12, 3)
    label, soft, words = 0.0, 0.0, 0
    whole = HEAD.collate(texts, np.arange(6), packed=False).targets
    for row in range(6):
        for place in range(12):
            if whole["begins"][row, place]:
                words += 1
                logs = outputs[row, place].log_softmax(-1)
                label -= float(logs[whole["labels"][row, place]])
                soft -= float((teacher[row, place].softmax(-1) * logs).sum())
    assert len(global_batch.micro_batches) > 1
    weight, found = total_weight(texts, global_batch.micro_batches), torch.zeros(2)
    for rows in global_batch.micro_batches:
        batch = HEAD.collate(texts, rows, packed=False)
        found[0] += HEAD.supervised_loss(outputs[rows], batch, weight=weight)["label"]
        found[1] += HEAD.distillation_loss(outputs[rows], teacher[rows], batch, weight=weight, settings=SETTINGS)
    torch.testing.assert_close(found, torch.tensor([label / words, soft / words]))
