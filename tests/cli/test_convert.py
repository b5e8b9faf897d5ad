from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgemed import files, schema
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.cli import convert, main
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from tests.training import blobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run folder whose training stopped after the first of three epochs."""
    folder = tmp_path / "run"
    folder.mkdir()
    begun = runs.Run(
        schema=1,
        recipe=recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml"),
        data_path=str(tmp_path / "data"),
        train_images=64,
        train_digest=files.sha256(b"train"),
        validation_images=40,
        validation_digest=files.sha256(b"validation"),
        moved_to_validation=0,
        pretrained_sha256=None,
        versions={},
        history=(runs.Epoch(epoch=0, loss=0.5, validation_auc=0.9),),
        best_epoch=0,
    )
    (folder / "run.json").write_bytes(schema.encode_json(begun))
    return folder


def _refused(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["convert", *map(str, words)])
    return code, capsys.readouterr().err


def test_unfinished_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _refused(capsys, run, "--target", "generic-x86-64", "--out", tmp_path / "out")
    assert found == (2, f"edgemed: {run}: trained for 1 of 3 epochs; finish it with edgemed train --resume\n")


def test_unknown_target_is_refused_with_the_near_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = _refused(capsys, run, "--target", "coral-usbb", "--out", tmp_path / "out")
    assert code == 2
    assert "did you mean 'coral-usb'?" in err


def test_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _refused(capsys, tmp_path, "--target", "generic-x86-64", "--out", tmp_path / "out")
    assert (code, err) == (
        2,
        f"edgemed: {tmp_path}: expected a run folder with run.json, found none; make one with edgemed train\n",
    )


def test_taken_place_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _refused(capsys, run, "--target", "generic-x86-64", "--out", run)
    assert code == 2
    assert "expected a new folder or an older artifact, found something else; choose another --out" in err


def test_peer_that_cannot_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = runs.read(run)
    epochs = tuple(runs.Epoch(epoch=index, loss=0.5, validation_auc=0.9) for index in range(3))
    (run / "run.json").write_bytes(schema.encode_json(msgspec.structs.replace(begun, history=epochs)))
    peer = tmp_path / "no-python"
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--peer-python", peer)
    code, err = _refused(capsys, run, *words)
    assert (code, err) == (4, f"edgemed: {peer}: cannot be run: No such file or directory; check --peer-python\n")


def test_cheap_refusals_come_before_tensorflow_is_loaded(run: Path, tmp_path: Path) -> None:
    words = ["convert", str(run), "--target", "generic-x86-64", "--out", str(tmp_path / "out")]
    program = (
        f"import sys; from edgemed.cli import main; code = main({words!r});"
        "print(code, [name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


class _Device:
    id = "generic-x86-64"


class _Conversion:
    """The parts of a conversion that its notes speak of."""

    members = {f"golden/0{number}.plane.png": b"" for number in range(4)}  # noqa: RUF012  # never changed
    description = ArtifactDocument(
        name="tiny",
        task="classify",
        intended_use="Tests.",
        modalities=("US",),
        body_part="PHANTOM",
        labels=("plain", "blob"),
        targets=("generic-x86-64",),
        outputs=("logit",),
    )

    def __init__(self, flipped: int) -> None:
        self.flipped = tuple(f"{index}.png" for index in range(flipped))


@pytest.mark.parametrize(
    ("flipped", "line"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(2, ["flipped: 0.png, 1.png"], id="two"),
        pytest.param(23, [f"flipped: {', '.join(f'{n}.png' for n in range(20))} and 3 more"], id="many"),
    ],
)
def test_flipped_images_are_named_on_one_line(flipped: int, line: list[str]) -> None:
    pytest.importorskip("keras", reason="needs the train extra")
    notes = convert._notes(_Conversion(flipped), _Device())  # type: ignore[arg-type]  # only what it reads
    assert notes == [
        "4 source pictures of validation travel in golden/, with any text burned into their pixels",
        *line,
    ]
