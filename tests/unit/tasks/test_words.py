"""What a word is, in running text and where blanks part the words."""

import pytest

from pipeline.tasks.words import Parting, word_spans

PARTED = [
    "the script-cast is very clever and @plot was fine-dull in u.s. .",
    "the film , the plot ( and the joke ) was \u201c fine \u201d in u.s. .",
]


def test_words_that_blanks_part_stay_as_the_training_rows_have_them() -> None:
    parting = Parting.of(PARTED)
    for text in (*PARTED, "@actor was in u.k. .", "don't say e-mail , c++ or #plot .", "The U.S. , the e.g. ."):
        assert parting.part(text) == text


@pytest.mark.parametrize(
    ("running", "words"),
    [
        ("The film, (again).", "The film , ( again ) ."),
        ("A \u201cscript-cast\u201d by @plot, in u.s.", "A \u201c script-cast \u201d by @plot , in u.s."),
        ("film.", "film ."),
        ("So...", "So . . ."),
        ("", ""),
        (" ( film\t) ", "( film )"),
    ],
)
def test_running_text_is_parted_where_the_training_rows_part_it(running: str, words: str) -> None:
    assert Parting.of(PARTED).part(running) == words


def test_punctuation_that_never_stands_alone_stays_at_its_word() -> None:
    parting = Parting.of(["The film, again.", "the plot, and the end."])
    assert parting.part("A film, again.") == "A film, again."


def test_ideographs_are_words_where_the_training_rows_have_them_so() -> None:
    assert Parting.of(["\u6211 \u5728 \u5317 \u4eac"]).part("\u6211\u5728 film") == "\u6211 \u5728 film"
    assert (
        Parting.of(["\u6211 \u5728 \u5317\u4eac", "\u5317\u4eac \u5317\u4eac"]).part("\u5317\u4eac") == "\u5317\u4eac"
    )


@pytest.mark.parametrize("words", [None, 5, {"standalone": 5, "ideographs": True}, {"standalone": "."}, {"x": 1}])
def test_a_student_that_says_nothing_of_words_gets_the_usual(words: object) -> None:
    assert Parting.from_config({"words": words}) == Parting()


def test_what_config_json_holds_is_read_back() -> None:
    parting = Parting.of(PARTED)
    assert Parting.from_config(parting.as_config()) == parting != Parting()


def test_words_are_what_single_spaces_separate() -> None:
    assert [("a b\u00a0c d"[slice(*span)]) for span in word_spans("a b\u00a0c d")] == ["a", "b\u00a0c", "d"]
