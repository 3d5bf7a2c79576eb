"""Bad input: found before anything is launched, one sentence, exit status 2, nothing left behind."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.recipe_file import load_recipe
from pipeline.data import languages
from pipeline.errors import UserError
from pipeline.launch.cli import main
from pipeline.plan.checks import check_vocabulary
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import STAGES
from tests.helpers.bad_inputs import BAD_INPUTS, MANY, ROWS, assert_one_sentence, below, prepare


def test_the_catalogue_is_as_long_as_promised() -> None:
    assert len({json.dumps(bad, sort_keys=True) for bad in BAD_INPUTS}) >= 60


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad["says"][:60])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    world: Path, bad: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = prepare(world, bad)
    before = below(world)
    assert main(words) == 2
    assert_one_sentence(world, capsys.readouterr().err, bad["says"])
    assert below(world) == before


def test_a_wheel_of_another_checksum_is_one_sentence(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(world / "toy_words-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_words-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n")
        wheel.writestr("toy_words-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy_words/rows.csv", ROWS)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(world))
    settings = {"task.train": "wheel:toy-words==1.0#toy_words/rows.csv", "checksums": {"toy-words==1.0": "00ff"}}
    assert main(prepare(world, {"set": settings})) == 2
    said, error = capsys.readouterr().err.splitlines(keepends=True)
    assert said == "downloading toy-words==1.0\n"
    assert_one_sentence(world, error, "the recipe's checksums say 00ff; the download was removed")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"\xef\xbb\xbf" + MANY.encode()),
        ("rows.csv", MANY.replace("\n", "\r\n").encode()),
        ("rows.tsv", MANY.replace(",", "\t").replace("The", '"The').encode()),
        ("rows.csv", MANY.replace("The film is great .", '"The film, ""great"" is\ngreat ."').encode()),
    ],
    ids=["byte-order mark", "CRLF", "lone quotes in TSV", "quotes in CSV"],
)
def test_what_looks_odd_and_is_right_is_accepted(world: Path, name: str, content: bytes) -> None:
    (recipe,) = prepare(world, {"set": {"task.train": f"{world}/{name}"}})
    (world / name).write_bytes(content)
    assert set(make_plan(Path(recipe)).why) == set(STAGES)


def test_a_vocabulary_of_merges_is_not_cut(world: Path) -> None:
    path = world / "model" / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"type": "WordPiece"', '"type": "BPE"').replace('"type":"WordPiece"', '"type":"BPE"')
    )
    check_vocabulary(load_recipe(world / "recipe.yaml", ["--distill_layers.pieces=0"]), world / "model")
    with pytest.raises(
        UserError, match="is a BPE, and only WordPiece and Unigram vocabularies can be cut; set it to 0"
    ):
        check_vocabulary(load_recipe(world / "recipe.yaml", ["--distill_layers.pieces=100"]), world / "model")


def test_the_languages_of_unlabelled_texts_need_their_packages_too(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(languages, "find_spec", lambda name: None)
    more = {"more.csv": "text\n" + "".join(f"это фильм {number}\n" for number in range(400))}
    words = prepare(world, {"set": {"task.unlabelled": f"{world}/more.csv"}, "files": more})
    assert main(words) == 2
    assert "words of the language 'ru' need the package stopwordsiso" in capsys.readouterr().err
