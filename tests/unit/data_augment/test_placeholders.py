"""What stands for something else is never replaced, unless the recipe says so."""

import pytest
from transformers import AddedToken

from data_augment.placeholders import PLACEHOLDERS, own_tokens
from data_augment.words import replaceable_words
from pipeline.models.loading import load_tokenizer
from tests import tiny


def free(text: str) -> list[str]:
    """The words that may be replaced."""
    return [text[slice(*span)] for span in replaceable_words(text, never=[PLACEHOLDERS])]


@pytest.mark.parametrize(
    "kept",
    [
        *("[first name]", "[First Name]", "[the film's plot]", "HTTP://FILM.EXAMPLE/plot", "WWW.film.example"),
        *("\uff20film", "\uff03plot"),
        *("[USER]", "[URL]", "[FIRST NAME]", "[plot]", "{name}", "{{ film }}", "${film}", "{film title}", "%(film)s"),
        *("<film>", "</film>", "<br />", '<a href="plot">', "__film__", "@actor", "@plot_joke", "#plot", "#PlotTwist"),
        *("https://film.example/plot-joke?cast=story", "www.film.example", "film.example/plot", "ftp://film.example"),
        *("script@film.example", "first.last+film@mail.film.example"),
    ],
)
def test_placeholders_addresses_names_and_tags_stay(kept: str) -> None:
    assert free(f"scene {kept} story") == ["scene", "story"]
    assert free(f"scene ({kept}), story.") == ["scene", "story"]


@pytest.mark.parametrize(
    "text",
    ["scene film, story", "scene (film) story", "[ scene film story ]", 'scene "film" story', "scene: film & story"],
)
def test_other_words_may_go(text: str) -> None:
    assert free(text) == ["scene", "film", "story"]


@pytest.mark.parametrize("text", ["plot < film and cast > joke", "film at 5 # joke"])
def test_signs_that_enclose_nothing_protect_nothing(text: str) -> None:
    assert "film" in free(text) and "joke" in free(text)


def test_the_tokenizer_s_own_tokens_always_stay(tmp_path) -> None:
    tokenizer = load_tokenizer(tiny.write_model(tmp_path))
    tokenizer.add_tokens([AddedToken("moviebreak"), AddedToken("(plot)")])
    text = "film [SEP] cast [MASK] moviebreak story (plot) joke"
    found = [text[slice(*span)] for span in replaceable_words(text, never=[own_tokens(tokenizer)])]
    assert found == ["film", "cast", "story", "joke"]


@pytest.mark.parametrize("text", ["story-plot.film.example/plot", "...film.example/plot", "-film.example/plot"])
def test_the_whole_of_an_address_stays(text: str) -> None:
    found = PLACEHOLDERS.search(f"scene {text} story")
    assert found is not None and found[0] == text.lstrip(".-")


@pytest.mark.parametrize("text", ["film-" * 8000, "film." * 8000, "film+" * 8000])
def test_a_long_run_without_a_blank_is_read(text: str) -> None:
    assert PLACEHOLDERS.search(text) is None
