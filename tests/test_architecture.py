"""Imports point down only, as the layers below are drawn; neighbours on a line do not import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Top to bottom. A module belongs to the longest entry that is a prefix of its dotted name.
LAYERS = (
    ("edgemed.__main__",),
    ("edgemed.cli",),
    ("edgemed.benchmark",),
    ("edgemed.training", "converters"),
    ("edgemed.device",),
    ("edgemed.records",),
    ("edgemed.runtime",),
    ("edgemed.shipped",),
    ("edgemed.bundle",),
    ("edgemed.imaging",),
    ("edgemed.tensors", "edgemed.tflite", "edgemed.targets", "edgemed.measure", "edgemed.statistics"),
    ("edgemed.schema", "edgemed.files", "edgemed.native_output", "edgemed.pages"),
    ("edgemed.errors",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# The package itself names modules of every layer and imports them on first use.
FRONT = "edgemed"


def modules() -> dict[str, Path]:
    found = {}
    for package in ("edgemed", "converters", "firmware_configs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def part_of(module: str) -> str | None:
    """Return the entry of the drawing a module belongs to."""
    fitting = [name for name in LEVEL if module == name or module.startswith(name + ".")]
    return max(fitting, key=len, default=None)


def imports_of(module: str, source: str, *, is_package: bool) -> set[str]:
    """Return every module of ours a source imports, at any depth; what only a type checker reads counts too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = module.split(".") if is_package else module.split(".")[:-1]
            above = ".".join(home[: len(home) - node.level + 1]) if node.level else ""
            start = ".".join(filter(None, (above, node.module)))
            # `from edgemed import schema` imports edgemed.schema, `from edgemed.errors import X` edgemed.errors.
            found.update(f"{start}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in ("edgemed", "converters")}


def fault(module: str, imported: str) -> str | None:
    """Return what is wrong with one import, or None."""
    mine, other = part_of(module), part_of(imported)
    if mine is None or other is None or mine == other:
        return None
    if LEVEL[other] > LEVEL[mine]:
        return None
    return f"{module} imports {imported}: {'sideways' if LEVEL[other] == LEVEL[mine] else 'upwards'}"


@pytest.mark.parametrize("module", [name for name in MODULES if name != FRONT])
def test_imports_point_down_only(module: str) -> None:
    path = MODULES[module]
    imported = imports_of(module, path.read_text("utf-8"), is_package=path.name == "__init__.py")
    assert [found for name in sorted(imported) if (found := fault(module, name))] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name not in (FRONT, "firmware_configs")])
def test_module_has_a_place_in_the_drawing(module: str) -> None:
    assert part_of(module) is not None


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("converters")])
def test_converters_never_import_records_or_device(module: str) -> None:
    path = MODULES[module]
    imported = imports_of(module, path.read_text("utf-8"), is_package=path.name == "__init__.py")
    assert not {part_of(name) for name in imported} & {"edgemed.device", "edgemed.records", "edgemed.training"}


@pytest.mark.parametrize("module", MODULES)
def test_module_leaves_heavy_libraries_to_its_functions(module: str) -> None:
    heavy = {"tensorflow", "keras", "matplotlib", "pandas", "sklearn", "pydicom", "yaml", "asyncssh"}
    training_only = module.startswith(("edgemed.training", "converters"))
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    at_import = {
        alias.name.split(".")[0]
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert training_only or not at_import & heavy


CASES = {
    "upwards": ("edgemed.bundle.trust", "from edgemed.runtime import decision", "upwards"),
    "upwards-in-function": ("edgemed.files", "def f():\n    import edgemed.imaging.frame", "upwards"),
    "sideways": ("edgemed.tflite", "from edgemed.tensors import Quantization", "sideways"),
    "sideways-converters": ("converters.parity", "from edgemed.training import fit", "sideways"),
    "relative-upwards": ("edgemed.imaging.frame", "from ..runtime import decision", "upwards"),
    "down": ("edgemed.runtime.screener", "from edgemed.bundle.archive import Bundle", None),
    "same-part": ("edgemed.runtime.screener", "from edgemed.runtime import decision", None),
    "relative-same-part": ("edgemed.runtime.screener", "from . import decision", None),
    "library": ("edgemed.errors", "import numpy", None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_check_itself_sees(name: str) -> None:
    module, source, expected = CASES[name]
    faults = [fault(module, imported) for imported in imports_of(module, source, is_package=False)]
    assert [found.rsplit(" ", 1)[1] for found in faults if found] == ([expected] if expected else [])
