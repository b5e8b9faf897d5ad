"""What ``edgemed screen`` is run with in tests: a working folder, and a function that runs it there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed.bundle import keys
from edgemed.cli import main
from tests.bundle.tiny import KEY, OTHER
from tests.runtime import tiny

# The tiny model's scores lie around 0.5: these two thresholds make every readable frame an alert, or clear.
ALERT, CLEAR = 0.01, 0.99
Ran = Callable[..., tuple[int, str, str]]


def working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the current one, with the keys' public halves, two bundles, and a user who trusts nobody."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.chdir(folder)
    for name, key in (("my", KEY), ("other", OTHER)):
        (folder / f"{name}.pub").write_bytes(keys.encode_public(key.public))
    for name, threshold in (("alert", ALERT), ("clear", CLEAR)):
        document = tiny.rule(tiny.model(), threshold=threshold, out_of_distribution=tiny.limits(limit=1e6))
        (folder / f"{name}.edgemed").write_bytes(tiny.raw_bundle(tiny.model(), document))
    (folder / "scan.png").write_bytes(tiny.png(tiny.picture()))
    return folder


def screening(capsys: pytest.CaptureFixture[str]) -> Ran:
    """Return a function that runs ``edgemed screen`` with the alert bundle and gives exit code, stdout, stderr."""

    def ran(*words: str, bundle: str = "alert.edgemed") -> tuple[int, str, str]:
        code = main(["screen", *words, "--bundle", bundle, "--trust", "my.pub"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return ran
