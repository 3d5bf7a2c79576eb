"""A small server of one student: a JSON API and a page to try it in. `python -m pipeline.predict STUDENT --serve`.

GET  /             the page
GET  /api/model    what the student is, and the limits
POST /api/predict  {"texts": ["A quiet triumph.", ["a text", "its pair"]]} -> {"answers": [{"label": ...}, ...]}

A request that is wrong gets status 4xx and {"error": sentence}, one at which the server fails 500 and a sentence too.
Texts of requests that wait at the same time go through the model together. On a loopback address only requests that
name one are answered, so that no web page elsewhere can reach the server by a name of its own.
"""

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.errors import UserError
from pipeline.predict.answers import Texts, answer
from pipeline.predict.student import Student

MOST_TEXTS = 64  # of a request
MOST_CHARACTERS = 20_000  # of a text
# Of a request: a text may be a pair, JSON writes an emoji in 12 bytes, and something stands around the texts.
MOST_BYTES = 2 * 12 * MOST_TEXTS * MOST_CHARACTERS + 100_000
BATCH = 32  # texts through the model at once
GRACE = 3  # seconds that requests have to finish when the server ends
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TAKEN = "GET /, GET /api/model and POST /api/predict"
NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # an address that this machine lacks, such as any of IPv6
PAGE = Path(__file__).with_name("playground.html")
Waiting = tuple[list[Texts], "asyncio.Future[list[dict[str, Any]]]"]


def application(student: Student, *, name: str, host: str = LOOPBACK[0]) -> Starlette:
    """The server as an ASGI application. Args: name: of the student, for the page. host: where it will listen."""
    waiting: asyncio.Queue[Waiting] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        worker = asyncio.create_task(_answer_all(student, waiting))
        yield
        worker.cancel()

    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    async def model(_: Request) -> Response:
        labels = list((student.config.get("id2label") or {}).values())
        limits = {"most_texts": MOST_TEXTS, "most_characters": MOST_CHARACTERS}
        return JSONResponse({"name": name, "labels": labels, "takes_pairs": student.finds_spans, **limits})

    async def predict(request: Request) -> Response:
        try:
            texts = _texts_of(await _json_of(request), student)
            future: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
            await waiting.put((texts, future))
            return JSONResponse({"answers": await future})
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        except ClientDisconnect:  # nobody reads the answer
            raise HTTPException(400, "the request ended in its middle") from None
        except asyncio.CancelledError:
            raise HTTPException(503, "the server was ended") from None

    routes = [Route("/", page), Route("/api/model", model), Route("/api/predict", predict, methods=["POST"])]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(_for_this_machine)] if host in LOOPBACK else [],
        exception_handlers={HTTPException: _as_json, Exception: _failed},
    )


def _for_this_machine(app: ASGIApp) -> ASGIApp:
    """The application, where a request names this machine; else a refusal."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _name_of(Headers(scope=scope).get("host", "")) not in LOOPBACK:
            sentence = "this server answers requests to 127.0.0.1 or localhost only; let a proxy send the header"
            sentence += " Host: localhost, or start the server with --host 0.0.0.0, which lets other machines in"
            await JSONResponse({"error": sentence}, status_code=400)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return checked


def _name_of(host: str) -> str | None:
    """The name in the header Host, without the port; None where there is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # half of a pair of brackets
        return None


