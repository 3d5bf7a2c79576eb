"""A teacher with another tokenizer and architecture gives the predictions that are learnt."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from pipeline.errors import UserError
from tests import tiny
from tests.helpers.killed import kill_in
from tests.helpers.one_process import run_recipe
from tests.helpers.other_teachers import teach, write_other_teacher
from tests.stages.test_soft_labels import short_recipe

pytestmark = pytest.mark.slow
TEXTS = ["the film is good and the plot was very bad .", "this story , with an unwatchable ending , is warm"]


def test_every_stage_runs_with_another_teacher(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = write_other_teacher(world / "other", TEXTS, labels=["rotten", "Fresh"])  # the task sorts them otherwise
    labelled = pd.read_csv(world / "rows.csv")
    teach(teacher, labelled["text"].tolist(), ["Fresh" if label == "fresh" else label for label in labelled["label"]])
    recipe = short_recipe(world)
    recipe["annotate_data"] = {"teacher": str(teacher)}
    path = tiny.write_recipe(world / "recipe.yaml", recipe)
    monkeypatch.setattr("pipeline.distill.augmented_dataset.SHARD", 32)
    kill_in(path, "annotate_data", sign="logits-00001.npy")
    plan = run_recipe(path, last="evaluate_student")
    results = json.loads((plan.run_folder / "evaluate_student" / "results.json").read_text())
    assert results["given_teacher"]["score"] > 0.8 and results["given_teacher"]["kept_interval"]
    rows = pq.read_table(plan.run_folder / "augment_data" / "data").to_pylist()
    tokenizer, model = (
        AutoTokenizer.from_pretrained(teacher),
        AutoModelForSequenceClassification.from_pretrained(teacher),
    )
    with torch.no_grad():
        wanted = [model(**tokenizer(row["text"], return_tensors="pt")).logits[0].tolist()[::-1] for row in rows]
    logits = np.load(plan.run_folder / "annotate_data" / "logits.npy")
    np.testing.assert_allclose(logits, wanted, atol=1e-4)


def test_its_tags_go_to_the_words_that_ours_begin(world: Path) -> None:
    tiny.write_tagged(world / "rows.conll", rows=60)
    labels = ["I-thing", "O", "B-thing"]
    words = " ".join([*tiny.NOUNS, *tiny.GOOD, *tiny.BAD, *tiny.OTHER, "unwatchable"])
    teacher = write_other_teacher(world / "other", [words] * 3, labels=labels, tags=True)
    recipe = short_recipe(world)
    recipe["task"] = {"kind": "token_classification", "train": [str(world / "rows.conll")], "max_length": 32}
    recipe["annotate_data"] = {"teacher": str(teacher)}
    recipe["finetune_teacher"]["allow_majority"] = True
    recipe["finetune_teacher"]["epochs"] = 1
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="evaluate_student")
    results = json.loads((plan.run_folder / "evaluate_student" / "results.json").read_text())
    assert 0 <= results["given_teacher"]["score"] <= 1
    row = pq.read_table(plan.run_folder / "augment_data" / "data").to_pylist()[0]
    own = AutoTokenizer.from_pretrained(plan.run_folder / "finetune_teacher")
    theirs, model = AutoTokenizer.from_pretrained(teacher), AutoModelForTokenClassification.from_pretrained(teacher)
    encoded = theirs(row["text"].split(" "), is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**encoded).logits[0].numpy()[:, [1, 2, 0]]  # O, B-thing, I-thing
    of_word = {word: outputs[encoded.word_ids().index(word)] for word in range(len(row["text"].split(" ")))}
    ours = own(row["text"].split(" "), is_split_into_words=True).word_ids()
    logits = np.load(plan.run_folder / "annotate_data" / "logits.npy")[: len(ours)]
    for number, word in enumerate(ours):
        wanted = [0, 0, 0] if word is None or word in ours[:number] else of_word[word]
        np.testing.assert_allclose(logits[number], wanted, atol=1e-4)
    assert len(set(ours)) - 1 == len(of_word)


def test_outputs_without_names_that_fit_another_order_are_refused(world: Path) -> None:
    recipe = short_recipe(world)
    recipe["augment_data"]["variants"] = 0
    path = tiny.write_recipe(world / "recipe.yaml", recipe)
    plan = run_recipe(path, last="finetune_teacher")
    teacher = plan.run_folder.parent / "teacher"
    teacher.mkdir()
    for file in plan.stages["finetune_teacher"].artifact.folder.glob("*"):
        (teacher / file.name).write_bytes(file.read_bytes())
    config: dict[str, Any] = json.loads((teacher / "config.json").read_text())
    config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1"}
    (teacher / "config.json").write_text(json.dumps(config))
    swapped = [
        "--task.labels",
        "[rotten, fresh]",
        "--finetune_teacher.epochs",
        "0",
        "--finetune_teacher.allow_majority",
        "true",
    ]
    with pytest.raises(UserError, match=r"in another order.*annotate_data.labels: \[fresh, rotten\]"):
        run_recipe(path, *swapped, "--annotate_data.teacher", str(teacher), last="annotate_data")
