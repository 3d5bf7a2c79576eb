"""Columns of words and tags as other programs write them: what is read, and what is one sentence."""

from pathlib import Path

import pytest

from pipeline.config.data import Task
from pipeline.data.conll import read_unlabelled
from pipeline.data.examples import Columns
from pipeline.data.word_lists import parse_tags
from pipeline.tasks.labelled_data import read_task
from tests.helpers.tagged_files import CONLL, SENTENCES, complaint, sentences


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("token\ttag", {"label": "tag"}),
        ("token\ttag", {"text": "token"}),
        ("token\ttag", {"text": "token", "label": "tag"}),
        ("token\ttag", {"text": "0", "label": "tag"}),
        ("token tag", {"text": "token", "label": "1"}),
        ("text\tlabel", {}),
    ],
)
def test_columns_are_found_by_the_names_of_a_header_line(tmp_path: Path, header: str, settings: dict) -> None:
    assert sentences(tmp_path / "train.conll", f"{header}\n{CONLL}", **settings) == SENTENCES
    assert sentences(tmp_path / "train.conll", f"\n{header}\n\n{CONLL}", **settings) == SENTENCES


def test_named_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    content = "number\ttag\ttoken\tmore\n" + "1\tB-ORG\tEU\n2\tO\trejects\tx\n\n1\tB-PER\tPeter\n2\tI-PER\tBlackburn\n"
    assert sentences(tmp_path / "train.conll", content, text="token", label="tag") == SENTENCES


@pytest.mark.parametrize("header", ["text\tlabel", "token\ttag", "Word\tNER"])
def test_a_header_line_is_no_word_of_a_text_without_tags(tmp_path: Path, header: str) -> None:
    assert unlabelled(tmp_path / "words.conll", f"{header}\n{CONLL}") == [(text, True) for text, _ in SENTENCES]


@pytest.mark.parametrize(
    ("name", "content", "parted"),
    [
        ("rows.txt", "EU rejects\nPeter Blackburn\n", False),
        ("rows.txt", "\nEU rejects\n\nPeter Blackburn", True),  # as many words in each line: words and something else
        ("rows.tsv", "text\tnumber\nEU rejects\t1\nPeter Blackburn\t2\n", False),
        ("rows.tsv", "text\nEU rejects\nPeter Blackburn\n", False),
        ("rows.conll", CONLL.replace("\t", " "), True),
        ("rows.conll", "EU\nrejects\n\nPeter\nBlackburn\n", True),
    ],
)
def test_texts_without_tags_are_words_or_lines(tmp_path: Path, name: str, content: str, parted: bool) -> None:
    texts = [text for text, _ in SENTENCES] if not content.startswith("\n") else ["EU", "Peter"]
    assert unlabelled(tmp_path / name, content) == [(text, parted) for text in texts]
    (tmp_path / "train.conll").write_text(CONLL, encoding="utf-8")
    files = dict.fromkeys(("train", "dev", "test"), (tmp_path / "train.conll",))
    data = read_task(Task(kind="token_classification"), files | {"unlabelled": (tmp_path / name,)})
    assert [example.texts[0] for example in data.splits["unlabelled"]] == texts


def unlabelled(path: Path, content: str) -> list[tuple[str, bool]]:
    path.write_text(content, encoding="utf-8")
    columns = Columns(
        texts=("text",), label="", group=None, answer=parse_tags, drop_labels=frozenset(), skip_empty=False
    )
    return list(read_unlabelled(path, columns))


def test_a_header_line_that_lacks_a_column_is_one_sentence(tmp_path: Path) -> None:
    said = complaint(tmp_path / "train.conll", f"token\ttag\n{CONLL}", text="tokens", label="tag")
    assert "train.conll:1: no column 'tokens'; did you mean 'token'?" in said


def test_without_a_header_line_names_stand_for_the_first_and_the_last_column(tmp_path: Path) -> None:
    assert sentences(tmp_path / "train.conll", CONLL, text="token", label="tag") == SENTENCES


def test_a_tab_or_blank_at_the_end_of_a_line_is_no_tag(tmp_path: Path) -> None:
    for end in ("\t\n", " \n", "\t \t\n"):
        lines = [line + end if line else "\n" for line in CONLL.splitlines()]
        assert sentences(tmp_path / "train.conll", "".join(lines)) == SENTENCES
    assert "train.conll:6: 1 columns where 2 are needed" in complaint(tmp_path / "train.conll", CONLL + "lies\t\n")


@pytest.mark.parametrize(("name", "content"), [("train.json", "[]"), ("train.jsonl", "\n"), ("train.conll", "\n")])
def test_a_file_without_a_row_is_one_sentence(tmp_path: Path, name: str, content: str) -> None:
    assert (
        complaint(tmp_path / name, content)
        == "task.train: no train row is left; the files are empty, or every row was left out"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"header": ("text", "label")}, "task.header: "),
        ({"drop_labels": ("O",)}, "task.drop_labels: a sentence has a tag for each word"),
        ({"text_pair": "other"}, "task.text_pair: words with tags have no second text; leave it out"),
    ],
)
def test_settings_that_tags_do_not_have_are_one_sentence(tmp_path: Path, settings: dict, words: str) -> None:
    assert complaint(tmp_path / "train.conll", CONLL, **settings).startswith(words)


@pytest.mark.parametrize("text", ["The tag is here", "The blood type O"])
def test_a_comment_of_conll_u_is_neither_a_header_line_nor_a_word(tmp_path: Path, text: str) -> None:
    words = [("EU", "B-ORG"), ("rejects", "O")]
    rows = ["\t".join([str(number), word, *"_" * 7, tag]) for number, (word, tag) in enumerate(words, 1)]
    content = "\n".join([f"# text = {text}", "# sent_id = 1", *rows, ""])
    assert sentences(tmp_path / "train.conllu", content, text="1") == SENTENCES[:1]
