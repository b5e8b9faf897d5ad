"""A wheelhouse: every wheel that a device without a network needs to run edgemed, and a list of their digests.

Rules: pip fetches, from the index its user has configured; wheels only, nothing is built but edgemed itself; the wheels
are those of the device's architecture and Python, and complete for them: what each wheel asks for is looked up with
the device's markers, not this machine's. ``wheelhouse.json`` is written last.

    house = wheelhouse.collect(Path("wheels"), architecture="aarch64", python="3.10", wheel=Path("edgemed-...whl"))
    house = wheelhouse.read(Path("wheels"))
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.errors import ConfigError, MissingDependencyError
from edgemed.targets import Architecture, PythonVersion

__all__ = ["DOCUMENT", "House", "Wheel", "collect", "own_wheel", "read", "require_version"]

DOCUMENT = "wheelhouse.json"
_LIMIT_BYTES = 1 << 20
_METADATA_LIMIT_BYTES = 4 << 20
_ROUNDS = 5  # of asking pip for what its own markers have left out
_PIP_LIMIT_S = 1800
# Newest first. 2_34: what JetPack 6 (glibc 2.35) and Debian 12 (2.36) both run; PEP 600.
_MANYLINUX = (34, 31, 28, 27, 26, 24, 17)
_MACHINES: Mapping[str, str] = {"aarch64": "aarch64", "x86-64": "x86_64"}


class Wheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a wheelhouse."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+!-]{0,200}\.whl\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size_bytes: Annotated[int, Meta(ge=1, le=1 << 30)]


class House(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``wheelhouse.json``: for whom the wheels are, and their digests.

    Attributes:
        runtime: version of the edgemed among them.
        extras: of that edgemed, whose wheels are there too.
        wheels: sorted by name.
    """

    schema: Literal[1] = 1
    architecture: Architecture
    python: PythonVersion
    runtime: str
    wheels: Annotated[tuple[Wheel, ...], Meta(min_length=1, max_length=1000)]
    extras: tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")], ...] = ()

    @property
    def size_bytes(self) -> int:
        """Of all wheels together."""
        return sum(wheel.size_bytes for wheel in self.wheels)


@dataclass(frozen=True)
class _Asked:
    """What one wheel asks for."""

    by: str
    requirement: Any


def collect(folder: Path, *, architecture: Architecture, python: str, wheel: Path, extras: Sequence[str] = ()) -> House:
    """Fetch the wheels that an edgemed wheel needs on a device, and list them.

    Args:
        folder: where they go; wheels that lie there already are not fetched again.
        architecture: of the device.
        python: ``3.x`` of the device.
        wheel: edgemed's own.
        extras: of it, whose wheels are wanted too.

    Raises:
        ConfigError: the wheel has no such extra; pip fails (no index, no wheel for this architecture or Python); or the
            folder cannot be written.
        MissingDependencyError: ``packaging`` is not installed.
    """
    packaging = _packaging()
    version = require_version(wheel)
    _require_extras(wheel, extras)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DOCUMENT).unlink(missing_ok=True)
        for older in folder.glob("edgemed-*.whl"):
            if older.resolve() != wheel.resolve():  # pip would keep it beside the new one, or instead of it
                older.unlink()
    except OSError as err:
        raise ConfigError(f"--out: {folder}: cannot be written: {err.strerror or err}; choose another place") from err
    wanted: Sequence[str] = [str(wheel)]
    for _ in range(_ROUNDS):
        _fetch(folder, wanted, architecture, python)
        missing = list(_missing(folder, architecture, python, extras, packaging))
        if not missing:
            return _listed(folder, architecture, python, version, extras)
        wanted = [str(wheel), *(str(one.requirement) for one in missing)]
    named = ", ".join(f"{one.requirement} (for {one.by})" for one in missing)
    raise ConfigError(f"{folder}: pip leaves out {named}; add its wheel there and run the same command again")


def read(folder: Path) -> House:
    """Return what a wheelhouse holds, every wheel compared with its digest.

    Raises:
        ConfigError: no wheelhouse, or a wheel of it is missing or altered.
    """
    path = folder / DOCUMENT
    with contextlib.suppress(OSError):  # what may not be looked at, the read names
        if not path.exists():
            raise ConfigError(f"--wheelhouse: {folder}: has no {DOCUMENT}; make it with 'edgemed bundle wheelhouse'")
    raw = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError)
    house = schema.decode_json(raw, House, source=str(path))
    for wheel in house.wheels:
        where = folder / wheel.file
        try:
            found = files.sha256_file(where)
        except OSError as err:
            raise ConfigError(
                f"--wheelhouse: {where}: cannot be read: {err.strerror or err}; collect it again"
            ) from err
        if found != f"sha256:{wheel.sha256}":
            raise ConfigError(f"--wheelhouse: {where}: its bytes are not those that {DOCUMENT} names; collect it again")
    return house


