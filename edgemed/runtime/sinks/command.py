"""The sink ``command:PROGRAM``: a program that is started for each document, with the document on its stdin.

``command:/usr/local/bin/notify`` is one program without arguments; ``command:["notify", "--level", "alert"]`` a JSON
list of the program and its arguments. No shell reads any of it, and nothing of a document is ever an argument.

Rules: the program is found once, when the sink is opened; it begins a session of its own, so that what it started can
be ended with it; after ``timeout`` seconds (default 10) all of these are killed. What it prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgemed.errors import ConfigError
from edgemed.runtime.sinks.delivery import Channel, Surroundings
from edgemed.runtime.sinks.options import Options
from edgemed.runtime.worker import DeliveryError, Worker

__all__ = ["Command", "CommandSettings", "read"]


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """What to start: program and arguments, and the seconds it may take."""

    words: tuple[str, ...]
    timeout_s: float = 10.0

    def open(self, name: str, surroundings: Surroundings) -> Channel:
        """Return the sink.

        Raises:
            ConfigError: there is no such program.
        """
        program = shutil.which(self.words[0])
        if program is None:
            raise ConfigError(
                f"sink {name!r}: {self.words[0]!r}: no such program, or it may not be executed; give its path, and "
                'arguments as a JSON list: command:["PROGRAM", "ARGUMENT"]'
            )
        # Absolute: what runs does not change with the folder or the search path.
        sink = Command([os.path.abspath(program), *self.words[1:]], timeout_s=self.timeout_s)  # noqa: PTH100
        return Worker(sink, name=name, tell=surroundings.tell, waiting=surroundings.waiting)


def read(rest: str, options: Options) -> CommandSettings:
    """Return the settings of the text behind the colon.

    Raises:
        ConfigError: there is no program, no list of texts, or an option is wrong.
    """
    words = (rest,) if rest[:1] != "[" else _listed(rest, options)
    if not words or not words[0] or any("\0" in word for word in words):
        raise ConfigError(f'sink {options.sink!r}: expected command:PROGRAM or command:["PROGRAM", "ARGUMENT"]')
    return CommandSettings(words=words, timeout_s=options.number("timeout", 10.0, low=0.01, high=3600))


def _listed(rest: str, options: Options) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(rest, type=tuple[str, ...])
    except msgspec.DecodeError as err:
        raise ConfigError(f"sink {options.sink!r}: expected a JSON list of texts behind command: {err}") from err


class Command:
    """Starts a program for each document."""

    def __init__(self, words: Sequence[str], *, timeout_s: float) -> None:
        self._words, self._timeout_s = tuple(words), timeout_s
        self._running: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._aborted = False

    def deliver(self, line: bytes) -> None:
        """Start the program, give it the document, and wait for its end.

        Raises:
            DeliveryError: it cannot be started, takes too long, or ends with another code than 0.
        """
        child = self._started()
        try:
            child.communicate(line + b"\n", timeout=self._timeout_s)
        except subprocess.TimeoutExpired as err:
            raise DeliveryError(f"took longer than {self._timeout_s:g} s and was killed") from err
        finally:
            with self._guard:
                self._running = None
            if child.returncode is None:
                _kill(child)
        if child.returncode:
            raise DeliveryError(_ending(child.returncode))

    def settle(self) -> None:
        """Do nothing: each program has ended."""

    def abort(self) -> None:
        """Kill the program that runs, with all it has started, and start no other."""
        with self._guard:
            self._aborted = True
            if self._running is not None:
                _signal(self._running)

    def close(self) -> None:
        """Do nothing: each program has ended."""

    def _started(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._aborted:
                raise DeliveryError("was not started: closing")
            try:
                self._running = subprocess.Popen(
                    self._words, stdin=subprocess.PIPE, stdout=2, start_new_session=True, close_fds=True
                )
            except OSError as err:
                raise DeliveryError(f"cannot be started: {err.strerror or err}") from err
            return self._running


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a program with all it has started, and take its end off the kernel."""
    _signal(child)
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    child.wait()


def _signal(child: subprocess.Popen[bytes]) -> None:
    # Its group, which is its own: `start_new_session`. It still has its id, for nobody has waited for it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with code {code}, expected 0"
