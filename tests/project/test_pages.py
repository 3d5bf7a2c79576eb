"""The pages that are made are up to date; README is short; the site builds without a complaint."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import pages, results, results_page
from benchmarks.all import PARTS
from pipeline import PROJECT
from tests.helpers.published import EVALUATION, EXPORTED


def test_every_page_that_is_made_is_up_to_date() -> None:
    stale = [path.name for path, text in pages.pages() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "python -m benchmarks.pages writes them"


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len(pages.README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_page_of_deployment_says_what_smaller_students_gave() -> None:
    page = (PROJECT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if "recipes/smallest.yaml" in line]
    known = [results.read(part) for part in ("smallest", "default")]
    small, usual = (of["figures"]["shipped"] for of in known if of)
    megabytes = [f"{ships['disk_bytes'] / 1e6:.1f} MB" for ships in (small, usual)]
    assert re.findall(r"[\d.]+ MB", row) == megabytes
    assert re.findall(r"[\d.]+%", row) == [f"{ships['score']:.2%}" for ships in (small, usual)]
    assert 0.4 < small["latency_ms"] / usual["latency_ms"] < 0.6  # half the time


def test_every_file_of_results_is_a_part_of_all_benchmarks() -> None:
    for path in results.RESULTS.glob("*.json"):
        assert path.stem in PARTS
        assert {"command", "commit", "machine", "day", "seconds", "figures"} == results.read(path.stem).keys()  # type: ignore[union-attr]


def test_the_page_of_results_json_names_every_key() -> None:
    page = (PROJECT / "docs/reference/results-json.md").read_text(encoding="utf-8")
    keys = {*EVALUATION, *EVALUATION["teacher"], *EXPORTED["shipped"], "shipped", "seconds", "start_seconds", "rows"}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


@pytest.mark.slow
def test_a_run_becomes_the_first_table(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    found["teacher"] |= {"score": 0.9, "disk_bytes": 91_567_093}
    found["shipped"] |= {"score": 0.885, "disk_bytes": 2_500_000, "times_smaller": 36.6, "times_faster": 6.0}
    found["shipped"]["teacher_latency_ms"] = 1.5
    found |= {"seconds": {"a": 100.0}, "start_seconds": {"a": 20.0}}
    (tmp_path / "results.json").write_text(json.dumps(found))
    (tmp_path / "export_student").symlink_to(finished / "export_student")
    results.write("default", pages.figures_of(tmp_path), command="./run_all.sh", folder=tmp_path)
    default = json.loads((tmp_path / "default.json").read_text())
    monkeypatch.setattr(results, "read", {"default": default}.get)
    assert results_page.how_long().startswith("\nIts stages took 2 min (")
    assert [line.split("%")[1].strip() for line in default["figures"]["answers"]] == list(pages.QUESTIONS)
    said = results_page.run_lines(default["figures"])
    assert "accuracy                          0.9000      0.8850" in said[2]
    assert said[-1] == "In all 2 min."
    readme = next(text for path, text in pages.pages() if path == pages.README)
    assert "accuracy                          0.9000      0.8850" in readme
    assert default["figures"]["answers"][0] in readme


def test_starts_become_a_table_and_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "student.start": start,
            "mean": 0.8,
            "curves": {"steps": [10, 20], "layer_loss": [first, 1.0], "dev_scores": [0.7, 0.8]},
        }
        for start, first in (("fitted", 2.0), ("random", 9.0))
    ]
    said = {"command": "c", "commit": "abc", "machine": "m", "day": "d", "seconds": 1.0}
    default = json.loads((PROJECT / "results/default.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(results, "read", {"default": default, "starts": said | {"figures": rows}}.get)
    picture = ElementTree.fromstring(pages.learning_curves() or "")
    assert {"fitted", "random"} <= {element.text for element in picture.iter() if element.tag.endswith("text")}
    assert "| `student.start` | mean |\n|---|---|\n| fitted | 0.8000 |\n| random | 0.8000 |" in results_page.page()
    assert "(learning_curves.svg)" in results_page.page()


def test_augmentation_becomes_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"augment_data.variants": number, "scores": [0.8, 0.82], "mean": 0.81} for number in ("0", "5")]
    said = {"command": "c", "commit": "abc", "machine": "m", "day": "d", "seconds": 1.0}
    default = json.loads((PROJECT / "results/default.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(results, "read", {"default": default, "augmentation": said | {"figures": rows}}.get)
    picture = ElementTree.fromstring(pages.scores_by_variants() or "")
    assert {"0", "5", "mean"} <= {element.text for element in picture.iter() if element.tag.endswith("text")}
    assert "(variants.svg)" in results_page.page()


@pytest.mark.skipif(find_spec("material") is None, reason="mkdocs-material is not installed")
def test_the_site_builds_without_a_complaint(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    outside = [path for path in (tmp_path / "site").rglob("*.html") if 'src="http' in path.read_text(encoding="utf-8")]
    assert outside == []
