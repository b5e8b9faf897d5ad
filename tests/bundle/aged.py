"""Keys that bundles are encrypted to, made by the library itself."""

from __future__ import annotations

from pathlib import Path

import pytest


def write_key(path: Path) -> str:
    """Write a new key pair as ``age-keygen`` does, the public half beside it as ``.pub``, and return that; or skip."""
    pyrage = pytest.importorskip("pyrage", reason="encryption needs the extra 'encryption'")
    made = pyrage.x25519.Identity.generate()
    public = str(made.to_public())
    path.write_text(f"# public key: {public}\n{made}\n")
    path.with_suffix(".pub").write_text(f"{public}\n")
    return public