async def _as_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = error.detail
    if error.status_code in (404, 405):  # of Starlette, which says no more than that
        sentence = f"there is no {request.method} {request.url.path} here; this server takes {TAKEN}"
    return JSONResponse({"error": sentence}, status_code=error.status_code, headers=error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    """What the client is told; Starlette then raises the error again, for the server's log."""
    return JSONResponse({"error": "the server failed at this request; its log says why"}, status_code=500)


async def _json_of(request: Request) -> Any:
    """The body of a request. Raises HTTPException for another type, too many bytes, or no JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON, with the header Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"a request has at most {MOST_BYTES:,} bytes; send fewer texts at once")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, 'the body is not valid JSON; send {"texts": ["..."]}') from None


def _texts_of(body: Any, student: Student) -> list[Texts]:
    """The texts or pairs of a request. Raises HTTPException that says which one does not fit."""
    texts = body.get("texts") if isinstance(body, dict) else None
    if not isinstance(texts, list) or not texts:
        raise HTTPException(422, 'send {"texts": [...]} with at least one text, or pair of texts')
    if len(texts) > MOST_TEXTS:
        raise HTTPException(422, f"{len(texts)} texts; a request has at most {MOST_TEXTS}")
    found: list[Texts] = []
    for number, item in enumerate(texts):
        parts = item if isinstance(item, list) else [item]
        if not (1 <= len(parts) <= 2 and all(isinstance(part, str) and part.strip() for part in parts)):
            raise HTTPException(422, f"texts[{number}] is neither a text nor a list of two texts, none of them empty")
        longest = max(map(len, parts))
        if longest > MOST_CHARACTERS:
            raise HTTPException(
                422, f"texts[{number}] has {longest:,} characters; at most {MOST_CHARACTERS:,} are read"
            )
        if not "".join(parts).isascii() and any("\ud800" <= character <= "\udfff" for character in "".join(parts)):
            raise HTTPException(422, f"texts[{number}] holds half of a surrogate pair, which is no character")
        try:
            student.check(tuple(parts))
        except UserError as error:
            raise HTTPException(422, f"texts[{number}]: {error}") from None
        found.append(tuple(parts))
    return found


async def _answer_all(student: Student, waiting: "asyncio.Queue[Waiting]") -> None:
    """Answer what waits, as long as the server runs: requests that wait at the same time share a batch."""
    while True:
        taken = [await waiting.get()]
        while not waiting.empty() and sum(len(texts) for texts, _ in taken) < BATCH:
            taken.append(waiting.get_nowait())
        try:
            found = await asyncio.to_thread(answers, student, [one for texts, _ in taken for one in texts])
            for texts, future in taken:
                own, found = found[: len(texts)], found[len(texts) :]
                _settle(future, own)
        except Exception:  # one request's fault is not another's
            for texts, future in taken:
                try:
                    _settle(future, await asyncio.to_thread(answers, student, texts))
                except Exception as error:  # the request itself raises it again
                    _settle(future, error)


def _settle(future: "asyncio.Future[Any]", outcome: Any) -> None:
    if future.done():  # the client is gone
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def answers(student: Student, texts: Sequence[Texts]) -> list[dict[str, Any]]:
    """The answer to each text or pair. Texts of similar length go through the model together."""
    order = sorted(range(len(texts)), key=lambda number: sum(map(len, texts[number])))
    found: list[dict[str, Any]] = [{} for _ in texts]
    for start in range(0, len(order), BATCH):
        numbers = order[start : start + BATCH]
        batch = [texts[number] for number in numbers]
        for number, reading in zip(numbers, student.read(batch), strict=True):
            found[number] = answer(reading, texts[number], student.config)
    return found


def serve(student: Student, *, name: str, host: str, port: int) -> None:
    """Serve until Ctrl-C. Args: port: 0: a free one.

    Raises: UserError for a host or a port that cannot be had, or a student that gives no answers.
    """
    import uvicorn  # noqa: PLC0415 (the application needs none: a test calls it directly)

    answers(student, [("a question", "a text") if student.finds_spans else ("a text",)])

    with listen(host, port) as listening, suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening[0].getsockname()[1]}/ is {name}; Ctrl-C ends it", flush=True)
        server = application(student, name=name, host=host)
        settings = uvicorn.Config(server, log_level="warning", timeout_graceful_shutdown=GRACE)
        uvicorn.Server(settings).run(sockets=listening)


@contextmanager
def listen(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets that listen, one for each address of the host that this machine has; all at one port.

    Those they accept send what they are given at once. Raises: UserError where none can be had.
    """
    with ExitStack() as opened:
        listening: list[socket.socket] = []
        absent = None
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                try:
                    one = socket.create_server((address[0], port, *address[2:]), family=family)
                except OSError as error:
                    if error.errno not in NOT_HERE:
                        raise
                    absent = error
                    continue
                listening.append(opened.enter_context(one))
                port = one.getsockname()[1]
                # An answer is two small writes, headers and body: with Nagle's algorithm (RFC 896) the second would
                # wait 40 ms for the client's delayed acknowledgement. asyncio turns it off only on its own sockets.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if absent and not listening:
                raise absent
        except (OSError, OverflowError) as error:
            raise UserError(f"--host {host} --port {port}: {error}; give others") from None
        yield listening
