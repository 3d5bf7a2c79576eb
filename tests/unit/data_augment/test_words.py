"""Which words of a text may be replaced, and in which case a replacement is written."""

import random
import re

import pytest

from data_augment.words import drawn_words, find_words, is_word, match_case, replaceable_words


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in replaceable_words(text)]


def test_a_span_finds_its_word_in_the_original_text():
    text = "  A gripping,  well-made film\t(mostly) -- see it."
    assert [text[start:end] for start, end in find_words(text)] == [
        "A", "gripping", "well-made", "film", "mostly", "see", "it",
    ]  # fmt: skip


def test_stop_words_and_pieces_of_contractions_are_not_replaced():
    assert words_of("It's not what I don't like, we're gonna see; she can’t.") == ["like", "see"]


def test_words_with_digits_and_bare_punctuation_are_not_replaced():
    assert words_of("In 1967 the 3-d version ran 2½ hours ... -- *** !") == ["version", "ran", "hours"]


def test_a_share_of_the_words_is_drawn_by_text_and_place_alone():
    texts = [f"number {chr(97 + n)} of many little texts" for n in range(26)] * 20
    texts = [f"{text} {'x' * (n // 26)}" for n, text in enumerate(texts)]
    drawn = [drawn_words(text, replaceable_words(text), 0.4) for text in texts]
    count = sum(len(replaceable_words(text)) for text in texts)
    assert sum(map(len, drawn)) / count == pytest.approx(0.4, abs=0.03)  # of 2,600 words: three standard deviations
    assert len({tuple(spans) for spans in drawn}) > 10
    assert drawn == [drawn_words(text, replaceable_words(text), 0.4) for text in texts]
    more = [drawn_words(text, replaceable_words(text), 0.6) for text in texts]
    assert all(set(some) <= set(others) for some, others in zip(drawn, more, strict=True))
    assert [drawn_words(text, replaceable_words(text), 1) for text in texts] == list(map(replaceable_words, texts))


def test_a_word_keeps_its_full_stop_out_of_the_span():
    assert words_of("They left York. Rome waited.") == ["left", "York", "Rome", "waited"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        (r"\bfilm\b", ["Filming", "Golden", "Eagle", "mail", "bob", "example.org"]),
        ("Golden Eagle", ["Filming", "film", "mail", "bob", "example.org"]),  # every word that it reaches into
        (r"\S+@\S+|film", ["Filming", "Golden", "Eagle", "mail"]),
    ],
)
def test_what_the_recipe_protects_is_not_replaced(pattern: str, left: list[str]):
    text = "Filming the film on Golden Eagle: mail to bob@example.org"
    spans = replaceable_words(text, protect=re.compile(pattern))
    assert [text[start:end] for start, end in spans] == left


def test_stop_words_can_be_given():
    text = "the film"
    spans = replaceable_words(text, stop_words={"film"})
    assert [text[start:end] for start, end in spans] == ["the"]


@pytest.mark.parametrize(
    "text", ["he said ``hi' \"", "``a'' \"b\" ''c``", "\"\"''``", "a '' \" '''' b", '"film" `` "', "'' \" film ``"]
)
def test_no_mixture_of_quotes_breaks_the_words(text: str):
    assert all(text[start:end].strip("'`\" ") for start, end in find_words(text))


def test_quotes_do_not_shift_the_spans():
    assert words_of("\"Grand\" ''fun'' ``indeed`` dear") == ["Grand", "fun", "indeed", "dear"]


def test_empty_and_blank_texts_have_no_words():
    assert find_words("") == find_words(" \n\t ") == []


def test_words_of_other_scripts_are_words():
    assert words_of("фильм café हिन्दी") == ["фильм", "café", "हिन्दी"]


@pytest.mark.parametrize("token", ["film", "well-made", "o'clock", "café", "हिन्दी"])
def test_a_word_may_be_put_into_a_text(token: str):
    assert is_word(token)


@pytest.mark.parametrize("token", ["", ",", "##ing", "[unused1]", "3d", "1999", "--", "'s", "-film", "a b", "@x"])
def test_what_is_no_word_may_not_be_put_into_a_text(token: str):
    assert not is_word(token)


@pytest.mark.parametrize(
    ("replacement", "original", "written"),
    [
        ("movie", "film", "movie"),
        ("movie", "Film", "Movie"),
        ("movie", "FILM", "MOVIE"),
        ("movie", "X", "Movie"),
        ("Paris", "film", "Paris"),  # a cased model's own capitals stay
        ("USA", "Film", "USA"),
        ("movie", "eBay", "movie"),
    ],
)
def test_a_replacement_takes_the_case_of_the_word(replacement: str, original: str, written: str):
    assert match_case(replacement, original) == written


@pytest.mark.parametrize("protect", ["b+", "b*", "b.{0,9}a|a", "(?=b)", " ", "c"])
def test_a_word_is_protected_where_a_pattern_finds_a_part_of_it(protect: str) -> None:
    source, pattern, never = random.Random(0), re.compile(protect), [re.compile("x[^y]*y")]
    for _ in range(100):
        text = "".join(source.choices("abxy  ", k=40))
        found = [match.span() for one in (pattern, *never) for match in one.finditer(text)]
        wanted = [
            (start, end)
            for start, end in find_words(text)
            if not any(first < end and start < last for first, last in found)
        ]
        assert replaceable_words(text, stop_words=set(), protect=pattern, never=never) == [
            span for span in wanted if span in replaceable_words(text, stop_words=set())
        ]


def test_the_words_of_a_long_text_with_many_names_are_found() -> None:
    text = "@name film " * 20_000
    spans = replaceable_words(text, never=[re.compile(r"@\w+")])
    assert drawn_words(text, spans, 1.0) == spans and len(spans) == 20_000
