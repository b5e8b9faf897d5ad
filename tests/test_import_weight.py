"""What importing loads: nothing heavy, in a fresh process each; and nothing is printed."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import edgemed

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "keras", "pandas", "matplotlib", "pydicom", "yaml", "asyncssh", "scipy", "sklearn")

STARTS = {
    "edgemed": "import edgemed",
    "edgemed.runtime": "import edgemed.runtime",
    "edgemed.runtime.screener": "import edgemed.runtime.screener",
    "edgemed.bundle": "import edgemed.bundle",
    "edgemed.bundle.trust": "import edgemed.bundle.trust",
    "edgemed.imaging": "import edgemed.imaging",
    "edgemed.imaging.readers": "import edgemed.imaging.readers",
    "edgemed.device.switch": "import edgemed.device.switch",
    "edgemed.device.install": "import edgemed.device.install",
    "edgemed.device.importing": "import edgemed.device.importing",
    "edgemed.targets": "import edgemed.targets",
    "edgemed.tflite": "import edgemed.tflite",
    "edgemed.statistics": "import edgemed.statistics",
    "edgemed.device": "import edgemed.device",
    "edgemed.device.flash": "import edgemed.device.flash",
    "edgemed.device.fleet": "import edgemed.device.fleet",
    "edgemed.device.transports.opening": "import edgemed.device.transports.opening",
    "converters": "import converters",
    "converters.compat": "import converters.compat",
    "converters.edgetpu": "import converters.edgetpu",
    "converters.calibration": "import converters.calibration",
    "edgemed --help": "from edgemed.cli import main; main(['--help'])",
    "edgemed devices --help": "from edgemed.cli import main; main(['devices', '--help'])",
}


def modules_after(code: str, *, names: tuple[str, ...]) -> tuple[set[str], str]:
    """Return which of the named modules a fresh process has loaded after ``code``, and what it printed."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *(n for n in {names!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    printed, _, loaded = done.stdout.rpartition("\nLOADED")
    return set(loaded.split()), printed + done.stderr


@pytest.mark.parametrize("name", STARTS)
def test_start_loads_nothing_heavy(name: str) -> None:
    loaded, _ = modules_after(STARTS[name], names=HEAVY)
    assert loaded == set()


def test_package_itself_loads_not_even_numpy() -> None:
    loaded, _ = modules_after("import edgemed", names=("numpy", "cv2", "msgspec", "importlib.metadata"))
    assert loaded == set()


def test_what_flash_starts_on_a_device_loads_nothing_before_the_health_process() -> None:
    loaded, _ = modules_after("import edgemed.__main__, edgemed.device.receive", names=("msgspec", "numpy", "typer"))
    assert loaded == set()


def test_a_command_loads_no_other() -> None:
    loaded, _ = modules_after(STARTS["edgemed devices --help"], names=("edgemed.cli.devices", "edgemed.cli.flash"))
    assert loaded == {"edgemed.cli.devices"}


def test_help_loads_no_imaging_and_no_inference_library() -> None:
    loaded, _ = modules_after(STARTS["edgemed --help"], names=("numpy", "cv2", "ai_edge_litert", "rich", "pydantic"))
    assert loaded == set()


@pytest.mark.parametrize("name", [name for name in STARTS if "--help" not in name])
def test_import_prints_nothing(name: str) -> None:
    assert modules_after(STARTS[name], names=())[1] == ""


def test_public_names_are_pinned() -> None:
    assert edgemed.__all__ == [
        "Bundle",
        "Decision",
        "EdgemedError",
        "Frame",
        "Screener",
        "Screening",
        "Target",
        "__version__",
        "open_bundle",
        "read",
    ]


@pytest.mark.parametrize("name", edgemed.__all__)
def test_public_name_loads_on_first_use(name: str) -> None:
    assert getattr(edgemed, name) is not None
    assert name in dir(edgemed)


def test_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'edgemed' has no attribute 'screener_of_everything'$"):
        _ = edgemed.screener_of_everything


def test_version_is_that_of_the_project_file() -> None:
    assert f'\nversion = "{edgemed.__version__}"\n' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("package", ["edgemed", "converters"])
def test_package_says_that_it_is_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()
