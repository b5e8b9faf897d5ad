"""The text of a sink: what is taken, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.errors import ConfigError
from edgemed.runtime import sinks
from edgemed.runtime.sinks.command import CommandSettings
from edgemed.runtime.sinks.file import FileSettings
from edgemed.runtime.sinks.gpio import GpioSettings
from edgemed.runtime.sinks.post import Address
from edgemed.runtime.sinks.stdout import StdoutSettings
from edgemed.runtime.sinks.webhook import WebhookSettings

HOOK = Address(secure=True, host="alerts.example.org", port=None, path="/hook?unit=3")
LOCAL = Address(secure=False, host="::1", port=8080, path="/")

TAKEN = {
    "stdout": ("stdout", False, StdoutSettings()),
    "stdout of frames": ("stdout,frames", True, StdoutSettings()),
    "file": ("file:a,b:c.jsonl", False, FileSettings(path=Path("a,b:c.jsonl"))),
    "file with options": (
        "file,sync=never,max_mib=2,keep=0,frames:/x",
        True,
        FileSettings(path=Path("/x"), synced=False, limit_bytes=2 << 20, keep=0),
    ),
    "program": ("command:/bin/true", False, CommandSettings(words=("/bin/true",))),
    "program with arguments": (
        'command,timeout=3:["notify", "a b", "$HOME; x"]',
        False,
        CommandSettings(words=("notify", "a b", "$HOME; x"), timeout_s=3.0),
    ),
    "https": (
        "https,ca=c.pem://alerts.example.org/hook?unit=3",
        False,
        WebhookSettings(address=HOOK, ca=Path("c.pem")),
    ),
    "http to this machine": (
        "http,queue=/q,queued=7,timeout=1://[::1]:8080",
        False,
        WebhookSettings(address=LOCAL, queue=Path("/q"), queued=7, timeout_s=1.0),
    ),
    "gpio": ("gpio:gpiochip0:17", False, GpioSettings(chip=Path("/dev/gpiochip0"), line=17)),
    "gpio by path": (
        "gpio,active=low:/dev/gpiochip1:0",
        False,
        GpioSettings(chip=Path("/dev/gpiochip1"), line=0, active_low=True),
    ),
}


@pytest.mark.parametrize(("text", "frames", "settings"), TAKEN.values(), ids=TAKEN)
def test_text_is_taken(text: str, frames: bool, settings: object) -> None:
    spec = sinks.parse(text)
    assert (spec.frames, spec.settings) == (frames, settings)


REFUSED = {
    "unknown kind": (
        "files:x",
        "sink 'files:x': expected stdout, file:PATH, command:PROGRAM, http://HOST/PATH, https://HOST/PATH or "
        "gpio:CHIP:LINE; did you mean 'file'?",
    ),
    "unknown option": (
        "file,synk=each:x",
        "sink 'file,synk=each:x': synk: unknown option, expected one of frames, keep, max_mib, sync; "
        "did you mean 'sync'?",
    ),
    "option twice": ("file,keep=1,keep=2:x", "sink 'file,keep=1,keep=2:x': keep: given more than once; give it once"),
    "flag with a value": ("file,frames=no:x", "sink 'file,frames=no:x': frames: expected no value, got 'no'"),
    "option without a value": ("file,keep:x", "sink 'file,keep:x': keep: expected a value, got ''"),
    "no choice": ("file,sync=often:x", "sink 'file,sync=often:x': sync: expected each or never, got 'often'"),
    "no number": ("file,keep=few:x", "sink 'file,keep=few:x': keep: expected a number from 0 to 99, got 'few'"),
    "number out of range": (
        "command,timeout=0:x",
        "sink 'command,timeout=0:x': timeout: expected a number from 0.01 to 3600, got '0'",
    ),
    "half a number": ("file,keep=1.5:x", "sink 'file,keep=1.5:x': keep: expected a whole number, got '1.5'"),
    "stdout to somewhere": ("stdout:x", "sink 'stdout:x': expected nothing behind stdout, got 'x'"),
    "file without a path": ("file:", "sink 'file:': expected file:PATH, got no path"),
    "no program": ("command:", 'sink \'command:\': expected command:PROGRAM or command:["PROGRAM", "ARGUMENT"]'),
    "empty list": ("command:[]", 'sink \'command:[]\': expected command:PROGRAM or command:["PROGRAM", "ARGUMENT"]'),
    "no list": (
        "command:[1]",
        "sink 'command:[1]': expected a JSON list of texts behind command: Expected `str`, got `int` - at `$[0]`",
    ),
    "http to others": (
        "http://alerts.example.org/hook",
        "sink 'http://alerts.example.org/hook': http sends in the clear, and 'alerts.example.org' is not this machine; "
        "use https://, or say http,clear://",
    ),
    "no host": ("https:///x", "sink 'https:///x': expected https://HOST/PATH, in ASCII and without spaces"),
    "password": (
        "https://me:secret@host/x?token=1",
        "sink 'https://host/x': expected an address without user, password and fragment",
    ),
    "gpio without a line": (
        "gpio:gpiochip0",
        "sink 'gpio:gpiochip0': expected gpio:CHIP:LINE, as in gpio:gpiochip0:17",
    ),
    "gpio with a name": ("gpio:chip:led", "sink 'gpio:chip:led': expected gpio:CHIP:LINE, as in gpio:gpiochip0:17"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        sinks.parse(text)
    assert str(refusal.value) == message


def test_http_may_leave_this_machine_when_that_is_said() -> None:
    assert isinstance(sinks.parse("http,clear://ward.example.org/x").settings, WebhookSettings)


def test_name_of_a_sink_holds_no_query() -> None:
    assert sinks.parse("https://host/x?token=1").name == "https://host/x"
