"""The README's five minutes, from a trained model to a device: each line of it is run, in its order."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.cli import main
from tests.training import blobs

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
RECIPE = blobs.RECIPE.replace("epochs: 3", "epochs: 12").replace("{epochs: 1,", "{epochs: 6,")
UNJUDGED = 9  # too few samples for a p99, or a machine that is not quiet: no fault of the command


def _lines() -> list[list[str]]:
    """Return the words of the commands in the block that goes from training to a device; none where it is not there."""
    blocks = re.findall(r"^```\n(edgemed train --recipe [^`]*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        if "\nedgemed device import " in block:
            return [shlex.split(line)[1:] for line in block.splitlines() if line.startswith("edgemed ")]
    return []


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a current folder with a data set, a recipe, a picture, a folder for a stick, and a user of its own."""
    blobs.write(tmp_path / "data", {"train": 96, "val": 48, "test": 24})
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    cv2.imwrite(str(tmp_path / "scan.png"), blobs.picture(np.random.default_rng(1), blob=True))
    (tmp_path / "stick").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.skipif(not _lines(), reason="the README has no block from 'edgemed train' to 'edgemed device import'")
def test_every_command_of_the_five_minutes_runs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in _lines():
        given = words.copy()
        if words[0] == "train":  # the same road on pictures that a network learns in seconds
            given[given.index("--recipe") + 1] = str(work / "recipe.yaml")
            given[given.index("--data") + 1] = str(work / "data")
        code = main(given)
        assert code == 0 or (words[0], code) == ("benchmark", UNJUDGED), (words, capsys.readouterr().err)
        capsys.readouterr()
