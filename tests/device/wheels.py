"""Wheels of a few bytes, and a wheelhouse of them whose edgemed is a program of four lines."""

from __future__ import annotations

import hashlib
import platform
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgemed import schema, targets
from edgemed.device.wheelhouse import House, Wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = """
import os, sys
def main():
    words = sys.argv[1:]
    if words[:2] == ["device", "init"]:
        store = words[words.index("--store") + 1]
        trusted = [open(words[n + 1]).read() for n, word in enumerate(words) if word == "--trust"]
        open(os.path.join(store, "format.json"), "w").write(repr(trusted))
        return 0
    print("edgemed: no such command", file=sys.stderr)
    return 2
"""


def write(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    tag: str = "py3-none-any",
    needs: Sequence[str] = (),
    extras: Sequence[str] = (),
    modules: Mapping[str, str] | None = None,
    script: str | None = None,
) -> Path:
    """Write a wheel by hand: METADATA, WHEEL, RECORD, and what is asked for."""
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        *(f"Requires-Dist: {one}\n" for one in needs),
        *(f"Provides-Extra: {one}\n" for one in extras),
    ]
    contents = {
        **(modules or {f"{name}_module.py": ""}),
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **({f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {script}\n"} if script else {}),
    }
    record = "".join(f"{one},,\n" for one in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(member), text)  # a fixed time: the same wheel twice is the same bytes
    return path


def house(folder: Path, *, version: str = "0.2.0", python: str = PYTHON) -> House:
    """Write a wheelhouse for this machine."""
    modules = {
        "edgemed/__init__.py": PROGRAM,
        "edgemed/runtime/__init__.py": "",
        "edgemed/runtime/screener.py": "",
        "ai_edge_litert/__init__.py": "",
        "ai_edge_litert/interpreter.py": "",
        "cv2.py": "",
    }
    wheel = write(folder, "edgemed", version=version, modules=modules, script="edgemed:main")
    listed = Wheel(
        file=wheel.name, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(), size_bytes=wheel.stat().st_size
    )
    architecture = "aarch64" if targets.architecture(platform.machine()) == "aarch64" else "x86-64"
    found = House(architecture=architecture, python=python, runtime=version, wheels=(listed,))
    (folder / "wheelhouse.json").write_bytes(schema.encode_json(found))
    return found
