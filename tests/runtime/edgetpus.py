"""An Edge TPU for tests: a real delegate, compiled from `delegate_double.c`, that is plugged in and pulled out."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from edgemed import targets
from edgemed.runtime.interpreter import Delegate
from edgemed.targets import Fallback, Target

SOURCE = Path(__file__).with_name("delegate_double.c")
ANSWER = 7
"""What every int8 output of the double is filled with."""


@dataclass(frozen=True, kw_only=True)
class EdgeTpu:
    """The library of the double, and the file that tells it what to do."""

    library: Path
    control: Path

    def plug_in(self, *, answers: int = 1 << 30) -> None:
        """Answer so many inferences, and fail then."""
        self.control.write_text(str(answers))

    def pull_out(self) -> None:
        """Fail every inference, and open no more."""
        self.control.write_text("-1")

    def install(self, folder: Path) -> dict[str, str]:
        """Put the library under its real name; return the environment in which a Linux process finds it."""
        shutil.copy(self.library, folder / "libedgetpu.so.1")
        return {"LD_LIBRARY_PATH": str(folder)}

    @property
    def delegate(self) -> Delegate:
        return Delegate(library=str(self.library), device="usb")

    def target(self, fallback: Fallback = Fallback.CPU) -> Target:
        """Return the Coral USB with this library."""
        coral = targets.load("coral-usb")
        name = str(self.library)
        delegate = msgspec.structs.replace(coral.delegate, linux=name, macos=name, windows=name)
        return msgspec.structs.replace(coral, delegate=delegate, fallback=fallback)


def built(folder: Path) -> EdgeTpu:
    """Compile the double into a folder; it is plugged in. Skips where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("the double of the delegate needs a C compiler, found none")
    tpu = EdgeTpu(library=folder / "libedgetpu-double.so", control=folder / "answers")
    tpu.plug_in()
    words = [compiler, "-shared", "-fPIC", f'-DCONTROL="{tpu.control}"', str(SOURCE), "-o", str(tpu.library)]
    subprocess.run(words, check=True, capture_output=True)
    return tpu


def runtime_is_here(library: str) -> bool:
    """Return whether this machine has a real Edge TPU runtime, for tests of its absence."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
