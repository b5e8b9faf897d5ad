from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgemed import targets
from edgemed.bundle import keys
from edgemed.cli import app
from edgemed.cli.demo import NEXT
from edgemed.runtime import backends
from tests.bundle.tiny import KEY
from tests.runtime import tiny

PACKAGE = Path(str(resources.files("edgemed")))
PROGRAM = "import sys; from edgemed.cli import main; sys.exit(main())"
SAMPLES = [
    {"file": "01-chest.png", "bundle": "chest-xray", "modality": "DX", "label": "normal", "source": "test/a.png"},
    {"file": "02-breast.png", "bundle": "breast-ultrasound", "modality": "CR", "label": "malignant", "source": "b.png"},
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package that ships tiny bundles and samples instead of its own."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, folder / "edgemed", ignore=shutil.ignore_patterns("__pycache__", "*.edgemed"))
    for name in ("converters", "firmware_configs"):
        shutil.copytree(Path(str(resources.files(name))), folder / name)
    shipped = folder / "edgemed" / "shipped"
    shutil.rmtree(shipped / "samples", ignore_errors=True)
    for part in ("bundles", "samples"):
        (shipped / part).mkdir(exist_ok=True)
    (shipped / "demo.pub").write_bytes(keys.encode_public(KEY.public))
    golden = tiny.golden_members(tiny.model(), (interpreter := backends.load(tiny.model())), **_here(interpreter))
    for index, sample in enumerate(SAMPLES):
        raw = tiny.raw_bundle(tiny.model(), name=sample["bundle"], extra=golden)
        (shipped / "bundles" / f"{sample['bundle']}.edgemed").write_bytes(raw)
        (shipped / "samples" / sample["file"]).write_bytes(tiny.png(tiny.picture(seed=index)))
    listed = [{**sample, "attribution": "Somebody, CC BY 4.0"} for sample in SAMPLES]
    (shipped / "samples" / "samples.json").write_text(json.dumps({"schema": 1, "samples": listed}))
    return folder


def _here(interpreter: Any) -> dict[str, str]:
    return {
        "backend": interpreter.backend,
        "kernels": interpreter.kernels.value,
        "architecture": targets.architecture(),
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def demo(package: Path, work: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package), **variables}
    words = (sys.executable, "-c", PROGRAM, "demo", *words)
    return subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shown(package: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return a folder and what a demo says in it; a demo was there before."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "edgemed-demo").mkdir()
    (folder / "tmp").mkdir()
    return folder, demo(package, folder, TMPDIR=str(folder / "tmp"))


Shown = tuple[Path, subprocess.CompletedProcess[str]]


def test_demo_shows_each_sample_and_what_to_do_next(shown: Shown) -> None:
    _, done = shown

    assert (done.returncode, done.stderr) == (0, "")
    for sample in SAMPLES:
        row = next(line for line in done.stdout.splitlines() if sample["file"] in line)
        assert sample["modality"] in row
        assert sample["label"] in row
    assert "Research software: a score of abnormality, never a diagnosis.\n" in done.stdout
    assert "signed with the package's own demo key" in done.stdout
    assert "Try next:\n  edgemed screen " in done.stdout


def test_demo_installs_one_bundle_after_the_other(shown: Shown) -> None:
    lines = [" ".join(line.split()) for line in shown[1].stdout.splitlines()]

    assert lines[0] == f"store a temporary one, for {targets.generic_id()}; it is gone again"
    golden = "1 golden vectors answered, at most 0 LSB away (0 allowed)"
    assert lines[1:3] == ["installed chest-xray 1.2.3 in slot a", golden]
    assert lines[3:6] == [
        "installed breast-ultrasound 1.2.3 in slot b",
        "chest-xray 1.2.3 stays in slot a, to go back to",
        golden,
    ]


def test_demo_holds_the_times_of_both_against_the_budget_of_this_machine(shown: Shown) -> None:
    lines = [" ".join(line.split()) for line in shown[1].stdout.splitlines()]

    assert "60 frames each: median and worst, in ms" in lines
    (total,) = [line for line in lines if line.startswith("│ total ")]
    assert re.fullmatch(r"│ total │ [\d.]+, [\d.]+ │ [\d.]+, [\d.]+ │ 1000 │", total)
    assert any(line.startswith(f"Budget xray-still of {targets.generic_id()}: ") for line in lines)


def test_demo_leaves_its_overlays_and_no_store(shown: Shown) -> None:
    folder, done = shown

    assert "Overlays: edgemed-demo-2\n" in done.stdout  # never into an older folder
    assert list((folder / "edgemed-demo").iterdir()) == []
    overlays = sorted(path.name for path in (folder / "edgemed-demo-2").iterdir())
    assert overlays == ["0001-scan.0.png", "0002-scan.0.png"]
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("line", NEXT)
def test_command_to_try_next_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command: Any = get_command(app())
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_parser(command.context_class(command)).parse_args(words)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_demo_leaves_nothing_behind(package: Path, work: Path) -> None:
    temporary = work / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package), "TMPDIR": str(temporary)}
    words = (sys.executable, "-c", PROGRAM, "demo", "--out", "new/shown")
    with subprocess.Popen(words, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while running.poll() is None and not list(temporary.glob("*/store/slots")):
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()

    assert (running.returncode, out, err) == (130, b"", b"edgemed: interrupted\n")
    assert sorted(path.name for path in work.rglob("*")) == ["tmp"]


@pytest.mark.skipif(os.geteuid() == 0, reason="a closed folder is open to root")
def test_demo_in_a_closed_folder_writes_elsewhere(package: Path, work: Path) -> None:
    work.chmod(0o555)

    done = demo(package, work)

    assert done.returncode == 0
    assert "edgemed-demo-" in done.stdout


def test_demo_json_is_one_document(package: Path, work: Path) -> None:
    done = demo(package, work, "--json", "--out", "shown")

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert list(document) == [
        *("schema_version", "bundles", "runtime", "store", "folder", "results", "benchmark", "summary", "next"),
    ]
    assert [bundle["name"] for bundle in document["bundles"]] == ["chest-xray", "breast-ultrasound"]
    assert document["folder"] == "shown"
    assert document["store"]["target"] == targets.generic_id()
    installs = document["store"]["installs"]
    assert [(one["result"], one["bundle"]["name"], one["slot"]) for one in installs] == [
        ("installed", "chest-xray", "a"),
        ("installed", "breast-ultrasound", "b"),
    ]
    assert installs[1]["health"]["golden"] == "within"
    assert [one["bundle"]["name"] for one in document["benchmark"]] == ["chest-xray", "breast-ultrasound"]
    assert [one["stages"]["total"]["n"] for one in document["benchmark"]] == [60, 60]
    assert {row["stage"] for row in document["benchmark"][0]["budget"]} >= {"infer", "total"}
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
