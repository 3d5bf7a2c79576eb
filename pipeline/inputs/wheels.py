"""Wheels as data files: downloaded without their dependencies, checked, unpacked into a cache, never installed."""

import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from filelock import FileLock

from pipeline.artifacts.atomic import checksum
from pipeline.artifacts.locks import locks_needed
from pipeline.errors import UserError

REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MARKER = ".sha256"
UNFINISHED = ".download-"
LOCK = ".lock"  # of the folder of wheels: one process at a time brings one


def unpacked_wheel(requirement: str, *, cache: Path, checksums: Mapping[str, str]) -> Path:
    """The folder with a wheel's files; downloads and unpacks it the first time only.

    Args:
        requirement: NAME==VERSION.
        cache: where wheels are kept, each in `wheels/NAME-VERSION`.
        checksums: SHA-256 of the wheels by NAME==VERSION.
    Raises: UserError where the wheel has no checksum, another one, or cannot be had, and where the cache has no locks.
    """
    if not REQUIREMENT.fullmatch(requirement):
        raise UserError(f"wheel:{requirement} names no version: write wheel:NAME==VERSION#PATH/IN/WHEEL")
    folder = cache / "wheels" / requirement.replace("==", "-")
    marker = folder / MARKER
    if not marker.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locks_needed(folder.parent), FileLock(folder.parent / LOCK):
            if not marker.is_file():  # else the process that held the lock brought it
                _bring(requirement, folder, checksums)
    _check(requirement, marker.read_text("utf-8").strip(), checksums, f"; to download it again, remove {folder}")
    return folder


def _bring(requirement: str, folder: Path, checksums: Mapping[str, str]) -> None:
    """Download, check and unpack a wheel; under the lock, so that what lies half-done there is of a killed process."""
    for left in folder.parent.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=UNFINISHED) as temporary:
        wheel = _download(requirement, Path(temporary))
        found = checksum(wheel)
        _check(requirement, found, checksums, "; the download was removed")
        content = Path(temporary) / "content"
        _unpack(wheel, content)
        (content / MARKER).write_text(found + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # what lies there has lost its marker
        content.rename(folder)


def _check(requirement: str, found: str, checksums: Mapping[str, str], remedy: str) -> None:
    pinned = checksums.get(requirement)
    if pinned is None:
        raise UserError(
            f"{requirement} has no SHA-256 in the recipe: if you trust the index, add under `checksums:` the line "
            f'"{requirement}": {found}'
        )
    if pinned.lower() != found:
        raise UserError(f"{requirement} has the SHA-256 {found}, and the recipe's checksums say {pinned}{remedy}")


def _download(requirement: str, folder: Path) -> Path:
    """Has pip bring the wheel for one fixed platform, so that every machine gets the same file."""
    print(f"downloading {requirement}", file=sys.stderr, flush=True)
    options = ["--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311"]
    options += [f"--platform={platform}" for platform in PLATFORMS]
    options += ["--quiet", "--retries=2", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", requirement]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise UserError(_why_not(requirement, pip.stderr))


def _why_not(requirement: str, stderr: str) -> str:
    if "No module named pip" in stderr:
        return f"{requirement} cannot be downloaded without pip: run `{sys.executable} -m ensurepip`"
    versions = re.search(r"from versions: ([^)]*)\)", stderr)
    if versions and versions[1] != "none":
        return f"{requirement} is not in the package index as a wheel: known versions are {versions[1]}"
    if re.search(r"Retrying|Connection|Timeout|timed out|SSLError|ProxyError", stderr):
        return f"{requirement} cannot be downloaded: no package index is reached; check the network or pip's index-url"
    if versions:
        return f"{requirement} is not in the package index as a wheel, in any version: check the name"
    lines = stderr.strip().splitlines() or ["no wheel came"]
    return f"{requirement} cannot be downloaded: pip says {lines[-1].removeprefix('ERROR: ')}"


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            escapes = name.is_absolute() or ".." in name.parts or "\\" in member.filename
            if escapes or stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{wheel.name} holds '{member.filename}', which leads out of it: do not use this wheel")
        archive.extractall(folder)
