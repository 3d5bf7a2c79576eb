"""A table in place of a recipe: its columns are found, and a recipe is written that says so."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import PROJECT
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import UserError
from pipeline.launch import cli, table_recipe
from pipeline.launch.table_recipe import find_columns, from_here, is_table, recipe_for, recipe_name
from tests import tiny

NONE = dict.fromkeys(table_recipe.OPTIONS)


def table(folder: Path, *columns: str, name: str = "reviews.csv", separator: str = ",") -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([columns, ["x"] * len(columns)])
    return folder / name


def recipe_of(path: Path, columns: Mapping[str, str | None], overrides: Sequence[str]) -> Path:
    """The recipe that is written for a table."""
    return recipe_for(path, columns, overrides).path


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["text", "label"], ("text", "label")),
        (["id", "Review", "date", "Sentiment"], ("Review", "Sentiment")),
        (["comment", "text", "class"], ("text", "class")),
        (["what they said", "label"], ("what they said", "label")),
        (["review", "liked"], ("review", "liked")),
    ],
)
def test_columns_are_found_by_their_names(tmp_path: Path, columns: list[str], found: tuple[str, str]) -> None:
    known = find_columns(table(tmp_path, *columns), NONE)
    assert (known["text"], known["label"]) == found


@pytest.mark.parametrize(
    ("columns", "role"),
    [(["a", "b", "c"], "text"), (["review", "comment", "label"], "text"), (["text", "a", "b"], "label")],
)
def test_columns_that_cannot_be_told_are_asked_for(tmp_path: Path, columns: list[str], role: str) -> None:
    path = table(tmp_path, *columns)
    with pytest.raises(UserError) as raised:
        find_columns(path, NONE)
    names = ", ".join(columns)
    assert str(raised.value) == f"{path}: which column is the {role}? Say it with --{role} COLUMN; it has {names}"


def test_a_column_that_is_given_must_be_there(tmp_path: Path) -> None:
    path = table(tmp_path, "review", "stars")
    with pytest.raises(UserError, match=r"--label: no column 'star'; did you mean 'stars'\?"):
        find_columns(path, NONE | {"label": "star"})


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.json", "rows.parquet", "semicolons.csv"])
def test_every_kind_of_table_names_its_columns(tmp_path: Path, name: str) -> None:
    row = {"review": "fine", "stars": "5"}
    path = tmp_path / name
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist([row]), path)
        case ".jsonl":
            path.write_text("\n" + json.dumps(row) + "\n")
        case ".json":
            path.write_text(json.dumps([row]))
        case suffix:
            table(tmp_path, *row, name=name, separator="\t" if suffix == ".tsv" else ";" if "semi" in name else ",")
    assert is_table(path)
    known = find_columns(path, NONE)
    assert (known["text"], known["label"]) == ("review", "stars")


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for recipes, with the template and its base in it."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    for path in table_recipe.TEMPLATE.parent.glob("*.yaml"):
        (folder / path.name).symlink_to(path)
    monkeypatch.setattr(table_recipe, "TEMPLATE", folder / table_recipe.TEMPLATE.name)
    return folder


def test_the_recipe_is_the_template_with_its_marked_lines_filled_in(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "question1", "question2", "same, or not", name="my pairs.csv")
    columns = {"text": "question1", "text_pair": "question2", "label": "same, or not"}
    recipe = load_recipe(recipe_of(path, columns, []), ["--backbone", "x"])
    template = load_recipe(table_recipe.TEMPLATE)
    assert (recipe.name, recipe.task.train) == ("my-pairs", (str(path),))
    assert (recipe.task.text, recipe.task.text_pair, recipe.task.label) == tuple(columns.values())
    assert (recipe.student, recipe.distill_layers) == (template.student, template.distill_layers)


def test_a_recipe_that_nobody_changed_is_written_again(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "label", "stars")
    first = recipe_of(path, NONE, [])
    assert recipe_of(path, NONE | {"label": "stars"}, []) == first
    assert load_recipe(first).task.label == "stars"


def test_settings_of_the_command_line_are_in_the_recipe(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "label")
    given = ["--task.kind", "regression", "--task.label_separator=|", "--seed", "7", "--student.layers=2"]
    given += ["--task.labels", "[good, '010']", "--distill_layers.learning_rate", "3e-4", "--name", "other"]
    written = recipe_of(path, NONE, given)
    overrides = ["--backbone", "x"]
    assert load_recipe(written, overrides) == load_recipe(written, [*overrides, *given])
    recipe = load_recipe(written, overrides)
    assert (recipe.name, recipe.task.kind, recipe.seed, recipe.student.layers) == ("other", "regression", 7, 2)
    assert recipe.task.labels == ("good", "010") and recipe.task.label_separator == "|"


def test_other_settings_of_the_command_line_replace_those_of_a_recipe_that_nobody_changed(
    tmp_path: Path, recipes: Path
) -> None:
    path = table(tmp_path, "text", "label")
    first = recipe_of(path, NONE, ["--task.kind", "regression", "--seed", "7"])
    assert recipe_of(path, NONE, ["--task.metric", "pearson"]) == first
    recipe = load_recipe(first, ["--backbone", "x"])
    assert (recipe.task.kind, recipe.task.metric, recipe.seed) == ("classification", "pearson", 0)
    recipe_of(path, NONE, ["--seed", "7"])
    first.write_text(changed := first.read_text().replace("seed: 7", "seed: 8"))
    with pytest.raises(UserError, match="exists already"):
        recipe_of(path, NONE, ["--seed", "7"])
    assert first.read_text() == changed


def test_settings_that_are_replaced_are_said(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "label", "stars")
    first = recipe_of(path, NONE | {"label": "stars"}, ["--task.kind", "regression", "--seed=7"])
    options = "--text text --label stars --task.kind regression --seed 7"
    columns = f"{path}: 'text' is the text, 'label' the label; not used: 'stars'"
    said = [f"{first} is written anew; its options were: {options}", columns]
    assert recipe_for(path, NONE, []).remarks == said
    assert recipe_for(path, NONE, []).remarks == [columns]


def test_a_look_leaves_the_recipe_that_is_there_and_plans_the_new_one(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "other", "label", "stars")
    pair = NONE | {"text_pair": "other"}
    first = recipe_of(path, NONE | {"label": "stars"}, ["--seed", "7", "--task.kind", "regression"])
    before = first.read_text()
    given = ["--task.labels=[x, '010']", "--task.group", "|", "--student.layers", "2", "--checksums", "{}"]
    looked_at, overrides, remarks = recipe_for(path, pair, given, only_look=True)
    assert first.read_text() == before
    options = "--text text --label stars --seed 7 --task.kind regression"
    assert remarks[0] == f"{first} would be written anew; its options are: {options}"
    written, rest, _ = recipe_for(path, pair, given)
    assert (written, rest) == (first, given)
    backbone = ["--backbone", "x"]
    assert load_recipe(looked_at, [*overrides, *backbone]) == load_recipe(written, [*rest, *backbone])
    assert recipe_for(path, pair, given, only_look=True)[:2] == (written, given)


def test_a_table_without_a_header_line_has_the_columns_that_are_given(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "so good", "1", "7")
    header = ["--task.header", "[review, id, stars]"]
    recipe = load_recipe(recipe_of(path, NONE, header), ["--backbone", "x"])
    assert (recipe.task.text, recipe.task.label) == ("review", "stars")
    assert recipe.task.header == ("review", "id", "stars")


def test_files_of_the_current_folder_are_named_as_the_table_is(
    tmp_path: Path, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, "text", "label")
    for name in ("held out.csv", "dev1.csv", "dev2.csv"):
        table(tmp_path, "text", "label", name=name)
    monkeypatch.chdir(tmp_path)
    given = ["--task.test", "held out.csv", "--task.dev=[dev*.csv, hub:me/mine, elsewhere.csv]", "--seed", "1"]
    overrides = from_here(given)
    recipe = load_recipe(recipe_of(Path("reviews.csv"), NONE, overrides), ["--backbone", "x"])
    assert recipe.task.test == (str(tmp_path / "held out.csv"),)
    assert recipe.task.dev == (str(tmp_path / "dev*.csv"), "hub:me/mine", "elsewhere.csv")
    assert recipe.seed == 1


def test_a_recipe_that_somebody_changed_is_kept(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "label")
    recipe = recipe_of(path, NONE, [])
    recipe.write_text(changed := recipe.read_text() + "seed: 3\n")
    with pytest.raises(UserError, match=r"reviews\.yaml exists already: it was changed, or belongs to another table"):
        recipe_of(path, NONE, [])
    assert recipe.read_text() == changed
    assert recipe_of(path, NONE, ["--name", "other"]).name == "other.yaml"


def test_another_table_of_the_same_name_does_not_take_the_recipe(tmp_path: Path, recipes: Path) -> None:
    one, other = (table(tmp_path / name, "text", "label") for name in ("imdb", "yelp"))
    written = recipe_of(one, NONE, []).read_text()
    with pytest.raises(UserError, match=r"reviews\.yaml exists already: it was changed, or belongs to another table"):
        recipe_of(other, NONE, [])
    assert (recipes / "reviews.yaml").read_text() == written


def test_a_link_to_a_table_keeps_its_name(tmp_path: Path, recipes: Path) -> None:
    table(tmp_path, "text", "label", name="0a1b2c")
    (tmp_path / "train.csv").symlink_to("0a1b2c")
    recipe = load_recipe(recipe_of(tmp_path / "train.csv", NONE, []), ["--backbone", "x"])
    assert recipe.task.train == (str(tmp_path / "train.csv"),)


@pytest.mark.parametrize("name", ["../evil", "sub/x", "-x"])
def test_a_name_that_is_no_folder_s_writes_nothing(tmp_path: Path, recipes: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"--name: .* names a folder"):
        recipe_of(table(tmp_path, "text", "label"), NONE, [f"--name={name}"])
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "reviews.csv"])


def test_a_name_may_be_a_number(tmp_path: Path, recipes: Path) -> None:
    path = recipe_of(table(tmp_path, "text", "label"), NONE, ["--name", "007"])
    assert path.name == "007.yaml" and load_recipe(path, ["--name", "2024", "--backbone", "x"]).name == "2024"


def test_a_second_text_is_found_and_what_is_not_used_is_said(tmp_path: Path, recipes: Path) -> None:
    path = table(tmp_path, "text", "text_pair", "label", *(f"c{number}" for number in range(6)))
    found = recipe_for(path, NONE, [])
    assert load_recipe(found.path, ["--backbone", "x"]).task.text_pair == "text_pair"
    assert found.remarks[-1].endswith("'label' the label; not used: 'c0', 'c1', 'c2', 'c3', 'c4', ...")


def test_a_recipe_of_the_project_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipes/stsb\.yaml exists already"):
        recipe_of(table(tmp_path, "text", "label", name="stsb.csv"), NONE, [])


@pytest.mark.parametrize(
    ("name", "expected"), [("reviews.csv.gz", "reviews"), ("my reviews (2).tsv", "my-reviews-2"), ("été.json", "été")]
)
def test_the_run_is_named_after_the_table(name: str, expected: str) -> None:
    assert recipe_name(Path("data") / name) == expected


def test_a_run_starts_from_a_table(
    world: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = world / "recipes" / "rows.yaml"
    recipe.parent.mkdir()
    monkeypatch.setattr(table_recipe, "TEMPLATE", recipe.parent / "your_data.yaml")
    table_recipe.TEMPLATE.write_text((PROJECT / "recipes/your_data.yaml").read_text())
    template = (world / "recipe.yaml").read_text()
    (recipe.parent / "quick.yaml").write_text(template.replace("max_length: 32", "max_length: 16"))
    assert cli.main([str(world / "rows.csv"), "--list"]) == 0
    said = capsys.readouterr().err
    assert f"{recipe} is new" in said
    assert "rows.csv: 'text' is the text, 'label' the label" in said
    before = recipe.read_text()
    assert cli.main([str(world / "rows.csv"), "--list", "--augment_data.variants", "0"]) == 0
    assert "propose_candidates" not in capsys.readouterr().out
    assert (recipe.read_text(), launched) == (before, [])


def test_columns_are_said_of_tables_alone(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(world / "recipe.yaml"), "--text-pair", "other"]) == 2
    assert (
        "--text-pair names a column of a table; with a recipe write --task.text_pair COLUMN" in capsys.readouterr().err
    )


def test_a_table_that_is_not_there_is_one_sentence(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(world / "row.csv")]) == 2
    assert capsys.readouterr().err == f"error: {world}/row.csv: no such table; did you mean 'rows.csv'?\n"


def test_a_link_to_nothing_is_said_to_be_one(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, what in (("gone.csv", "table"), ("gone.yaml", "recipe")):
        (world / name).symlink_to("/nowhere/else")
        assert cli.main([str(world / name)]) == 2
        said = capsys.readouterr().err
        assert f"{name}: no such {what} (it is a link to /nowhere/else, which is not there)" in said
        assert f"'{name}'" not in said  # not its own name


def test_a_path_that_no_recipe_can_hold_is_one_sentence(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = os.fsdecode(os.fsencode(world) + b"/rev\xe9.csv")
    Path(table).write_text("text,label\n")
    assert cli.main([table]) == 2
    assert capsys.readouterr().err.endswith("a recipe cannot hold this path, which is not UTF-8; rename it\n")


def test_other_data_in_place_of_a_table_is_named(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "a.csv").mkdir()
    (world / "train.conll").write_text("film O\n")
    tiny.write_questions(world / "squad.json", rows=4)
    says = {
        "a.csv": "a.csv is a folder; name a table in it",
        "train.conll": "train.conll holds tags of words, and no recipe: name it as task.train in a copy of recipes/",
        "squad.json": "squad.json holds questions as SQuAD does: name it as task.train in a copy of recipes/xquad.yaml",
    }
    for name, sentence in says.items():
        assert cli.main([str(world / name)]) == 2
        assert sentence in capsys.readouterr().err
