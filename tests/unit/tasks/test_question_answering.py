"""Answers in texts: the files that are read, windows, offsets that move with the words, and every stage."""

import json
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from data_augment.candidates_folder import WordCandidates
from data_augment.variants import augment_rows
from pipeline.config.data import AugmentData, Task
from pipeline.errors import UserError
from pipeline.models.loading import load_tokenizer
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.question_answering import answer_tokens
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets
from tests import tiny
from tests.helpers.tiny_tokenised import QUESTIONS, question_rows, tokenised_questions

KIND = KINDS["question_answering"]
CONTEXT = "The Denver Broncos beat the Carolina Panthers 24–10 in 2016."
LABEL = {"text": ["Denver Broncos"], "answer_start": [4]}


def squad(*, answers: Any = None, **more: Any) -> str:
    answers = [{"text": "Denver Broncos", "answer_start": 4}] if answers is None else answers
    asked = {"id": "56be", "question": "Who won?", "answers": answers, **more}
    second = {"id": "56bf", "question": "Who lost?", "answers": [{"text": "Carolina Panthers", "answer_start": 28}]}
    article = {"title": "Super Bowl", "paragraphs": [{"context": CONTEXT, "qas": [asked, second]}]}
    return json.dumps({"version": "1.1", "data": [article]})


def read(path: Path, content: str, **settings: Any) -> TaskData:
    path.write_text(content, encoding="utf-8")
    return read_task(Task(**{**QUESTIONS, **settings}), {split: [path] for split in ("train", "dev", "test")})


def rows(*answers: Any) -> list[dict[str, Any]]:
    return [{"question": f"Who won {number}?", "context": CONTEXT, "answers": a} for number, a in enumerate(answers)]


def test_squad_gives_questions_with_their_contexts_and_answers(tmp_path: Path) -> None:
    examples = read(tmp_path / "train.json", squad()).splits["train"]
    assert [example.texts for example in examples] == [("Who won?", CONTEXT), ("Who lost?", CONTEXT)]
    assert examples[0].label == LABEL


def test_impossible_questions_have_no_answer_whatever_is_plausible(tmp_path: Path) -> None:
    plausible = [{"text": "Denver Broncos", "answer_start": 4}]
    content = squad(answers=[], is_impossible=True, plausible_answers=plausible)
    assert read(tmp_path / "train.json", content).splits["train"][0].label == {"text": [], "answer_start": []}


@pytest.mark.parametrize("answers", [LABEL, [{"text": "Denver Broncos", "answer_start": 4}]])
@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
def test_flat_rows_as_the_hub_has_them_are_read_too(tmp_path: Path, name: str, answers: Any) -> None:
    found = rows(answers, {"text": [], "answer_start": []}, None)
    content = json.dumps(found) if name.endswith("json") else "".join(json.dumps(row) + "\n" for row in found)
    labels = [example.label for example in read(tmp_path / name, content).splits["train"]]
    assert labels == [LABEL, {"text": [], "answer_start": []}, {"text": [], "answer_start": []}]


def test_parquet_of_the_hub_is_read_too(tmp_path: Path) -> None:
    Dataset.from_list(rows(LABEL, LABEL)).to_parquet(tmp_path / "train.parquet")
    paths = {split: [tmp_path / "train.parquet"] for split in ("train", "dev", "test")}
    assert [example.label for example in read_task(Task(**QUESTIONS), paths).splits["dev"]] == [LABEL, LABEL]


