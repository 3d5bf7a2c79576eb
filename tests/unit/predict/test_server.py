"""The server of a student: its answers, what it refuses, and its page in a real browser."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import PROJECT
from pipeline.errors import UserError
from pipeline.predict.__main__ import main
from pipeline.predict.student import Student, load_student

uvicorn = pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from pipeline.predict import server  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "google-chrome"))), None)
TEXTS = ["The film is great .", "the plot was awful and the cast was dull .", "warm"]


@pytest.fixture(scope="module")
def student(shipped: Path) -> Student:
    return load_student(shipped, onnx=True)


@pytest.fixture(scope="module")
def port(student: Student) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    application = server.application(student, name="small/student")
    running = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=number, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield number
    running.should_exit = True
    thread.join()


def ask(port: int, body: Any, *, raw: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    known = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/api/predict", raw if raw is not None else json.dumps(body).encode(), known)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, json.loads(text) if text.startswith("{") else {"error": text}


def test_answers_are_those_of_the_command(port: int, shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = ask(port, {"texts": TEXTS})
    assert status == 200
    main([str(shipped), *TEXTS, "--onnx", "--jsonl"])
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for ours, theirs in zip(found["answers"], expected, strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-2)  # int8: a batch has one scale


def test_requests_at_the_same_time_each_get_their_own_answers(port: int) -> None:
    def one(number: int) -> tuple[int, list[str]]:
        status, found = ask(port, {"texts": [TEXTS[number % 2]] * (1 + number % 3)})
        return status, [answer["label"] for answer in found["answers"]]

    alone = [one(number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(6))) == alone


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, 'send {"texts": [...]} with at least one text'),
        ({"texts": "a text"}, 422, 'send {"texts": [...]}'),
        ([], 422, 'send {"texts": [...]}'),
        ({"texts": []}, 422, "at least one text"),
        ({"texts": ["fine", 3]}, 422, "texts[1] is neither a text nor a list of two texts"),
        ({"texts": ["  "]}, 422, "texts[0] is neither"),
        ({"texts": [["a", "b", "c"]]}, 422, "texts[0] is neither"),
        ({"texts": ["x"] * 65}, 422, "65 texts; a request has at most 64"),
        ({"texts": ["x" * 20_001]}, 422, "texts[0] has 20,001 characters; at most 20,000 are read"),
        ({"texts": ["\ud800"]}, 422, "half of a surrogate pair"),
    ],
)
def test_a_wrong_request_gets_one_sentence(port: int, body: Any, status: int, says: str) -> None:
    found = ask(port, body)
    assert found[0] == status
    assert says in found[1]["error"]


def test_what_is_no_json_or_too_large_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(port, None, raw=b"{")[0] == 400
    assert ask(port, None, raw=b"[" * 100_000)[0] == 400
    assert ask(port, {"texts": TEXTS}, Content_Type="text/plain")[0] == 415
    monkeypatch.setattr(server, "MOST_BYTES", 100)
    assert ask(port, {"texts": ["x" * 200]})[0] == 413


@pytest.mark.parametrize("host", ["elsewhere.example", "localhost.example:80", "[::1"])
def test_other_names_than_those_of_this_machine_are_refused(port: int, host: str) -> None:
    status, found = ask(port, {"texts": TEXTS}, Host=host)
    assert status == 400
    assert "answers requests to 127.0.0.1 or localhost only; let a proxy send the header Host: local" in found["error"]
    assert ask(port, {"texts": TEXTS}, Host="[::1]:8000")[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/api/predict", 405)])
def test_what_is_not_there_gets_one_sentence(port: int, method: str, path: str, status: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path)
    reply = connection.getresponse()
    assert reply.status == status
    takes = "this server takes GET /, GET /api/model and POST /api/predict"
    assert json.loads(reply.read()) == {"error": f"there is no {method} {path} here; {takes}"}
    connection.close()


def test_a_failure_of_the_server_is_a_sentence_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "answers", lambda *_: 1 / 0)
    assert ask(port, {"texts": TEXTS}) == (500, {"error": "the server failed at this request; its log says why"})


@pytest.mark.parametrize(
    ("architecture", "texts", "says"),
    [
        ("BertForQuestionAnswering", [["a", "b"], "a"], "finds answers in texts; give a question and a text as a pair"),
        ("BertForTokenClassification", ["a", ["a", "b"]], "tags the words of one text; give no pairs"),
    ],
)
def test_a_text_that_is_not_of_the_student_s_kind_is_named(
    student: Student, architecture: str, texts: list[Any], says: str
) -> None:
    other = replace(student, config=student.config | {"architectures": [architecture]})
    with pytest.raises(server.HTTPException) as refused:
        server._texts_of({"texts": texts}, other)
    assert refused.value.detail == f"texts[1]: this student {says}"


def test_a_student_without_answers_is_not_served(student: Student) -> None:
    embeds = replace(student, forward=lambda inputs: {"embedding": np.zeros((len(inputs["input_ids"]), 8))})
    with pytest.raises(UserError, match="the model gives embedding, which are no answers"):
        server.serve(embeds, name="an/embedder", host="no.such.host.invalid", port=0)


def test_a_request_that_the_student_refuses_leaves_the_others_alone(
    student: Student, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server.answers

    def picky(student: Student, texts: list[tuple[str, ...]]) -> list[dict[str, Any]]:
        if ("bad",) in texts:
            raise server.UserError("this text is refused")
        return whole(student, texts)

    monkeypatch.setattr(server, "answers", picky)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: ask(port, {"texts": [text]}), ["fine", "bad", "warm", "bad"]))
    assert [status for status, _ in found] == [200, 422, 200, 422]
    assert found[1][1] == {"error": "this text is refused"}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_answers_a_text_in_a_browser(port: int, tmp_path: Path) -> None:
    label = ask(port, {"texts": ["The film is great ."]})[1]["answers"][0]["label"]
    page = browsed(port, tmp_path)
    assert f"<h2>{label}</h2>" in page
    assert "small/student" in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize(
    ("found", "heading"),
    [
        ({"answer": "", "probability": 0.5}, "(none)"),
        ({"labels": [], "probabilities": {"a": 0.1}}, "(none)"),
        ({"words": [{"word": "The", "label": "O"}, {"word": "film", "label": "B-thing"}]}, "The film[B-thing]"),
    ],
)
def test_the_page_shows_an_answer_as_the_command_does(
    port: int, tmp_path: Path, found: dict[str, Any], heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answers", lambda *_: [found])
    assert f"<h2>{heading}</h2>" in browsed(port, tmp_path)


def browsed(port: int, tmp_path: Path) -> str:
    """The page in a browser, after its answer to a text."""
    assert BROWSER
    address = f"http://127.0.0.1:{port}/?text=The%20film%20is%20great%20."
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}"]
    words = [BROWSER, *quiet, "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", address]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--serve", "a text"], "--serve answers requests"), (["--serve", "--port", "70000"], "70000 is no port")],
)
def test_bad_options_are_one_sentence(
    shipped: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(shipped), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_request_of_the_largest_pairs_fits() -> None:
    text = "\U0001f600" * server.MOST_CHARACTERS
    assert len(json.dumps({"texts": [[text, text]] * server.MOST_TEXTS})) < server.MOST_BYTES


@pytest.mark.parametrize("where", [["--port", "{port}"], ["--port", "0", "--host", "no.such.host.invalid"]])
def test_a_place_that_cannot_be_had_is_one_sentence(
    port: int, shipped: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(shipped), "--serve", *(word.format(port=port) for word in where)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "; give others" in printed.err and len(printed.err.splitlines()) == 1


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    with server.listen("127.0.0.1", 0) as (listening,), socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_every_address_of_a_host_is_listened_at_under_one_port() -> None:
    families = {socket.AF_INET: "127.0.0.1"}
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        families[socket.AF_INET6] = "::1"
    with server.listen("", 0) as listening:  # the empty host has all addresses, of both families
        assert {one.family for one in listening} == families.keys()
        (port,) = {one.getsockname()[1] for one in listening}
        for address in families.values():
            socket.create_connection((address, port)).close()


def test_an_address_that_the_machine_lacks_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [("203.0.113.7", 0), ("127.0.0.1", 0), ("127.0.0.1", 0)]  # the first is of no machine: RFC 5737
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in known]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with server.listen("two.example", 0) as listening:
        assert [one.getsockname()[0] for one in listening] == ["127.0.0.1"]
    del found[1:]
    with pytest.raises(UserError, match="--host two"), server.listen("two.example", 0):
        pass


@contextmanager
def started(shipped: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command with --serve, and its port."""
    words = [sys.executable, "-m", "pipeline.predict", str(shipped), "--serve", "--port", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as running:
        try:
            assert running.stdout
            address = re.match(r"http://127\.0\.0\.1:(\d+)/ is ", running.stdout.readline())
            assert address
            yield running, int(address[1])
        finally:
            running.kill()


def begin_a_request(port: int) -> socket.socket:
    """A client that has sent half of its request."""
    lines = ["POST /api/predict HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 1000"]
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall("\r\n".join([*lines, "", '{"te']).encode())
    return client


def test_ctrl_c_ends_it_well(shipped: Path) -> None:
    with started(shipped) as (running, port):
        assert ask(port, {"texts": TEXTS})[0] == 200
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=60) == ("", "")
    assert running.returncode == 0


def test_a_client_that_goes_away_in_its_request_is_no_error(shipped: Path) -> None:
    with started(shipped) as (running, port):
        begin_a_request(port).close()
        assert ask(port, {"texts": TEXTS})[0] == 200
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=60) == ("", "")


def test_a_client_that_has_sent_half_a_request_does_not_hold_the_server(shipped: Path) -> None:
    with started(shipped) as (running, port), begin_a_request(port):
        assert ask(port, {"texts": TEXTS})[0] == 200  # so the half was read too
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "Traceback" not in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_request_of_the_page_is_answered(port: int) -> None:
    page = (PROJECT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^curl .*$", page, re.MULTILINE)
    words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
    done = subprocess.run([*words, "--fail", "--silent"], capture_output=True, text=True, check=True, timeout=60)
    (answer,) = json.loads(done.stdout)["answers"]
    assert answer["label"] in ("fresh", "rotten")
