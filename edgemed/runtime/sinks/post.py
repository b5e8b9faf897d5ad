"""One POST to one address, with the standard library alone, and what its answer means.

poster = Poster(address, timeout_s=5.0, ca=None, name="https://alerts.example.org/hook")
answer = poster.post(b"{}", key="00000000000000000001-5f1c...")
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    import http.client
    import ssl

__all__ = ["Address", "Answer", "Poster", "Verdict"]

_PATIENCE = (408, 429)


@dataclass(frozen=True, kw_only=True)
class Address:
    """An http or https address, its path with the query."""

    secure: bool
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{'https' if self.secure else 'http'}://{host}{port}{self.path}"


class Verdict(enum.Enum):
    """What to do with a document after an attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an attempt ended, and why in words."""

    verdict: Verdict
    words: str = ""


class Poster:
    """Posts documents to an address; each over a connection of its own."""

    def __init__(self, address: Address, *, timeout_s: float, ca: Path | None, name: str) -> None:
        """Read the certificates, once.

        Raises:
            ConfigError: ``ca`` holds none.
        """
        self._address, self._timeout_s = address, timeout_s
        self._context = _context(ca, name) if address.secure else None

    def post(self, raw: bytes, *, key: str) -> Answer:
        """Post one document; every way in which that can fail is an answer."""
        import http.client

        connection = self._connection()
        try:
            connection.request(
                "POST",
                self._address.path,
                body=raw,
                headers={"Content-Type": "application/json", "User-Agent": "edgemed", "Idempotency-Key": key},
            )
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as err:
            return Answer(verdict=Verdict.LATER, words=f"cannot be reached: {_reason(err)}")
        finally:
            connection.close()
        return judged(status)

    def _connection(self) -> http.client.HTTPConnection:
        import http.client

        at, timeout_s = self._address, self._timeout_s
        if self._context is None:
            return http.client.HTTPConnection(at.host, at.port, timeout=timeout_s)
        return http.client.HTTPSConnection(at.host, at.port, timeout=timeout_s, context=self._context)


def judged(status: int) -> Answer:
    """Return what a status code means for a document."""
    if 200 <= status < 300:
        return Answer(verdict=Verdict.ACCEPTED)
    if 300 <= status < 400:
        return Answer(verdict=Verdict.REFUSED, words=f"answered {status}: redirects are not followed")
    if 400 <= status < 500 and status not in _PATIENCE:
        return Answer(verdict=Verdict.REFUSED, words=f"answered {status}: refused for good")
    return Answer(verdict=Verdict.LATER, words=f"answered {status}")


def _context(ca: Path | None, name: str) -> ssl.SSLContext:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as err:
        raise ConfigError(
            f"sink {name!r}: {ca}: expected certificates in PEM form: {err.strerror or err}; check the file"
        ) from err


def _reason(err: Exception) -> str:
    words = str(getattr(err, "strerror", None) or err)
    return words or type(err).__name__
