"""edgemed onto a device that has none, offline, over an open SSH session.

The steps, each of which may be cut and is then gone on with:

1. Ask the device, with its own Python: version, architecture, venv, room, rights; take the wheelhouse that fits. Every
   refusal comes here, before the first byte is written.
2. Send the wheels that are not there yet, to ``STORE/wheelhouse``; what is there is compared by digest.
3. Make an environment of its own in ``STORE/runtimes/VERSION-DIGEST`` from these wheels alone, and try it.
4. Make it the one that runs: ``STORE/runtime`` is a link, changed by one rename. Environments before it are deleted.
5. ``edgemed device init``, unless the store is there.
6. With ``service``, the systemd unit of ``edgemed watch``, unless that edgemed has no such command or the device no
   systemd.

    kit = Kit(houses={Path("wheels"): wheelhouse.read(Path("wheels"))}, trust=[key])
    done = await bootstrap.bootstrap(session, kit, target="jetson-orin-nano", progress=progress)
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec

from edgemed import schema
from edgemed.device.flash import Progress
from edgemed.device.transports import remote
from edgemed.device.transports.remote import Answer
from edgemed.device.transports.ssh import Session
from edgemed.device.wheelhouse import House
from edgemed.errors import ConfigError, DeviceError, TargetMismatchError
from edgemed.files import sha256
from edgemed.targets import architecture

__all__ = ["Bootstrapped", "Kit", "bootstrap", "environment", "require_source", "unit"]

_GROWTH = 4  # times the wheels' size that an installed environment takes; measured: 3.1
_ASK_LIMIT_S = 300.0
_INSTALL_LIMIT_S = 3600.0  # under emulation pip takes minutes
_UNIT = "edgemed-watch.service"
_UNIT_PATH = f"/etc/systemd/system/{_UNIT}"
_OFFLINE = "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\n"
_ONLINE = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"

# Runs on the device's own Python, of whatever version: nothing newer than 3.6.
_QUESTION = """
import json, os, platform, shutil, sys
store = sys.argv[1]
place = store
while not os.path.isdir(place):
    place = os.path.dirname(place)
def has(name):
    try:
        __import__(name)
        return True
    except ImportError:
        return False
