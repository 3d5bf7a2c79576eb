"""A Hugging Face hub on 127.0.0.1 that serves folders: enough of its interface to resolve, list, download and publish.

    with serve({"owner/tiny": folder}, {"owner/rows": folder}) as address, talking_to(address, home=tmp_path):
        ...  # huggingface_hub asks this one, and keeps what it gets below `home`

Each repository has one commit, known as `main` and by its hash. With `uploads`, a folder, models and datasets can be
published by whoever has the TOKEN, to the names below `owner/`; they land in it, and are served.
"""

import base64
import hashlib
import io
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

API = re.compile(r"/api/(models|datasets)/(.+?)(?:/(revision|tree)/([^/]+))?")
PUBLISH = re.compile(r"/api/(models|datasets)/(.+?)/(preupload|commit)/main")
TOKEN = "hf_writer"
RESOLVE = re.compile(r"(/datasets)?/(.+?)/resolve/([^/]+)/(.+)")


@contextmanager
def serve(
    models: Mapping[str, Path], datasets: Mapping[str, Path] | None = None, *, uploads: Path | None = None
) -> Iterator[str]:
    """Serves until the block ends; gives the address."""
    with _serving(_handler({"models": dict(models), "datasets": dict(datasets or {})}, uploads)) as address:
        yield address


@contextmanager
def serve_always(status: int, content: bytes = b"{}", **headers: str) -> Iterator[str]:
    """Serves one answer, whatever is asked for: a hub that refuses, or a page that stands in its place."""

    class Handler(_handler({}, None)):
        def _response(self) -> tuple[int, bytes, dict[str, str]]:
            return status, content, {name.replace("_", "-"): value for name, value in headers.items()}

    with _serving(Handler) as address:
        yield address


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def talking_to(address: str, *, home: Path, token: str = "") -> Iterator[None]:
    """Lets this process take a hub for the real one; elsewhere HF_ENDPOINT, HF_HOME and HF_TOKEN do, read at import."""
    with pytest.MonkeyPatch.context() as patch:
        there = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + there)
        patch.setattr(constants, "ENDPOINT", address)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setenv("HF_TOKEN", token)
        disable_progress_bars()
        yield
        enable_progress_bars()


def answer_of(
    main: Callable[[list[str]], int], *words: str | Path, address: str, home: Path, token: str = ""
) -> subprocess.CompletedProcess[str]:
    """What a command says that talks to a hub, as `subprocess.run` would give it, without the process."""
    arguments, out, err = [str(word) for word in words], io.StringIO(), io.StringIO()
    with talking_to(address, home=home, token=token), redirect_stdout(out), redirect_stderr(err):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def commit_of(folder: Path) -> str:
    """The commit hash of a served folder: it changes with its content."""
    content = hashlib.sha1()
    for path in _files(folder):
        content.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return content.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _handler(repositories: Mapping[str, dict[str, Path]], uploads: Path | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(*self._response(), body=False)

        def do_GET(self) -> None:
            if urlparse(self.path).path == "/api/whoami-v2":
                self._answer(
                    *(_json({"name": "owner"}) if self._may_write() else _error(401, "Unauthorized")), body=True
                )
            else:
                self._answer(*self._response(), body=True)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(*self._published(body), body=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _may_write(self) -> bool:
            return uploads is not None and self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def _published(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            path = unquote(urlparse(self.path).path)
            if path == "/api/validate-yaml":
                return _json({"errors": [], "warnings": []})
            if uploads is None or not self._may_write():
                return _error(401, "Unauthorized")
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                if asked["organization"] != "owner":
                    return _error(403, "Forbidden")
                (uploads / name).mkdir(parents=True, exist_ok=True)
                repositories[f"{asked.get('type') or 'model'}s"][name] = uploads / name
                return _json({"url": f"http://{self.headers['Host']}/{name}"})
            match = PUBLISH.fullmatch(path)
            assert match, path
            kind, name, action = match.groups()
            return _preupload(body) if action == "preupload" else self._commit(kind, name, body)

        def _commit(self, kind: str, name: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            folder = repositories[kind][name]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    place = folder / line["value"]["path"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(base64.b64decode(line["value"]["content"]))
            commit = commit_of(folder)
            prefix = "datasets/" if kind == "datasets" else ""
            address = f"http://{self.headers['Host']}/{prefix}{name}/commit/{commit}"
            return _json({"commitUrl": address, "commitOid": commit, "hookOutput": ""})

        def _response(self) -> tuple[int, bytes, dict[str, str]]:
            path = unquote(urlparse(self.path).path)
            if match := API.fullmatch(path):
                kind, name, action, revision = match.groups()
                file = None
            elif match := RESOLVE.fullmatch(path):
                kind, action = "datasets" if match[1] else "models", "resolve"
                name, revision, file = match[2], match[3], match[4]
            else:
                return _error(404, "EntryNotFound")
            folder = repositories[kind].get(name)
            if folder is None:
                return _error(401, "RepoNotFound")
            commit = commit_of(folder)
            if revision not in (None, "main", commit):
                return _error(404, "RevisionNotFound")
            if file is not None:
                return _file(folder / file, commit)
            names = [path.relative_to(folder).as_posix() for path in _files(folder)]
            if action == "tree":
                return _json([_entry(folder / name, name) for name in names])
            siblings = [{"rfilename": name} for name in names]
            return _json(
                {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
            )

        def _answer(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler


def _preupload(body: bytes) -> tuple[int, bytes, dict[str, str]]:
    names = [file["path"] for file in json.loads(body)["files"]]
    return _json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})


def _json(content: object) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(content).encode(), {"Content-Type": "application/json"}


def _error(status: int, code: str) -> tuple[int, bytes, dict[str, str]]:
    return status, b"{}", {"X-Error-Code": code, "Content-Type": "application/json"}


def _entry(path: Path, name: str) -> dict[str, object]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": _etag(path)}


def _file(path: Path, commit: str) -> tuple[int, bytes, dict[str, str]]:
    if not path.is_file():
        return _error(404, "EntryNotFound")
    return 200, path.read_bytes(), {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": commit}


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
