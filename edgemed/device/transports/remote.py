"""Commands for the edgemed on a device, as a POSIX shell takes them, and what it answers.

Rules: every word that reaches a shell is quoted; an answer is bounded, is JSON of a known shape, and is otherwise
called what it is; an error that the device words keeps its class and its words. Unknown keys of an answer are passed
over: the device may run a newer edgemed than this one.

    line = remote.command("/var/lib/edgemed", *remote.status_words("/var/lib/edgemed"))
    state = remote.status(Answer(code=0, stdout=b"{...}", stderr=b""), place="unit@10.0.0.7")
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from edgemed.device import order as orders
from edgemed.device.order import Order
from edgemed.device.transports import Active, Installed, Installing, UnansweredError
from edgemed.errors import (
    BundleError,
    ConfigError,
    DeviceError,
    EdgemedError,
    GateError,
    InstallError,
    TargetMismatchError,
)

__all__ = [
    "ANSWER_LIMIT_BYTES",
    "RUNTIME",
    "Answer",
    "Status",
    "command",
    "install_words",
    "installed",
    "is_older",
    "order",
    "receive_words",
    "require_success",
    "shell",
    "status",
    "status_words",
]

ANSWER_LIMIT_BYTES = 1 << 20
RUNTIME = "runtime"  # folder of a store that holds the environment `flash --bootstrap` made
_NOT_FOUND = (126, 127)  # POSIX shell, 2.8.2: not executable, not found
_USAGE = 2  # what a command line ends with that is none
_SHOWN = 200  # characters of an answer that a message repeats
_PREFIX = "edgemed: "

_CLASSES: dict[int, type[EdgemedError]] = {
    2: ConfigError,
    3: GateError,
    4: TargetMismatchError,
    5: BundleError,
    6: DeviceError,
    7: InstallError,
}

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a command on the device ended; ``code`` None: by a signal or a lost connection."""

    code: int | None
    stdout: bytes
    stderr: bytes


class _Bundle(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    digest: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The part of ``device status --json`` that flashing reads."""

    target: str
    runtime: str
    release_floors: dict[str, int]
    free_bytes: int
    active: _Bundle | None = None
    device: str | None = None
    opens_encrypted: bool | None = None

    def running(self) -> Active | None:
        """Return the active bundle as transports name it."""
        one = self.active
        return None if one is None else Active(name=one.name, version=one.version, digest=one.digest)


class _InstallAnswer(msgspec.Struct, frozen=True, kw_only=True):
    result: str
    bundle: _Bundle


def shell(script: str) -> str:
    """Return one command line that runs a POSIX script whatever the account's login shell is."""
    return f"exec sh -c {shlex.quote(script)}"


def command(store: str, *words: str) -> str:
    """Return the command line that runs edgemed on the device: the store's own, or else the one on PATH."""
    own = shlex.quote(f"{store}/{RUNTIME}/bin/edgemed")
    arguments = shlex.join(words)
    # A shell without a terminal reads no profile: the folder that pip --user installs into is added here.
    return shell(
        f"if [ -x {own} ]; then exec {own} {arguments}; fi; PATH=$PATH:$HOME/.local/bin; exec edgemed {arguments}"
    )


def receive_words(store: str) -> tuple[str, ...]:
    """Return the words that have one process say a store's state and then install; see `edgemed.device.receive`."""
    return ("device", "receive", "--store", store)


def order(path: str, how: Installing) -> bytes:
    """Return the line that has that process install a file that lies on the device."""
    return orders.encode(Order(path=path, tentative=how.tentative, strict_latency=how.strict_latency))


def is_older(answer: Answer) -> bool:
    """Return whether the edgemed there has no ``device receive``: it is asked in two commands then."""
    return answer.code == _USAGE and b"No such command" in answer.stderr


def status_words(store: str) -> tuple[str, ...]:
    """Return the words that ask a store for its state."""
    return ("device", "status", "--store", store, "--json")


def install_words(store: str, path: str, how: Installing) -> tuple[str, ...]:
    """Return the words that have a store install a file that lies on the device."""
    options = [] if how.tentative is None else ["--tentative", str(how.tentative)]
    options += ["--strict-latency"] if how.strict_latency else []
    return ("device", "install", path, "--store", store, *options, "--json")


def status(answer: Answer, *, place: str) -> Status:
    """Return what a store says of itself.

    Raises:
        DeviceError: no edgemed there, or an answer that is none.
        EdgemedError: the device's own refusal, of its class.
    """
    return _document(answer, Status, what="device status", place=place)


def installed(answer: Answer, *, place: str) -> Installed:
    """Return what came of an installation.

    Raises:
        DeviceError: no edgemed there.
        UnansweredError: an answer that is none.
        EdgemedError: the device's own refusal, of its class.
    """
    found = _document(answer, _InstallAnswer, what="device install", place=place, silent=UnansweredError)
    document: dict[str, Any] = msgspec.json.decode(answer.stdout)
    return Installed(result=found.result, digest=found.bundle.digest, document=document)


def _document(
    answer: Answer, kind: type[Value], *, what: str, place: str, silent: type[DeviceError] = DeviceError
) -> Value:
    require_success(answer, what=what, place=place, silent=silent)
    if len(answer.stdout) > ANSWER_LIMIT_BYTES:
        raise silent(
            f"{place}: 'edgemed {what} --json' printed more than {ANSWER_LIMIT_BYTES} bytes, expected one document"
        )
    try:
        return msgspec.json.decode(answer.stdout, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise silent(
            f"{place}: 'edgemed {what} --json' printed {_shown(answer.stdout)}, expected one JSON document: {err}; "
            "does its login shell print something, or is its edgemed another one?"
        ) from err


def require_success(answer: Answer, *, what: str, place: str, silent: type[DeviceError] = DeviceError) -> None:
    """Return when a command of edgemed has succeeded.

    Raises:
        DeviceError: no edgemed there; of class ``silent`` where it ended without words of its own.
        EdgemedError: the device's own refusal, of its class.
    """
    if answer.code == 0:
        return
    if answer.code in _NOT_FOUND:
        raise DeviceError(
            f"{place}: has no edgemed that can be run; install it with --bootstrap --wheelhouse DIR "
            "(made by 'edgemed bundle wheelhouse')"
        )
    if answer.code is None:
        raise silent(f"{place}: 'edgemed {what}' was ended before it answered; run the same command again")
    last = answer.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if not last.startswith(_PREFIX):
        raise silent(
            f"{place}: 'edgemed {what}' ended with exit code {answer.code} and {_shown(answer.stderr[-_SHOWN:])}, "
            "expected edgemed's own words; look at the device"
        )
    raise _CLASSES.get(answer.code, DeviceError)(f"{place}: {last.removeprefix(_PREFIX)}")


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip()
    return "nothing" if not text else repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
