"""Where the frames of a stream come from: a recording, a folder being filled, a camera, an address, a pipe.

source = sources.parse("/dev/video0")
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.runtime.sources.arrival import Source

__all__ = ["STDIN", "parse"]

STDIN = "-"
_DEVICE = re.compile(r"/dev/video\d+")
_STDIN_DESCRIPTOR = 0


def parse(text: str, *, raw: str | None = None, fps: float | None = None, paced: bool = False) -> Source:
    """Return the source that a word of the command line names.

    Args:
        text: a file; a folder; ``/dev/videoN``; an address of `camera.SCHEMES`; or ``-`` for raw frames on stdin.
        raw: layout of raw frames, as `raw.parse`; for ``-`` alone, and needed there.
        fps: frames a second, above 0: of a recording that says another rate or none, or to ask a camera for.
        paced: a recording is played in its own time, as if it were live.

    Raises:
        ConfigError: no such file or folder, an address of another kind, or an option that the source has no use for.
    """
    _refuse_useless(text, raw=raw, fps=fps, paced=paced)
    if text == STDIN:
        from edgemed.runtime.sources import raw as pipes

        return pipes.RawFrames(_STDIN_DESCRIPTOR, pipes.parse(raw or ""))
    if "://" in text or _DEVICE.fullmatch(text):
        from edgemed.runtime.sources import camera

        return camera.parse(text, fps=fps)
    if os.path.isdir(text):  # noqa: PTH112  # Path.is_dir raises where a path cannot be looked at
        from edgemed.runtime.sources.folder import Folder

        return Folder(Path(text))
    if not os.path.exists(text):  # noqa: PTH110
        raise ConfigError(
            f"SOURCE: {text}: expected a file, a folder, /dev/videoN, an address such as rtsp://HOST/PATH, or - for "
            "raw frames on stdin; nothing of this name exists"
        )
    from edgemed.runtime.sources.recording import Recording

    return Recording(Path(text), interval_ms=None if fps is None else 1000.0 / fps, paced=paced)


def _refuse_useless(text: str, *, raw: str | None, fps: float | None, paced: bool) -> None:
    """Refuse an option that would change nothing: who gives it expects that it does."""
    is_folder = os.path.isdir(text)  # noqa: PTH112
    is_live = text == STDIN or "://" in text or _DEVICE.fullmatch(text) is not None
    if raw is None and text == STDIN:
        raise ConfigError("--raw: raw frames on stdin need their layout; give --raw WIDTHxHEIGHT[:gray8|gray16]")
    if raw is not None and text != STDIN:
        raise ConfigError("--raw: is for raw frames on stdin (-) alone, got another source; leave it away")
    if fps is not None and (is_folder or text == STDIN):
        raise ConfigError(
            "--fps: is of no use with a folder or with stdin, whose frames have the time of their arrival"
        )
    if paced and (is_folder or is_live):
        raise ConfigError("--paced: is for recordings alone, got a folder or a live source; leave it away")
