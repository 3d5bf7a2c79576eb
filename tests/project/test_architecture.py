"""docs/architecture.md: its picture shows the layers that import-linter holds, its tables name what the files hold."""

import re
import tomllib
from itertools import groupby

from pipeline import PROJECT

PAGE = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
PICTURE = (PROJECT / "docs/architecture.svg").read_text(encoding="utf-8")
LINTER = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]


def test_the_picture_shows_the_layers_from_top_to_bottom() -> None:
    found = re.findall(r'class="package" x="\d+" y="(\d+)">(\w+)<', PICTURE)
    rows = [{name for _, name in row} for _, row in groupby(found, key=lambda package: package[0])]
    (contract,) = [contract for contract in LINTER["contracts"] if contract.get("containers") == ["pipeline"]]
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    assert rows == [{"benchmarks"}, {"stages"}, {"data_augment"}, *layers]


def test_the_picture_marks_the_packages_without_torch() -> None:
    found = re.findall(r'class="free".*\n.*class="package".*>(\w+)<', PICTURE)
    (contract,) = [contract for contract in LINTER["contracts"] if contract["type"] == "forbidden"]
    assert set(found) == {name.split(".")[1] for name in contract["source_modules"] if name.count(".") == 1}


def test_a_file_holds_every_name_that_its_line_of_a_table_names() -> None:
    for path, cells in re.findall(r"^\| `([\w/]+\.py)` \|(.+)\|$", PAGE, re.MULTILINE):
        text = (PROJECT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", cells):
            assert re.search(rf"\b{name}\b", text), (path, name)


def test_a_package_names_its_modules() -> None:
    for package in sorted((PROJECT / "pipeline").glob("*/__init__.py")):
        remarks = package.read_text(encoding="utf-8").split('"""')[1]
        named = set(re.findall(r"\w+", remarks))
        assert {path.stem for path in package.parent.glob("*.py")} - {"__init__"} <= named, package.parent.name