runtime = os.path.join(store, "runtime")
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "machine": platform.machine(),
    "venv": has("venv") and has("ensurepip"),
    "free_bytes": shutil.disk_usage(place).free,
    "writable": os.access(place, os.W_OK | os.X_OK),
    "place": place,
    "store": os.path.exists(os.path.join(store, "format.json")),
    "runtime": os.path.basename(os.readlink(runtime)) if os.path.islink(runtime) else None,
}))
"""
_DIGESTS = """
import hashlib, json, os, sys
folder, found = sys.argv[1], {}
for name in os.listdir(folder) if os.path.isdir(folder) else ():
    digest = hashlib.sha256()
    with open(os.path.join(folder, name), "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    found[name] = digest.hexdigest()
print(json.dumps(found))
"""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the device's Python says."""

    python: str
    machine: str
    venv: bool
    free_bytes: int
    writable: bool
    place: str
    store: bool
    runtime: str | None


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What is put onto a device.

    Attributes:
        houses: wheelhouses by their folders; a device gets the one for its Python and architecture.
        trust: public keys or a trust root, raw, that a new store shall trust; none takes the demo key.
        service: what the systemd unit shall watch, as ``edgemed watch`` names it; None for no unit.
    """

    houses: Mapping[Path, House]
    trust: Sequence[bytes] = field(default=(), repr=False)
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What came of it.

    Attributes:
        runtime: version of edgemed on the device now.
        is_new: False when this very environment was there.
        store_made: whether the store was made now.
        service: ``installed``; why not; or None when it was not asked for.
    """

    runtime: str
    is_new: bool
    store_made: bool
    service: str | None

    def __str__(self) -> str:
        said = [f"edgemed {self.runtime} {'installed' if self.is_new else 'there already'}"]
        said.append("store made" if self.store_made else "store kept")
        return ", ".join(said if self.service is None else [*said, f"service {self.service}"])


async def bootstrap(session: Session, kit: Kit, *, target: str, progress: Progress) -> Bootstrapped:
    """Put edgemed and a store onto a device, by the steps of this module.

    Args:
        session: an open connection.
        kit: what is put there.
        target: id of the device's target.
        progress: where to say how far it is.

    Raises:
        TargetMismatchError: the wheels are for another Python or architecture.
        DeviceError: no Python or no venv there, no room, no right to write, or a step failed; the environment that ran
            before runs on.
    """
    found = await _ask(session)
    folder, house = _fitting(session, kit.houses, found)  # 1
    name = environment(house)
    is_new = found.runtime != name
    if is_new:
        _require_place(session, house, found)  # 1
        await _send(session, house, folder, progress)  # 2
        progress.note(f"{session.place}: making the environment")
        await _environment(session, house, name)  # 3, 4
    made = not found.store
    if made:
        await _init(session, target, kit.trust)  # 5
    installed = None if kit.service is None else await _service(session, kit.service)  # 6
    return Bootstrapped(runtime=house.runtime, is_new=is_new, store_made=made, service=installed)


def environment(house: House) -> str:
    """Return the name of the environment that is made of exactly these wheels."""
    wheels: Mapping[str, str] = {wheel.file: wheel.sha256 for wheel in house.wheels}
    return f"{house.runtime}-{sha256(schema.encode_json(wheels)).removeprefix('sha256:')[:12]}"


def require_source(source: str) -> None:
    """Check that a unit can watch a source on the device.

    Raises:
        ConfigError: no absolute path and no address, or one below ``/tmp``.
    """
    if "://" not in source and not source.startswith("/"):
        raise ConfigError(
            "--service: expected what 'edgemed watch' is to watch there, an absolute path or an address, "
            f"got {source!r}"
        )
    if source.startswith("/tmp/"):
        raise ConfigError(f"--service: {source}: the unit has a /tmp of its own; use another folder")


def unit(store: str, user: str, source: str) -> str:
    """Return the text of the systemd unit that runs ``edgemed watch`` for a store, as an account.

    A camera adds the group that owns it, an address the network; else the unit has none.

    Raises:
        ConfigError: a value has characters that a unit file takes for its own.
    """
    require_source(source)
    text = resources.files("edgemed.device").joinpath(_UNIT).read_text("utf-8")
    for value in (store, user, source):
        # A unit file has quoting of its own; what would need it is refused rather than escaped.
        if not value.isascii() or any(char in value for char in "\"'\\ \t\n%$@"):
            raise ConfigError(f"--service: {value!r} has characters that a unit file does not take; use another one")
    camera = "SupplementaryGroups=video\n" if source.startswith("/dev/video") else ""
    if "://" in source:
        text = text.replace(_OFFLINE, _ONLINE)
    filled = {"@STORE@": store, "@USER@": user, "@SOURCE@": source, "@CAMERA@\n": camera}
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return text


async def _ask(session: Session) -> _Found:
    script = f"exec python3 -c {shlex.quote(_QUESTION)} {shlex.quote(session.store)}"
    answer = await session.run(remote.shell(script), limit_s=_ASK_LIMIT_S)
    if answer.code in (126, 127):
        raise DeviceError(f"{session.place}: has no python3; edgemed needs Python 3.10 or newer there")
    _require(session, answer, "asking its Python")
    return schema.decode_json(answer.stdout, _Found, source=f"{session.place}: python3", error=DeviceError)


def _fitting(session: Session, houses: Mapping[Path, House], found: _Found) -> tuple[Path, House]:
    """Return the wheelhouse for a device's Python and architecture, and its folder."""
    wanted = (architecture(found.machine), found.python)
    for folder, house in houses.items():
        if (house.architecture, house.python) == wanted:
            return folder, house
    offered = " and ".join(f"Python {house.python} on {house.architecture}" for house in houses.values())
    raise TargetMismatchError(
        f"{session.place}: has Python {found.python} on {wanted[0]}, the wheelhouse is for {offered}; collect another "
        f"one (edgemed bundle wheelhouse --python {found.python})"
    )


def _require_place(session: Session, house: House, found: _Found) -> None:
    """Refuse a device that cannot take it: the rest of step 1."""
    if not found.venv:
        raise DeviceError(
            f"{session.place}: its Python has no venv; install its package (Debian, Ubuntu: python3-venv) there first"
        )
    if not found.writable:
        raise DeviceError(
            f"{session.place}: {found.place} cannot be written by this user; use another account, or make "
            f"{session.store} there first and give it to this one"
        )
    needed = (1 + _GROWTH) * house.size_bytes
    if found.free_bytes < needed:
        raise DeviceError(
            f"{session.place}: {found.free_bytes} bytes are free, {needed} are needed for edgemed and what it needs; "
            "make space there"
        )


async def _send(session: Session, house: House, folder: Path, progress: Progress) -> None:
    """Step 2."""
    place = f"{session.store}/wheelhouse"
    script = f"mkdir -p {shlex.quote(place)} && exec python3 -c {shlex.quote(_DIGESTS)} {shlex.quote(place)}"
    answer = await session.run(remote.shell(script), limit_s=_INSTALL_LIMIT_S)
    _require(session, answer, "looking at the wheels there")
    there = schema.decode_json(answer.stdout, dict[str, str], source=f"{session.place}: python3", error=DeviceError)
    progress.start("sending wheels", house.size_bytes)
    for wheel in house.wheels:
        if there.get(wheel.file) == wheel.sha256:
            progress.advance(wheel.size_bytes)
        else:
            raw = (folder / wheel.file).read_bytes()
            await session.write(f"{place}/{wheel.file}", raw, advance=progress.advance)


async def _environment(session: Session, house: House, name: str) -> None:
    """Steps 3 and 4: everything is in place before the link changes."""
    store = shlex.quote(session.store)
    script = f"""
set -e
cd {store}
mkdir -p runtimes
rm -rf runtimes/{name}
python3 -m venv runtimes/{name}
runtimes/{name}/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links wheelhouse \\
    {shlex.quote(_requirement(house))}
runtimes/{name}/bin/python -c 'import ai_edge_litert.interpreter, cv2, edgemed.runtime.screener'
sync
ln -sfn runtimes/{name} runtime.new
mv -T runtime.new runtime
for old in runtimes/*; do [ "$old" = runtimes/{name} ] || rm -rf "$old"; done
rm -rf wheelhouse
"""
    _require(session, await session.run(remote.shell(script), limit_s=_INSTALL_LIMIT_S), "making the environment")


async def _init(session: Session, target: str, trust: Sequence[bytes]) -> None:
    """Step 5."""
    words = ["device", "init", "--store", session.store, "--target", target]
    for number, raw in enumerate(trust):
        path = f"{session.store}/.trust-{number}"
        await session.write(path, raw)
        words += ["--trust", path]
    answer = await session.run(remote.command(session.store, *words, "--json"), limit_s=_ASK_LIMIT_S)
    await session.run(remote.shell(f"rm -f {shlex.quote(session.store)}/.trust-*"), limit_s=_ASK_LIMIT_S)
    remote.require_success(answer, what="device init", place=session.place)


async def _service(session: Session, source: str) -> str:
    """Step 6: a unit that could not start is not installed."""
    if (await session.run("command -v systemctl", limit_s=_ASK_LIMIT_S)).code != 0:
        return "not installed: the device has no systemd"
    answer = await session.run(remote.command(session.store, "watch", "--help"), limit_s=_ASK_LIMIT_S)
    if answer.code != 0:
        return "not installed: this edgemed has no 'watch' command"
    raw = unit(session.store, await _user(session), source).encode()
    draft = f"{session.store}/{_UNIT}"
    await session.write(draft, raw)
    script = f"""
set -e
if command -v systemd-analyze > /dev/null; then systemd-analyze verify {shlex.quote(draft)}; fi
mv {shlex.quote(draft)} {_UNIT_PATH}
systemctl daemon-reload
systemctl enable --now {_UNIT}
"""
    _require(session, await session.run(remote.shell(script), limit_s=_ASK_LIMIT_S), "installing the service")
    return "installed"


async def _user(session: Session) -> str:
    answer = await session.run("id -un", limit_s=_ASK_LIMIT_S)
    _require(session, answer, "asking for the account's name")
    return answer.stdout.decode("utf-8", "replace").strip()


def _requirement(house: House) -> str:
    """Return what pip is to install: edgemed of this version with the extras that were collected."""
    extras = f"[{','.join(house.extras)}]" if house.extras else ""
    return f"edgemed{extras}=={house.runtime}"


def _require(session: Session, answer: Answer, what: str) -> None:
    if answer.code != 0:
        lines = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else "nothing"
        raise DeviceError(f"{session.place}: {what} ended with exit code {answer.code}: {said}; look at the device")
