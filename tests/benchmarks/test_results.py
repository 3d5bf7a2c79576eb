"""The commit of a figure is that of the product: what does not change it leaves figures as good as they were."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import results


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, of product and page."""
    monkeypatch.setattr(results, "PROJECT", tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "pipeline").mkdir()
    for name in ("pipeline/loop.py", "README.md"):
        (tmp_path / name).write_text("first")
    commit(tmp_path)
    return tmp_path


def commit(project: Path) -> str:
    git = ["git", "-C", str(project), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "m"], check=True)
    return subprocess.run(
        [*git, "rev-parse", "--short=7", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_page_leaves_the_commit_and_the_product_does_not(project: Path) -> None:
    first = results.commit()
    (project / "README.md").write_text("second")
    assert results.commit() == first
    assert commit(project) != first and results.commit() == first
    (project / "pipeline" / "loop.py").write_text("second")
    assert results.commit() == first + "+"
    second = commit(project)
    assert results.commit() == second
    assert results.commit(first) == first


def test_without_git_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PROJECT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert results.commit() == "unknown"


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ("avx2 avx512f avx512_bf16", "a name, AVX512-BF16"),
        ("avx2 avx512f avx512_bf16 amx_bf16", "a name, AMX, AVX512-BF16"),
        ("avx2 avx512f", "a name, AVX512"),
        ("avx2", "a name, AVX2"),
        ("", "a name"),
    ],
)
def test_a_machine_is_named_with_what_it_multiplies_with(
    flags: str, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "cpu_info", lambda: flags)
    monkeypatch.setattr(results, "cpu_name", lambda: "a name")
    monkeypatch.setattr(results, "cpu_cores", lambda: 3)
    path = results.write("fit", [], command="c", folder=tmp_path)
    assert f'"machine": "{shown}, 3 cores"' in path.read_text(encoding="utf-8")
