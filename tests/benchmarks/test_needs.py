"""What the default run needs: the sizes of folders, and the figures that the pages tell."""

import json
import math
import os
import re
import sys
from pathlib import Path

import pytest

from benchmarks import needs, results
from pipeline import PROJECT


def test_a_file_of_two_names_takes_its_place_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"0" * 10_000)
    os.sync()  # until then a file may have no place
    once = needs.on_disk(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    assert 10_000 <= once < 20_000
    assert needs.on_disk(tmp_path) == once
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert needs.on_disk(tmp_path) < once + 10_000  # not what it points to


@pytest.mark.slow
def test_of_a_finished_run_it_says_sizes_and_memory(
    finished: Path, run_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["needs", "--recipe", str(run_world / "recipe.yaml"), "--json", str(file)])
    monkeypatch.setattr(needs.sys, "prefix", str(tmp_path))
    needs.main()
    found = json.loads(file.read_text())
    assert found["artifacts_bytes"] > (finished / "export_student" / "model.safetensors").stat().st_size
    manifests = [json.loads(path.read_text()) for path in finished.glob("*/stage.json")]
    assert found["peak_memory"] == max(manifest["peak_memory_bytes"]["host"] for manifest in manifests)


def test_the_pages_say_what_was_measured() -> None:
    known = results.read("needs")
    assert known
    packages, downloads, artifacts, memory = (value / 1e9 for value in known["figures"].values())
    disk = packages + downloads + artifacts
    needed = f"{math.ceil(memory)} GB of memory and {math.ceil(disk)} GB of disk"
    for name in ("README.md", "docs/quickstart.md"):
        page = " ".join((PROJECT / name).read_text(encoding="utf-8").split())
        assert needed in page
        assert {f"{packages:.0f}"} == set(re.findall(r"(\d+) GB of (?:the disk are )?packages", page))
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"downloads {downloads:.2f} GB of data" in " ".join(readme.split())
