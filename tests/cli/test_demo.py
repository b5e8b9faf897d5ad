from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from edgemed.bundle import keys
from tests.bundle.tiny import KEY
from tests.runtime import tiny

PACKAGE = Path(str(resources.files("edgemed")))
PROGRAM = "import sys; from edgemed.cli import main; sys.exit(main())"
SAMPLES = [
    {"file": "01-chest.png", "bundle": "chest-xray", "modality": "DX", "label": "normal", "source": "test/a.png"},
    {"file": "02-breast.png", "bundle": "breast-ultrasound", "modality": "US", "label": "malignant", "source": "b.png"},
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package that ships tiny bundles and samples instead of its own."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, folder / "edgemed", ignore=shutil.ignore_patterns("__pycache__", "*.edgemed"))
    shutil.copytree(Path(str(resources.files("firmware_configs"))), folder / "firmware_configs")
    shipped = folder / "edgemed" / "shipped"
    shutil.rmtree(shipped / "samples", ignore_errors=True)
    for part in ("bundles", "samples"):
        (shipped / part).mkdir(exist_ok=True)
    (shipped / "demo.pub").write_bytes(keys.encode_public(KEY.public))
    for index, sample in enumerate(SAMPLES):
        raw = tiny.raw_bundle(tiny.model(), name=sample["bundle"])
        (shipped / "bundles" / f"{sample['bundle']}.edgemed").write_bytes(raw)
        (shipped / "samples" / sample["file"]).write_bytes(tiny.png(tiny.picture(seed=index)))
    listed = [{**sample, "attribution": "Somebody, CC BY 4.0"} for sample in SAMPLES]
    (shipped / "samples" / "samples.json").write_text(json.dumps({"schema": 1, "samples": listed}))
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def demo(package: Path, work: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    words = (sys.executable, "-c", PROGRAM, "demo", *words)
    return subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False)


def test_demo_shows_each_sample_and_what_to_do_next(package: Path, work: Path) -> None:
    done = demo(package, work)

    assert (done.returncode, done.stderr) == (0, "")
    for sample in SAMPLES:
        row = next(line for line in done.stdout.splitlines() if sample["file"] in line)
        assert sample["modality"] in row
        assert sample["label"] in row
    assert "Overlays: edgemed-demo\n" in done.stdout
    assert "Research software: a score of abnormality, never a diagnosis.\n" in done.stdout
    assert "signed with the package's own demo key" in done.stdout
    assert "Try next:\n  edgemed screen " in done.stdout


def test_next_command_about_a_bundle_works(package: Path, work: Path) -> None:
    line = next(line for line in demo(package, work).stdout.splitlines() if "bundle info" in line)
    words = [word for word in line.split()[1:] if word != "--card"]  # the tiny bundles have none

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "chest-xray" in done.stdout


def test_demo_writes_an_overlay_of_each_sample(package: Path, work: Path) -> None:
    demo(package, work, "--out", "shown")

    assert sorted(path.name for path in (work / "shown").iterdir()) == ["0001-scan.0.png", "0002-scan.0.png"]


def test_demo_never_writes_into_an_older_folder(package: Path, work: Path) -> None:
    (work / "edgemed-demo").mkdir()

    done = demo(package, work)

    assert "Overlays: edgemed-demo-2\n" in done.stdout
    assert list((work / "edgemed-demo").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="a closed folder is open to root")
def test_demo_in_a_closed_folder_writes_elsewhere(package: Path, work: Path) -> None:
    work.chmod(0o555)

    done = demo(package, work)

    assert done.returncode == 0
    assert "edgemed-demo-" in done.stdout


def test_demo_json_is_one_document(package: Path, work: Path) -> None:
    done = demo(package, work, "--json", "--out", "shown")

    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(document) == ["schema_version", "bundles", "runtime", "folder", "results", "summary"]
    assert [bundle["name"] for bundle in document["bundles"]] == ["breast-ultrasound", "chest-xray"]
    assert document["folder"] == "shown"
    assert [(r["input"], r["bundle"], r["label"], r["heatmap"]) for r in document["results"]] == [
        ("01-chest.png", "chest-xray", "normal", "0001-scan.0.png"),
        ("02-breast.png", "breast-ultrasound", "malignant", "0002-scan.0.png"),
    ]


def test_folder_that_cannot_be_written_ends_the_demo(package: Path, work: Path) -> None:
    (work / "file").write_bytes(b"")

    done = demo(package, work, "--out", "file/out")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "edgemed: --out: file/out: cannot be written: Not a directory; choose another folder\n"


def test_shipped_name_opens_with_the_demo_key(package: Path, work: Path) -> None:
    program = (
        "from edgemed.runtime.screener import Screener;"
        "s = Screener.open('chest-xray'); print(s.bundle.manifest.name, s.bundle.accepted[0].keyid)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"chest-xray {KEY.public.keyid}\n"
