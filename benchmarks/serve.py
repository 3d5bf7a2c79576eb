"""How many texts a second the server answers, and how long the slowest hundredth of the requests waits.

    python -m benchmarks.serve [STUDENT] [--clients 1 8 64] [--requests 500] [--json FILE]

The server runs in a process of its own on this machine (`python -m pipeline.predict STUDENT --serve`). Each client
sends one text of a list after the other, and waits for each answer.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import published
from pipeline.errors import status_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.plan.plan import make_plan

TEXTS = (
    "A quiet triumph.",
    "It never begins, and then it does not end.",
    "A warm and funny film, carried by a cast that seems to enjoy every minute of it.",
    "The plot is thin, the jokes are old, and two hours are long.",
)
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("student", nargs="?", type=Path, help="its folder (that of the default recipe)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=500, help="in all, for each number of clients")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    student = given.student or published(make_plan(DEFAULT_RECIPE, checked=False), "export_student")
    rows = measure(student, given.clients, given.requests)
    print(f"{'clients':<9}{'texts/s':>9}{'median, ms':>12}{'p99, ms':>10}")
    for row in rows:
        print(f"{row['clients']:<9}{row['texts_per_s']:>9,.0f}{row['median_ms']:>12.2f}{row['p99_ms']:>10.2f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(student: Path, clients: list[int], requests: int) -> list[dict[str, Any]]:
    """The figures of each number of clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipeline.predict", str(student), "--serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            _load(port, 1, 20)  # the first answers are slower
            return [_load(port, number, requests) for number in clients]
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the server ended with status {server.returncode}")


def _load(port: int, clients: int, requests: int) -> dict[str, Any]:
    def one(client: int) -> list[float]:
        connection, seconds = HTTPConnection("127.0.0.1", port, timeout=60), []
        for number in range(max(1, requests // clients)):
            body = json.dumps({"texts": [TEXTS[(client + number) % len(TEXTS)]]})
            begin = time.perf_counter()
            connection.request("POST", "/api/predict", body, HEADERS)
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200, reply.status
            seconds.append(time.perf_counter() - begin)
        connection.close()
        return seconds

    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = np.array([seconds for each in pool.map(one, range(clients)) for seconds in each]) * 1000
    whole = time.perf_counter() - begin
    median, p99 = (float(np.quantile(found, share)) for share in (0.5, 0.99))
    return {"clients": clients, "texts_per_s": len(found) / whole, "median_ms": median, "p99_ms": p99}


if __name__ == "__main__":
    sys.exit(status_of(main))
