"""Devices on loopback for the benchmarks of flashing: OpenSSH's server, this edgemed at its other end, many stores."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edgemed import schema, shipped, targets  # noqa: E402 - the checkout is not on the path before
from edgemed.bundle import archive, keys, trust  # noqa: E402
from edgemed.bundle.manifest import ArtifactDocument  # noqa: E402
from tests.device import sshd  # noqa: E402
from tests.device.sshd import Server  # noqa: E402

NAME = "chest-xray"
EDGEMED = [sys.executable, "-m", "edgemed"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Run an sshd whose ``edgemed`` is that of this checkout, compiled, and the program written, as pip does both."""
    compileall.compile_dir(ROOT / "edgemed", quiet=1)
    program = folder / "bin" / "edgemed"
    program.parent.mkdir()
    lines = (f"#!{sys.executable}", "import sys", "from edgemed.__main__ import main", "sys.exit(main())")
    program.write_text("\n".join(lines) + "\n", "utf-8")
    program.chmod(0o755)
    # No home: what a developer's shell does at its start takes seconds and is no device's.
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": "/nowhere", "PYTHONPATH": str(ROOT)}
    with sshd.running(folder / "etc", environment=environment) as found:
        yield found


def edgemed(*words: str, expected: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run one command of this edgemed and require its exit code."""
    done = subprocess.run([*EDGEMED, *words], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode not in expected:
        raise SystemExit(f"edgemed {' '.join(words)}: exit {done.returncode}, expected {expected}\n{done.stderr}")
    return done


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def store(path: Path, *, target: str | None = None, trusted: tuple[Path, ...] = ()) -> Path:
    """Make a store of this machine's generic target, in a process of its own as a device does."""
    words = [word for key in trusted for word in ("--trust", str(key))]
    edgemed("device", "init", "--store", str(path), "--target", target or targets.generic_id(), *words)
    return path


def releases(folder: Path) -> tuple[Path, Path, Path]:
    """Write a bad release of the shipped bundle, a good one after it, and the key that signed both.

    The bad one is rightly signed; its first golden vector expects another logit than the model answers.
    """
    from edgemed.runtime import golden

    key = keys.generate()
    public = folder / "product.pub"
    public.write_bytes(keys.encode_public(key.public))
    bundle = trust.open_bundle(shipped.bundle_path(NAME), keys=[shipped.demo_key()])
    fields = {name: getattr(bundle.manifest, name) for name in ArtifactDocument.__struct_fields__}
    artifact = ArtifactDocument(**{**fields, "targets": (targets.generic_id(),)})
    vectors = [schema.to_builtins(one) for one in golden.parse_vectors(bundle.members[golden.VECTORS])]
    vectors[0]["outputs"]["logit"] = "fw==" if vectors[0]["outputs"]["logit"] != "fw==" else "gA=="  # 127, or -128
    wrong = {**bundle.members, golden.VECTORS: schema.encode_json(vectors)}
    paths = (folder / "bad.edgemed", folder / "good.edgemed")
    for path, members, version, release in zip(
        paths, (wrong, dict(bundle.members)), ("2.0.0", "2.0.1"), (2, 3), strict=True
    ):
        path.write_bytes(archive.build(artifact, members, version=version, release=release, private_keys=[key]))
    return *paths, public