def test_an_answer_beside_its_start_is_found_again(tmp_path: Path) -> None:
    answers = [{"text": "Denver Broncos", "answer_start": 6}]
    assert read(tmp_path / "train.json", squad(answers=answers)).splits["train"][0].label == LABEL


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([{"text": "New York", "answer_start": 3}], r"train.json, question 56be: the context does not hold the answer"),
        (["Denver Broncos"], r"train.json, question 56be: an answer is 'Denver Broncos', not a text and its answer_s"),
    ],
)
def test_answers_that_do_not_fit_are_one_sentence(tmp_path: Path, answers: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read(tmp_path / "train.json", squad(answers=answers))


def test_the_context_s_column_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task.text_pair: name the column of the context"):
        read(tmp_path / "train.json", squad(), text_pair=None)


def test_no_context_is_in_two_splits_that_are_cut_from_one_file(tmp_path: Path) -> None:
    content = tiny.write_questions(tmp_path / "one.json", rows=40).read_text(encoding="utf-8")
    tree = json.loads(content)
    for paragraph in tree["data"][0]["paragraphs"]:
        paragraph["qas"] = [{**paragraph["qas"][0], "question": question} for question in ("who", "which", "what")]
    (tmp_path / "train.json").write_text(json.dumps(tree), encoding="utf-8")
    splits = read_task(Task(**QUESTIONS, dev_share=0.2, test_share=0.2), {"train": [tmp_path / "train.json"]}).splits
    contexts = [{example.texts[1] for example in splits[name]} for name in ("train", "dev", "test")]
    assert not (contexts[0] & contexts[1] or contexts[0] & contexts[2] or contexts[1] & contexts[2])
    assert all(contexts)


def spans_of(context: str, tokenizer: Any) -> list[tuple[int, int]]:
    """Where the tokens of a context stand; of [CLS] and [SEP] nowhere."""
    encoded = tokenizer(context, return_offsets_mapping=True)
    return [(-1, -1) if begin == end else (begin, end) for begin, end in encoded["offset_mapping"]]


def right_outputs(texts: TokenisedTexts) -> np.ndarray:
    """Logits of a model that is sure of the labels."""
    bounds = texts.bounds(np.arange(len(texts)))
    outputs = np.zeros((bounds[-1], 2), dtype=np.float32)
    for side, column in enumerate(("start_token", "end_token")):
        outputs[bounds[:-1] + np.asarray(texts.rows[column]), side] = 9
    return outputs


@pytest.mark.parametrize("max_length", [64, 20])
@pytest.mark.parametrize("impossible", [False, True])
def test_the_labels_of_windows_give_the_answers_back(tmp_path: Path, max_length: int, impossible: bool) -> None:
    rows, tokenizer = question_rows(tmp_path, impossible=impossible)
    texts = tokenised_questions(rows, tokenizer, max_length=max_length)
    assert (len(texts) > len(rows)) == (max_length == 20)
    assert max(texts.lengths) <= max_length
    found = KIND.predictions(right_outputs(texts), texts, rows)
    assert KIND.statistics(found, KIND.references(rows, "answers"))[:, 0].mean() == 1
    assert ("" in found) == impossible


@pytest.mark.parametrize("answer", [" cafe\u0301 ", "cafe\u0301", " cafe", "\u200bcafe\u0301", "cafe\u0301\u200b"])
def test_an_answer_may_begin_and_end_with_characters_of_no_token(tmp_path: Path, answer: str) -> None:
    context = "the cast of \u200bcafe\u0301\u200b is cafe\u0301 ".replace("\u200b", "\u200b" * ("\u200b" in answer))
    spans = spans_of(context, load_tokenizer(tiny.write_model(tmp_path)))
    [(first, last)] = answer_tokens([spans], {"text": [answer], "answer_start": [context.index(answer)]})
    assert first and context[spans[first][0] : spans[last][1]].strip("\u200b") in ("cafe", "cafe\u0301")


def test_an_answer_at_the_beginning_of_a_text_may_begin_with_a_character_of_no_token() -> None:
    spans = [(-1, -1), (1, 5), (6, 8), (-1, -1)]
    assert answer_tokens([spans], {"text": ["\u200bfilm"], "answer_start": [0]}) == [(1, 1)]


def test_only_windows_that_hold_the_whole_answer_have_it() -> None:
    windows = [[(-1, -1), (0, 3), (4, 8)], [(-1, -1), (4, 8), (9, 11)], [(-1, -1), (9, 11), (12, 15)]]
    assert answer_tokens(windows, {"text": [" film is"], "answer_start": [3]}) == [(0, 0), (1, 2), (0, 0)]
    assert answer_tokens(windows, {"text": ["the film is"], "answer_start": [0]}) == [(0, 0)] * 3
    assert answer_tokens(windows, {"text": [], "answer_start": []}) == [(0, 0)] * 3


def test_windows_overlap_and_hold_the_whole_context(tmp_path: Path) -> None:
    rows, tokenizer = question_rows(tmp_path)
    texts = tokenised_questions(rows, tokenizer, max_length=20)
    windows = [number for number in range(len(texts)) if texts.row[number] == 0]
    assert texts.part[windows].tolist() == list(range(len(windows)))
    rows_of = list(texts.row)
    assert texts.part.tolist() == [number - rows_of.index(row) for number, row in enumerate(rows_of)]
    spans = [
        [(b, e) for b, e in zip(texts.rows["begin"][number], texts.rows["end"][number], strict=True) if b >= 0]
        for number in windows
    ]
    assert set(spans[0]) & set(spans[1])
    assert len({span for window in spans for span in window}) == len(tokenizer.tokenize(rows["context"][0]))


def test_a_long_question_leaves_room_for_the_context(tmp_path: Path) -> None:
    rows, tokenizer = question_rows(tmp_path)
    rows = rows.map(lambda row: {**row, "question": " ".join([row["question"]] * 20)}, load_from_cache_file=False)
    texts = tokenised_questions(rows, tokenizer, max_length=24)
    assert texts.share_cut() == 1
    found = KIND.predictions(right_outputs(texts), texts, rows)
    assert KIND.statistics(found, KIND.references(rows, "answers"))[:, 0].mean() == 1


def test_cut_questions_are_counted_by_question_not_by_window(tmp_path: Path) -> None:
    rows, tokenizer = question_rows(tmp_path)
    questions = ["film " * 99, *rows["question"][1:]]
    long = rows.remove_columns("question").add_column("question", questions)  # type: ignore[call-arg]
    long = long.map(lambda row: {"context": " ".join([row["context"]] * 9)}, load_from_cache_file=False)
    texts = tokenised_questions(long, tokenizer, max_length=40)
    assert len(texts) > len(rows) and texts.share_cut() == 1 / len(rows)


def test_answers_are_kept_and_their_starts_move_with_the_words_before_them() -> None:
    row = {"id": 0, "question": "Who won?", "context": CONTEXT, "answers": LABEL}
    words = [WordCandidates(*span, ("extraordinary",), "vectors") for span in ((0, 3), (4, 10), (19, 23), (28, 36))]
    label = {"text": ["Broncos", "Carolina Panthers"], "answer_start": [11, 28]}
    varied = [
        KIND.realign(variant, ("question", "context"), "answers")
        for variant in augment_rows(
            [{**row, "answers": label}],
            [(0, 0)],
            text_columns=("question", "context"),
            candidates={CONTEXT: words},
            variants=1,
            p=1.0,
            seed=0,
            originals=set(),
            dropped=Counter(),
            protected=lambda row, column: KIND.protected(row, column, "answers", AugmentData()),
        )
    ]
    context, answers = varied[1]["context"], varied[1]["answers"]
    assert context == "Extraordinary Extraordinary Broncos extraordinary the Carolina Panthers 24–10 in 2016."
    assert [context[s : s + len(t)] for t, s in zip(answers["text"], answers["answer_start"], strict=True)] == label[
        "text"
    ]


def test_an_answer_that_does_not_stand_where_it_should_is_an_error() -> None:
    row = {"context": CONTEXT, "answers": {"text": ["Broncos"], "answer_start": [12]}, "replaced": []}
    with pytest.raises(ValueError, match="does not stand at 12"):
        KIND.realign(row, ("question", "context"), "answers")


def test_a_group_that_the_articles_lack_is_refused_not_ignored(tmp_path: Path) -> None:
    articles = [{"paragraphs": json.loads(squad())["data"][0]["paragraphs"]} for _ in range(10)]
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    with pytest.raises(UserError, match="and their groups are too few"):
        read_task(Task(**{**QUESTIONS, "group": "title"}), {"train": [path]})


def test_answers_longer_than_thirty_tokens_are_found(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny.write_model(tmp_path))
    answer = " ".join(["good", "dull"] * 20)
    found = [
        {
            "question": f"the film {n} is",
            "context": f"the plot {answer} .",
            "answers": {"text": [answer], "answer_start": [9]},
        }
        for n in range(3)
    ]
    data = read(tmp_path / "train.jsonl", "\n".join(map(json.dumps, found)))
    task = KIND.resolve(Task(**QUESTIONS), data.splits["train"], tokenizer)
    assert task.longest_answer == 40
    assert KIND.resolve(Task(**QUESTIONS, longest_answer=12), data.splits["train"], tokenizer).longest_answer == 12
    columns: dict[str, Any] = {"text_columns": ["question", "context"], "label_column": "answers", "max_length": 60}
    dataset = as_datasets(data)["train"]
    for longest, right in ((task.longest_answer, answer), (30, "")):
        texts = TokenisedTexts(dataset, tokenizer, task=replace(task, longest_answer=longest), **columns)
        outputs = np.zeros((texts.bounds(np.arange(3))[-1], 2), dtype=np.float32)
        for number, bound in enumerate(texts.bounds(np.arange(3))[:-1]):
            outputs[bound + texts.rows["start_token"][number], 0] = 9
            outputs[bound + texts.rows["end_token"][number], 1] = 9
        predicted = KIND.predictions(outputs, texts, dataset)
        assert (predicted == [right] * 3) == (longest == 40)


def test_answers_of_a_few_words_are_looked_for_up_to_thirty_tokens(tmp_path: Path) -> None:
    _, tokenizer = question_rows(tmp_path)
    assert KIND.resolve(Task(**QUESTIONS), [], tokenizer).longest_answer == 30


CAFE = "Le caf\u00e9 du th\u00e9\u00e2tre est l\u00e0 , \ud55c\uad6d ."


@pytest.mark.parametrize("answer", ["caf\u00e9", "du th\u00e9\u00e2tre", "l\u00e0", "\ud55c\uad6d", "est"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_an_answer_in_another_unicode_form_is_found_where_the_context_has_it(
    tmp_path: Path, answer: str, forms: Any
) -> None:
    context, text = (unicodedata.normalize(form, one) for form, one in zip(forms, (CAFE, answer), strict=True))
    row = {"question": "Where?", "context": context, "answers": {"text": [text], "answer_start": [0]}}
    found = read(tmp_path / "train.jsonl", json.dumps(row)).splits["train"][0].label
    start = found["answer_start"][0]
    assert context[start : start + len(found["text"][0])] == found["text"][0]
    assert unicodedata.normalize("NFC", found["text"][0]) == answer


def test_questions_with_lost_answers_are_left_out_where_the_recipe_says_so(tmp_path: Path) -> None:
    lost = {"question": "Where?", "context": CONTEXT, "answers": {"text": ["in Paris"], "answer_start": [4]}}
    content = "\n".join(map(json.dumps, [*rows(LABEL, LABEL), lost]))
    with pytest.raises(
        UserError, match=r"train.jsonl:3: the context does not hold the answer 'in Paris'; mend it, or set"
    ):
        read(tmp_path / "train.jsonl", content)
    found = read(tmp_path / "train.jsonl", content, skip_lost_answers=True)
    assert len(found.splits["train"]) == 2
    assert found.left_out["lost"] == 3  # of three splits
