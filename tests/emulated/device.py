"""The proof on an emulated aarch64 device: provision it offline, flash it, and hold its answers against this machine's.

    python tests/emulated/device.py collect WHEELHOUSE
    unshare --mount python tests/emulated/device.py prove ROOT WHEELHOUSE

The first downloads what the device needs, unless it is there. ROOT is what `make_root` made. The proof runs as root, in
a mount namespace of its own; everything on the device happens over its own sshd. It prints one JSON document; exit 0
when all of it holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgemed import schema, shipped
from edgemed.bundle import archive, keys, trust
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.runtime import golden

ROOT_OF_CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_OF_CHECKOUT))

from tests.device import sshd  # noqa: E402 - the checkout is not on the path before

TARGET, PYTHON = "generic-aarch64", "3.11"  # Debian 12's
STORE = "/var/lib/edgemed"
# XNNPACK picks its kernels after the processor, and only where it can read /sys. Measured on the shipped chest bundle's
# golden vectors: a Cortex-A76 (a Raspberry Pi 5's) with /sys 0 LSB away, which is what the bundle states; without /sys
# 1 LSB; qemu's own choice, with every extension there is, 133 LSB. The health check refuses the last two.
CPU = "cortex-a76"


def main() -> int:
    verb, *paths = sys.argv[1:]
    if verb == "collect":
        _collect(Path(paths[0]))
        return 0
    root, house = map(Path, paths)
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, _device(root) as (port, identity, known_hosts):
        proof = Proof(Path(name), root, house, port=port, identity=identity, known_hosts=known_hosts)
        for step in (
            proof.provision,
            proof.flash_both,
            proof.health,
            proof.same_answers,
            proof.screen,
            proof.wrong_vectors_go_back,
            proof.rollback,
        ):
            began = time.monotonic()
            report[step.__name__] = {**step(), "seconds": round(time.monotonic() - began, 1)}
            print(f"{step.__name__}: {report[step.__name__]}", file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))
    return 0


class Proof:
    """The steps, in order; each raises where something does not hold."""

    def __init__(self, work: Path, root: Path, house: Path, *, port: int, identity: Path, known_hosts: Path) -> None:
        self.work, self.root, self.house = work, root, house
        self.to = f"ssh://root@{sshd.HOST}:{port}{STORE}"
        self.way = ["--known-hosts", str(known_hosts), "--identity", str(identity)]
        self.ssh = ["ssh", "-o", f"UserKnownHostsFile={known_hosts}", "-i", str(identity), "-p", str(port)]
        self.key = keys.generate()

    def provision(self) -> dict[str, Any]:
        """Install the wheels there without a network, make the store."""
        demo, mine = self.work / "demo.pub", self.work / "mine.pub"
        demo.write_bytes(keys.encode_public(shipped.demo_key()))
        mine.write_bytes(keys.encode_public(self.key.public))
        said = self._flash(
            "chest-xray",
            *(
                "--bootstrap",
                "--wheelhouse",
                str(self.house),
                "--trust",
                str(demo),
                "--trust",
                str(mine),
                "--service",
                "/srv/images",
            ),
        )
        _require(said["result"] == "installed", said)
        return {"wheels": len(list(self.house.glob("*.whl")))}

    def flash_both(self) -> dict[str, Any]:
        """Flash both shipped bundles; the second time the device has nothing to do."""
        results = [self._flash(name)["result"] for name in ("chest-xray", "breast-ultrasound", "breast-ultrasound")]
        _require(results == ["unchanged", "installed", "unchanged"], results)
        return {"results": results}

    def health(self) -> dict[str, Any]:
        """The device's own health check compared golden vectors with the tolerance of its own architecture."""
        found = {}
        for name in ("chest-xray", "breast-ultrasound"):
            health = self._flash(name)["device"]["health"]
            _require((health["architecture"], health["golden"]) == ("aarch64", "within"), health)
            found[name] = {key: health[key] for key in ("kernels", "golden", "logit_lsb", "allowed_logit_lsb")}
        return found

    def same_answers(self) -> dict[str, Any]:
        """Planes equal to the bit, logits within the tolerance, decisions equal outside the indeterminate zone."""
        script = Path(__file__).with_name("answers.py")
        shutil.copy(script, self.root / "root" / "answers.py")
        there = json.loads(self._run(f"{STORE}/runtime/bin/python /root/answers.py"))
        here = json.loads(_run([sys.executable, str(script)]))
        _require((here["architecture"], there["architecture"]) == ("x86-64", "aarch64"), there["architecture"])
        return {name: _compared(name, here["bundles"][name], there["bundles"][name]) for name in shipped.names()}

    def screen(self) -> dict[str, Any]:
        """`edgemed screen` there gives every sample of a bundle a decision."""
        samples = f"{STORE}/runtime/lib/python{PYTHON}/site-packages/edgemed/shipped/samples"
        said = self._run(f"{STORE}/runtime/bin/edgemed screen {samples}/breast-*.png --bundle breast-ultrasound --json")
        document = json.loads(said)
        _require(document["bundle"]["name"] == "breast-ultrasound", document["bundle"])
        _require(all(one["decision"] != "refused" for one in document["results"]), document["results"])
        return {"summary": document["summary"]}

    def wrong_vectors_go_back(self) -> dict[str, Any]:
        """A bundle, rightly signed, whose golden vectors this device cannot reproduce is rolled back."""
        before = self._status()["active"]
        path = self.work / "wrong.edgemed"
        path.write_bytes(_with_wrong_vectors("breast-ultrasound", self.key))
        done = subprocess.run(self._line(str(path)), capture_output=True, text=True, check=False)
        _require(done.returncode == 7, done.stderr)
        _require(self._status()["active"] == before, "the active bundle has changed")
        return {"exit_code": done.returncode, "message": done.stderr.strip().rpartition("\n")[2]}

    def rollback(self) -> dict[str, Any]:
        """Going back by hand gives the bundle before; what was refused is not among them."""
        self._run(f"{STORE}/runtime/bin/edgemed device rollback --store {STORE} --json")
        active = self._status()["active"]
        _require(active["name"] == "chest-xray", active)
        return {"active": active["name"]}

    def _line(self, *words: str) -> list[str]:
        program = [sys.executable, "-m", "edgemed", "flash"]
        return [*program, *words, "--device", TARGET, "--to", self.to, *self.way, "--json"]

    def _flash(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(_run(self._line(*words)))
        return document

    def _run(self, line: str) -> str:
        return _run([*self.ssh, f"root@{sshd.HOST}", line])

    def _status(self) -> dict[str, Any]:
        said = self._run(f"{STORE}/runtime/bin/edgemed device status --store {STORE} --json")
        document: dict[str, Any] = json.loads(said)
        return document


def _compared(name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    bundle = trust.open_bundle(shipped.bundle_path(name), keys=[shipped.demo_key()])
    tolerance = golden.parse_tolerance(bundle.members[golden.TOLERANCE])
    allowed = max(
        one.logit_lsb for one in tolerance.entries if one.architecture == "aarch64" and one.kernels == "xnnpack"
    )
    _require(list(here) == list(there), "other pictures")
    pictures = [title for title in here if here[title]["picture"] != there[title]["picture"]]
    _require(pictures == [], f"pictures that were made differently: {pictures}")
    planes = sum(here[title]["plane"] != there[title]["plane"] for title in here)
    _require(planes == 0, f"{planes} planes differ")
    apart = max(abs(here[title]["logit_int8"][0] - there[title]["logit_int8"][0]) for title in here)
    _require(apart <= allowed, f"logits {apart} LSB apart, {allowed} allowed")
    pairs = [(here[title]["decision"], there[title]["decision"]) for title in here]
    decided = [pair for pair in pairs if "indeterminate" not in pair]
    _require(all(one == other for one, other in decided), pairs)
    return {
        "pictures": len(here),
        "planes_that_differ": planes,
        "logit_lsb": apart,
        "allowed_logit_lsb": allowed,
        "decisions_compared": len(decided),
    }


def _with_wrong_vectors(name: str, key: keys.PrivateKey) -> bytes:
    """Return the next release of a shipped bundle, signed by a trusted key, with an expected logit that is another."""
    bundle = trust.open_bundle(shipped.bundle_path(name), keys=[shipped.demo_key()])
    vectors = list(golden.parse_vectors(bundle.members[golden.VECTORS]))
    outputs = dict(vectors[0].outputs)
    outputs["logit"] = "gA==" if outputs["logit"] != "gA==" else "fw=="  # -128, or 127
    vectors[0] = msgspec.structs.replace(vectors[0], outputs=outputs)
    members = {**bundle.members, golden.VECTORS: schema.encode_json(vectors)}
    fields = {one: getattr(bundle.manifest, one) for one in ArtifactDocument.__struct_fields__}
    artifact = ArtifactDocument(**{**fields, "targets": (TARGET,)})
    release = bundle.manifest.release + 1
    return archive.build(artifact, members, version="1.0.1", release=release, private_keys=[key])


@contextlib.contextmanager
def _device(root: Path) -> Iterator[tuple[int, Path, Path]]:
    """Run the device's own sshd, emulated; what an earlier run has left on it is deleted first."""
    _run(["mount", "--make-rprivate", "/"])
    _run(["mount", "-t", "proc", "proc", str(root / "proc")])
    _run(["mount", "-t", "sysfs", "sysfs", str(root / "sys")])
    # qemu-user shows programs the host's processor, and LiteRT picks its kernels after it.
    _run(["mount", "--bind", str(root / "etc" / "cpuinfo"), str(root / "proc" / "cpuinfo")])
    _run(["mount", "--rbind", "/dev", str(root / "dev")])
    shutil.rmtree(root / STORE[1:], ignore_errors=True)
    folder = root / "root" / "sshd"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (root / "run" / "sshd").mkdir(parents=True, exist_ok=True)
    host_key, identity = sshd.key(folder / "host"), sshd.key(folder / "user")
    port = sshd.free_port()
    config = f"""
        Port {port}
        ListenAddress {sshd.HOST}
        HostKey /root/sshd/host
        PidFile none
        AuthorizedKeysFile /root/sshd/user.pub
        UsePAM no
        PermitRootLogin yes
        Subsystem sftp internal-sftp
        SetEnv QEMU_CPU={CPU}
    """
    (folder / "config").write_text("\n".join(line.strip() for line in config.splitlines()), "utf-8")
    line = ["chroot", str(root), "/usr/sbin/sshd", "-D", "-e", "-f", "/root/sshd/config"]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "QEMU_CPU": CPU}
        process = subprocess.Popen(line, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            sshd.wait(port, process, folder / "log")
            yield port, identity, sshd.known(folder / "known_hosts", host_key, port)
        finally:
            process.terminate()
            process.wait(30)


def _collect(house: Path) -> None:
    """Fetch the device's wheels; ours is built anew where the sources are newer."""
    document = house / "wheelhouse.json"
    if not document.exists() or _sources_are_newer(document):
        _edgemed("bundle", "wheelhouse", "--target", TARGET, "--python", PYTHON, "--out", str(house), "--json")


def _sources_are_newer(path: Path) -> bool:
    """Tell whether a wheel of ours that was collected before lacks what the checkout has."""
    when = path.stat().st_mtime
    packed = [
        one for name in ("edgemed", "converters", "firmware_configs") for one in (ROOT_OF_CHECKOUT / name).rglob("*")
    ]
    sources = [one for one in (ROOT_OF_CHECKOUT / "pyproject.toml", *packed) if one.suffix != ".pyc" and one.is_file()]
    return any(one.stat().st_mtime > when for one in sources)


def _edgemed(*words: str) -> str:
    return _run([sys.executable, "-m", "edgemed", *words])


def _run(line: list[str]) -> str:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\nexit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _require(holds: bool, found: object) -> None:
    if not holds:
        raise SystemExit(f"does not hold: {found}")


if __name__ == "__main__":
    sys.exit(main())
