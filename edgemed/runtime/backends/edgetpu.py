"""The Edge TPU's delegate: loaded into a back end, and what keeps it from computing, in plain words.

Google's library says nothing of why it opens no device; the system knows whether one is there, and is asked for it.
libedgetpu and the back end must be of one TensorFlow release: a pair that is not may end the process. `attempt` tries
one in a process of its own, which is this module as a program:

    python -m edgemed.runtime.backends.edgetpu litert libedgetpu.so.1 usb

Source: coral.ai/docs/edgetpu/tflite-python for `load_delegate` and its option.
"""

from __future__ import annotations

import ctypes
import enum
import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgemed.errors import InferenceError
from edgemed.runtime.interpreter import Delegate

__all__ = ["Presence", "attempt", "load", "main", "presence", "require_library"]

_ENTRY_POINTS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
# Before the library has given it its firmware, and after: github.com/google-coral/libedgetpu, the USB driver's ids.
_USB_IDS = (("1a6e", "089a"), ("18d1", "9302"))
_USB_DEVICES, _DEVICE_NODES = Path("/sys/bus/usb/devices"), Path("/dev")


class Presence(enum.Enum):
    """What the system says of an Edge TPU, whoever may open it."""

    THERE = "there"
    ABSENT = "absent"
    UNKNOWN = "unknown"


def presence(device: str | None, *, usb: Path = _USB_DEVICES, nodes: Path = _DEVICE_NODES) -> Presence:
    """Return whether the system has an Edge TPU on USB or PCIe; unknown where it does not tell (not Linux)."""
    if device == "pci":
        # Character devices of the kernel driver, gasket-driver's apex.
        return _present(any(nodes.glob("apex_*"))) if sys.platform == "linux" else Presence.UNKNOWN
    if not usb.is_dir():
        return Presence.UNKNOWN
    ids = {(_line(entry / "idVendor"), _line(entry / "idProduct")) for entry in usb.iterdir()}
    return _present(not ids.isdisjoint(_USB_IDS))


def require_library(delegate: Delegate) -> None:
    """Try the library without its device.

    Raises:
        InferenceError: it is absent, does not load, or is no TFLite delegate.
    """
    # Asked before the back end: it has no words for either, and its half-built delegate fails once more when collected.
    try:
        library = ctypes.CDLL(delegate.library)
    except OSError as err:
        raise InferenceError(_not_loaded(delegate.library, str(err))) from err
    missing = [name for name in _ENTRY_POINTS if not hasattr(library, name)]
    if missing:
        raise InferenceError(
            f"{delegate.library}: expected a TFLite delegate, got a library without {missing[0]}; "
            "install the Edge TPU runtime"
        )


def load(library: Any, delegate: Delegate, *, look: Callable[[str | None], Presence] = presence) -> Any:
    """Return the delegate as a back end's own value.

    Args:
        library: the back end's module, which has ``load_delegate``.
        delegate: library and device.
        look: what the system says of the device, for the message.

    Raises:
        InferenceError: the library cannot be used, or opens no device.
    """
    require_library(delegate)
    options = {} if delegate.device is None else {"device": delegate.device}
    try:
        return library.load_delegate(delegate.library, options)
    except ValueError as err:
        # "Failed to load delegate from NAME\n" and the library's reason, which Google's leaves empty.
        said = " ".join(str(err).partition("\n")[2].split())
        detail = f" ({said})" if said else ""
        advice = _advice(delegate.device, look(delegate.device))
        raise InferenceError(f"{delegate.library} opens no Edge TPU{detail}: {advice}") from err


def attempt(delegate: Delegate, *, backend: str, timeout_s: float = 30.0) -> None:
    """Load the delegate in another process, which it may take down with it.

    Raises:
        InferenceError: it does not load, opens no device, or ends or holds up the process.
    """
    words = [sys.executable, "-m", __name__, backend, delegate.library, delegate.device or ""]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as err:
        raise InferenceError(
            f"{delegate.library}: gave no answer within {timeout_s:g} s; unplug the Edge TPU and plug it in again"
        ) from err
    if done.returncode < 0:
        raise InferenceError(
            f"{delegate.library}: ended the process by signal {-done.returncode}; it and {backend} must be of one "
            "TensorFlow release: install a libedgetpu built for it"
        )
    if done.returncode:
        raise InferenceError(done.stdout.strip() or done.stderr.strip().rpartition("\n")[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Load a delegate into a back end and say on stdout what became of it; return 0 when it opened its device."""
    from edgemed.runtime import backends

    backend, library, device = sys.argv[1:] if arguments is None else arguments
    try:
        module = importlib.import_module(importlib.import_module(backends.BACKENDS[backend]).LIBRARY)
        load(module, Delegate(library=library, device=device or None))
    except InferenceError as error:
        print(error)
        return error.exit_code
    print(f"{library} opens the Edge TPU{' on ' + device if device else ''}, with {backend}")
    return 0


def _not_loaded(library: str, said: str) -> str:
    # The loader names what it did not find: the library itself, or one that it needs.
    if said.startswith(f"{library}: ") and "No such file" in said:
        return f"{library} is not installed; install the Edge TPU runtime"
    return f"{library} cannot be loaded: {said}; install the Edge TPU runtime for this machine"


def _advice(device: str | None, found: Presence) -> str:
    where = {"usb": "on USB", "pci": "on PCIe"}.get(device or "", "on this machine")
    if found is Presence.THERE:
        group = "plugdev" if device == "usb" else "apex"
        return f"one is {where}; check that this user may open it (group {group}) and that no other program holds it"
    if found is Presence.ABSENT:
        return f"there is none {where}; " + ("plug it in" if device == "usb" else "check the card and its driver, apex")
    return f"check that it is {where} and that this user may open it"


def _present(there: bool) -> Presence:
    return Presence.THERE if there else Presence.ABSENT


def _line(path: Path) -> str:
    """Return the text of a small file of the system; empty where there is none."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
