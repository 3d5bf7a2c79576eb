"""The processes of one stage watch each other: when one is gone, the others end too, and say which.

A launcher ends the processes of its own machine when one of them dies; nobody ends those of other machines, which may
wait in a collective for ever. So each process waits, in a thread, for a word of the next one, over a connection that
breaks when that one dies, and passes the word on to the one before it. Where a machine loses its power or its network
no connection breaks: a process of which nothing is heard for long, not even that it is alive, is gone too.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist

from pipeline.errors import FAILED, INTERRUPTED, OK

FOREVER = timedelta(days=30)
MEET_SECONDS = 1800.0  # until all have come: a cluster's queue may start one machine after the other
STOP_SECONDS = 90.0  # for a checkpoint, once another process was asked to stop
NEWS_SECONDS = 5.0  # until the word of a process that is gone has come round
ALIVE = -1  # the word of a process that works
ALIVE_SECONDS = 10.0  # between two of them
SILENT_SECONDS = 180.0  # without any; a slow disk or a long library call may keep a process from speaking for some

Tell = Callable[[int, str], None]
"""Takes the status that this process ends with and one sentence."""


class Watch:
    """This process's place in the ring; alone, it does nothing."""

    def __init__(self, tell: Tell) -> None:
        self._word: tuple[int, int] | None = None  # how a process ended, and which
        self._tell = tell
        self.alone = not dist.is_initialized() or dist.get_world_size() == 1
        if not self.alone:
            self._rank, self._world = dist.get_rank(), dist.get_world_size()
            silence = timedelta(seconds=SILENT_SECONDS)
            self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=silence))
            self._leaving = threading.Event()
            self._speaking = threading.Lock()
            for work in (self._wait, self._say_alive):
                threading.Thread(target=work, daemon=True, name=f"watch{work.__name__}").start()

    def _wait(self) -> None:
        following = (self._rank + 1) % self._world
        word = torch.tensor([ALIVE, following])
        while word[0] == ALIVE:
            try:
                dist.recv(word, src=following, group=self._group)
            except RuntimeError:  # its connection broke, or it is silent
                word = torch.tensor([FAILED, following])
        status, first = word.tolist()
        if status == OK:
            return
        self._word = (status, first)
        self._send(status, first)
        if status == INTERRUPTED:
            os.kill(os.getpid(), signal.SIGTERM)  # this one stops too, at its next safe point
            time.sleep(STOP_SECONDS)
        self._tell(status, self._sentence())
        os._exit(status)

    def _say_alive(self) -> None:
        while not self._leaving.wait(ALIVE_SECONDS):
            self._send(ALIVE, self._rank)

    def _sentence(self) -> str:
        assert self._word is not None
        status, first = self._word
        if status == INTERRUPTED:
            return f"process {first} of {self._world} was asked to stop, so this one stops; the same command goes on"
        return f"process {first} of {self._world} is gone, so the others end; the same command goes on"

    def news(self) -> tuple[int, str] | None:
        """After an error: how another process ended, and the sentence for it, if that explains the error."""
        end = time.monotonic() + NEWS_SECONDS
        while not self.alone and self._word is None and time.monotonic() < end:
            time.sleep(0.05)
        return (self._word[0], self._sentence()) if self._word else None

    def leave(self, status: int) -> None:
        """Say how this process ends, to the one that watches it."""
        if not self.alone and self._word is None:
            self._leaving.set()
            farewell = threading.Thread(target=self._send, args=(status, self._rank), daemon=True)
            farewell.start()
            farewell.join(NEWS_SECONDS)

    def _send(self, status: int, first: int) -> None:
        with self._speaking, suppress(RuntimeError):  # it is gone itself
            dist.send(torch.tensor([status, first]), dst=(self._rank - 1) % self._world, group=self._group)


@contextmanager
def meeting(world: int, tell: Tell) -> Iterator[None]:
    """While the processes find each other: a process that waits for others in vain ends."""

    def give_up() -> None:
        tell(FAILED, f"not all of {world} processes came within {MEET_SECONDS:.0f} s: is it started on every machine?")
        os._exit(FAILED)

    timer = threading.Timer(MEET_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
