"""The language of texts: what their scripts say, and which package is missing."""

import pytest

from pipeline.data import languages
from pipeline.data.languages import check_packages, guess, languages_of
from pipeline.errors import UserError

ENGLISH, CHINESE, JAPANESE = "a slow film", "服务很好", "この映画は面白い"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        ("ein Film", "en"),
        (CHINESE, "zh"),
        ("这个IBM ThinkPad笔记本很不错", "zh"),
        ("优の良品很好吃的零食店", "zh"),  # a kana in a Chinese name
        (JAPANESE, "ja"),
        ("ｱｲｳ カメラ", "ja"),
        ("이 영화는", "ko"),
        ("หนังเรื่องนี้", "th"),
        ("фильм", "ru"),
        ("الفيلم", "ar"),
        ("הסֶּרט", "he"),
        ("फ़िल्म", "hi"),
        ("12 !? 😀", None),
        ("", None),
    ],
)
def test_a_script_tells_the_language(text: str, language: str | None) -> None:
    assert guess(text) == language


def test_all_texts_are_of_the_language_of_nearly_all() -> None:
    found = languages_of([ENGLISH] * 200 + [CHINESE])
    assert found.found == ("en",)
    assert found.of(CHINESE) == "en"
    assert languages_of(["12", ""]).found == ("en",)


def test_texts_of_several_languages_each_have_their_own() -> None:
    found = languages_of([CHINESE] * 60 + [ENGLISH] * 40)
    assert found.found == ("zh", "en")
    assert [found.of(text) for text in (ENGLISH, CHINESE, "12", JAPANESE)] == ["en", "zh", "zh", "zh"]
    assert str(found).startswith("zh, en (guessed")


def test_a_given_language_holds_for_all() -> None:
    found = languages_of([ENGLISH, CHINESE], "de")
    assert (found.found, str(found)) == (("de",), "de (as given)")


def test_a_language_with_blanks_for_texts_without_is_refused() -> None:
    with pytest.raises(UserError, match=r"is en, but 3 of 4 texts are written without blanks .*; set it to zh"):
        languages_of([CHINESE] * 3 + [ENGLISH], "en")
    assert languages_of([JAPANESE], "zh").found == ("zh",)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages(["zh", "ja", "en"], stop_words=None)
    monkeypatch.setattr(languages, "find_spec", lambda _: None)
    check_packages(["en"], stop_words=None)
    check_packages(["de"], stop_words=["und"])
    for language, package, extra in [("zh", "rjieba", "chinese"), ("th", "icu4py", "languages"),
                                     ("de", "stopwordsiso", "languages")]:  # fmt: skip
        with pytest.raises(UserError, match=rf"'{language}' need the package {package}, .* -e '\.\[{extra}\]'"):
            check_packages([language], stop_words=None)
