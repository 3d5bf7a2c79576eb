"""Wheels as inputs: built here and found by pip in a folder, without an index."""

import hashlib
import os
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.inputs import wheels
from pipeline.inputs.resolver import Resolver
from pipeline.inputs.wheels import LOCK, unpacked_wheel

INFO = "toy_words-1.0.dist-info"
METADATA = {
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": "",
}
CONTENT = {"toy_words/data/words.txt": "one\ntwo\n"}
SIX = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"


def build(folder: Path, content: dict[str, str | zipfile.ZipInfo]) -> str:
    """Writes toy-words 1.0 into the folder, and gives its SHA-256."""
    wheel = folder / "toy_words-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, member in {**content, **METADATA}.items():
            archive.writestr(name if isinstance(member, str) else member, member if isinstance(member, str) else "/etc")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def kept(cache: Path) -> list[str]:
    """What lies in the cache beside its lock."""
    return [path.name for path in (cache / "wheels").iterdir() if path.name != LOCK]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all the package index pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_is_downloaded_once_and_said_so(
    index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checksums = {"toy-words==1.0": build(index, dict(CONTENT))}
    resolver = Resolver(root=tmp_path, cache=tmp_path / "cache", checksums=checksums, pinned={})
    (words,) = resolver.files("wheel:toy-words==1.0#toy_words/data/words.txt")
    assert words.read_text() == "one\ntwo\n"
    assert capfd.readouterr() == ("", "downloading toy-words==1.0\n")

    monkeypatch.setattr("sys.executable", "/no/python")  # nothing may run
    assert resolver.files("wheel:toy-words==1.0#toy_words/data") == (words,)
    assert resolver.folder("wheel:toy-words==1.0#toy_words/data") == words.parent
    assert kept(tmp_path / "cache") == ["toy-words-1.0"]
    with pytest.raises(UserError, match=r"there is no 'dta' in .*; did you mean 'data'"):
        resolver.files("wheel:toy-words==1.0#toy_words/dta")


def test_what_a_killed_download_left_is_removed(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksums = {"toy-words==1.0": build(index, dict(CONTENT))}
    child = os.fork()
    if not child:
        monkeypatch.setattr(wheels, "_unpack", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        try:
            unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums=checksums)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    (left,) = kept(tmp_path)
    assert left.startswith(".download-")
    unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums=checksums)
    assert kept(tmp_path) == ["toy-words-1.0"]


def test_a_wheel_that_lost_its_marker_is_brought_again(index: Path, tmp_path: Path) -> None:
    checksums = {"toy-words==1.0": build(index, dict(CONTENT))}
    folder = unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums=checksums)
    (folder / wheels.MARKER).unlink()
    (folder / "toy_words/data/words.txt").write_text("half")
    unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums=checksums)
    assert (folder / "toy_words/data/words.txt").read_text() == "one\ntwo\n"


def test_of_two_that_want_a_wheel_one_downloads_it_and_the_other_waits(
    index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checksums = {"toy-words==1.0": build(index, dict(CONTENT))}
    with ThreadPoolExecutor(2) as two:
        both = [two.submit(unpacked_wheel, "toy-words==1.0", cache=tmp_path, checksums=checksums) for _ in range(2)]
    assert {one.result() for one in both} == {tmp_path / "wheels/toy-words-1.0"}
    assert capfd.readouterr().err == "downloading toy-words==1.0\n"


def test_a_wheel_without_a_checksum_prints_the_line_to_add(index: Path, tmp_path: Path) -> None:
    checksum = build(index, dict(CONTENT))
    with pytest.raises(UserError, match=f'"toy-words==1.0": {checksum}'):
        unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums={})


def test_a_wheel_with_another_checksum_is_removed(index: Path, tmp_path: Path) -> None:
    checksum = build(index, dict(CONTENT))
    with pytest.raises(UserError, match=f"has the SHA-256 {checksum}, and the recipe's checksums say 00ff"):
        unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums={"toy-words==1.0": "00ff"})
    assert kept(tmp_path) == []


def test_an_unpacked_wheel_is_held_to_the_checksum_too(index: Path, tmp_path: Path) -> None:
    unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums={"toy-words==1.0": build(index, dict(CONTENT))})
    with pytest.raises(UserError, match="checksums say 00ff"):
        unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums={"toy-words==1.0": "00ff"})


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("toy_words/link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "member", [{"../evil.txt": ""}, {"/evil.txt": ""}, {"a\\..\\evil.txt": ""}, {"toy_words/link": link()}]
)
def test_a_wheel_that_leads_out_of_itself_is_refused(index: Path, tmp_path: Path, member: dict) -> None:
    checksums = {"toy-words==1.0": build(index, member)}
    with pytest.raises(UserError, match="leads out of it"):
        unpacked_wheel("toy-words==1.0", cache=tmp_path / "cache", checksums=checksums)
    assert list(tmp_path.rglob("evil*")) == []
    assert kept(tmp_path / "cache") == []


def test_an_unknown_version_names_those_that_exist(index: Path, tmp_path: Path) -> None:
    build(index, dict(CONTENT))
    with pytest.raises(UserError, match=r"not in the package index as a wheel: known versions are 1\.0"):
        unpacked_wheel("toy-words==2.0", cache=tmp_path, checksums={})


@pytest.mark.usefixtures("index")
def test_an_unknown_package_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in any version: check the name"):
        unpacked_wheel("toy-werds==1.0", cache=tmp_path, checksums={})


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="no package index is reached"):
        unpacked_wheel("toy-words==1.0", cache=tmp_path, checksums={})


def test_a_real_wheel_of_the_package_index(tmp_path: Path) -> None:
    try:
        folder = unpacked_wheel("six==1.17.0", cache=tmp_path, checksums={"six==1.17.0": SIX})
    except UserError as error:
        if "no package index is reached" in str(error):
            pytest.skip(str(error))
        raise
    assert (folder / "six.py").is_file()