def own_wheel(folder: Path) -> Path:
    """Build edgemed's wheel from the checkout that is running, and return it.

    Raises:
        ConfigError: this edgemed was installed from a wheel, or the build fails.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise ConfigError("--wheel: this edgemed runs from no checkout to build a wheel of; name its wheel file")
    _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(root))
    return max(folder.glob("edgemed-*.whl"), key=lambda path: path.stat().st_mtime_ns)


def require_version(wheel: Path) -> str:
    """Return the version of an edgemed wheel.

    Raises:
        ConfigError: the file is missing, or no wheel of edgemed.
    """
    if not wheel.is_file():
        raise ConfigError(f"--wheel: {wheel}: no such file; expected a wheel of edgemed")
    head = _metadata(wheel)
    if head["Name"] != "edgemed":
        raise ConfigError(f"--wheel: {wheel}: expected a wheel of edgemed, got one of {head['Name']}")
    return str(head["Version"])


def _require_extras(wheel: Path, extras: Sequence[str]) -> None:
    known = sorted(_metadata(wheel).get_all("Provides-Extra", ()))
    if unknown := [one for one in extras if one not in known]:
        raise ConfigError(
            f"--extra: {unknown[0]!r}: edgemed {require_version(wheel)} has no such extra"
            f"{schema.near_match(unknown[0], known)}; it has {', '.join(known) or 'none'}"
        )


def _fetch(folder: Path, wanted: Sequence[str], architecture: str, python: str) -> None:
    machine = _MACHINES[architecture]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _MANYLINUX] + [f"manylinux2014_{machine}"]
    _pip(
        "download",
        "--quiet",
        "--dest",
        str(folder),
        "--find-links",
        str(folder),
        "--only-binary",
        ":all:",
        "--implementation",
        "cp",
        "--python-version",
        python,
        *(word for name in platforms for word in ("--platform", name)),
        *wanted,
    )


def _pip(*words: str) -> None:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_PIP_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as err:
        raise ConfigError(f"pip {words[0]}: still at work after {_PIP_LIMIT_S} s; is the package index up?") from err
    if done.returncode:
        errors = [text.removeprefix("ERROR: ") for text in done.stderr.splitlines() if text.startswith("ERROR: ")]
        said = "; ".join(errors) or done.stderr.strip().rpartition("\n")[2] or "nothing"
        raise ConfigError(f"pip {words[0]}: expected every wheel for this architecture and Python, pip says: {said}")


def _missing(folder: Path, architecture: str, python: str, extras: Sequence[str], packaging: Any) -> Iterator[_Asked]:
    """Yield what a wheel asks for, by the device's markers, and no wheel there is."""
    environment = _environment(architecture, python)
    heads = [_metadata(path) for path in sorted(folder.glob("*.whl"))]
    found: dict[str, list[Any]] = {}
    for head in heads:
        version = packaging.version.Version(head["Version"])
        found.setdefault(packaging.utils.canonicalize_name(head["Name"]), []).append(version)
    for head in heads:
        chosen = ("", *extras) if head["Name"] == "edgemed" else ("",)
        for text in head.get_all("Requires-Dist", ()):
            asked = packaging.requirements.Requirement(text)
            if asked.marker is not None and not any(
                asked.marker.evaluate({**environment, "extra": extra}) for extra in chosen
            ):
                continue
            name = packaging.utils.canonicalize_name(asked.name)
            if not any(asked.specifier.contains(one, prereleases=True) for one in found.get(name, ())):
                yield _Asked(head["Name"], packaging.requirements.Requirement(f"{asked.name}{asked.specifier}"))


def _environment(architecture: str, python: str) -> dict[str, str]:
    """Return the markers of a device, as the packaging specification names them (PEP 508, environment markers)."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": _MACHINES[architecture],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def _metadata(wheel: Path) -> Any:
    """Return a wheel's METADATA, headers only."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(
                one for one in archive.namelist() if one.endswith(".dist-info/METADATA") and one.count("/") == 1
            )
            with archive.open(name) as stream:
                return BytesHeaderParser().parsebytes(stream.read(_METADATA_LIMIT_BYTES))
    except (OSError, zipfile.BadZipFile, StopIteration) as err:
        raise ConfigError(f"{wheel}: expected a wheel, got something else; delete it and collect again") from err


def _listed(folder: Path, architecture: Architecture, python: str, version: str, extras: Sequence[str]) -> House:
    wheels = tuple(
        Wheel(
            file=path.name,
            sha256=files.sha256_file(path).removeprefix("sha256:"),
            size_bytes=path.stat().st_size,
        )
        for path in sorted(folder.glob("*.whl"))
    )
    house = House(architecture=architecture, python=python, runtime=version, wheels=wheels, extras=tuple(extras))
    try:
        files.write_atomic(folder / DOCUMENT, msgspec.json.format(schema.encode_json(house)) + b"\n")
    except OSError as err:
        raise ConfigError(f"--out: {folder}: cannot be written: {err.strerror or err}; make room there") from err
    return house


def _packaging() -> Any:
    try:
        import packaging.markers
        import packaging.requirements
        import packaging.utils
        import packaging.version
    except ImportError as err:
        raise MissingDependencyError(
            "packaging: not installed; collecting wheels needs the extra 'ssh': pip install 'edgemed[ssh]'"
        ) from err
    return packaging
