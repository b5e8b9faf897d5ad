"""The text of a sink as a value: kind, options, and what the kind needs to know.

spec = parse("file,sync=never:/var/log/alerts.jsonl")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgemed.errors import ConfigError
from edgemed.runtime.sinks import command, file, gpio, stdout, webhook
from edgemed.runtime.sinks.delivery import Settings
from edgemed.runtime.sinks.options import Options
from edgemed.schema import near_match

__all__ = ["SinkSpec", "parse"]

_Reader = Callable[[str, Options], Settings]
_KINDS: Mapping[str, _Reader] = {
    "stdout": stdout.read,
    "file": file.read,
    "command": command.read,
    "http": webhook.read_clear,
    "https": webhook.read_secure,
    "gpio": gpio.read,
}
_SECRET = re.compile(r"(?<=//)[^/?#]*@|[?#].*")
_EXPECTED = "stdout, file:PATH, command:PROGRAM, http://HOST/PATH, https://HOST/PATH or gpio:CHIP:LINE"


@dataclass(frozen=True, kw_only=True)
class SinkSpec:
    """A sink as it was asked for.

    Attributes:
        name: for sentences and counts: the text, of an address without user and query, which may hold secrets.
        frames: whether it gets every decided frame, or the changes of state alone.
        settings: what its kind needs to know.
    """

    name: str
    frames: bool
    settings: Settings


def parse(text: str) -> SinkSpec:
    """Return a sink that a line of text asks for; nothing is opened.

    Raises:
        ConfigError: no kind, an unknown one, an unknown option, or a value that cannot be.
    """
    head, colon, rest = text.partition(":")
    kind, *given = head.split(",")
    if kind not in _KINDS:
        raise ConfigError(f"sink {text!r}: expected {_EXPECTED}{near_match(kind, list(_KINDS))}")
    name = _SECRET.sub("", text) if kind in ("http", "https") else text
    options = Options.of(given, sink=name)
    frames = options.flag("frames")
    # "stdout" has no colon, and means the same as "stdout:".
    settings = _KINDS[kind](rest if colon else "", options)
    options.require_none_left()
    return SinkSpec(name=name, frames=frames, settings=settings)
