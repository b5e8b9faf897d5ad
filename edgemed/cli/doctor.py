"""``edgemed doctor``: whether this machine can screen, and what is missing when it cannot.

Every check does the thing it asks about: libraries are imported, back ends load a model, and the bundles that ship
are verified and replay their golden vectors.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from edgemed.cli import output
from edgemed.errors import EdgemedError, InferenceError

if TYPE_CHECKING:
    from edgemed.targets import Target

__all__ = ["CORE", "EXTRAS", "SHIPPED", "Check", "doctor", "examine"]

CORE = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "msgspec": "msgspec",
    "PyYAML": "yaml",
    "typer": "typer",
    "rich": "rich",
    "cryptography": "cryptography.hazmat.primitives.asymmetric.ed25519",
    "pydicom": "pydicom",
    "python-gdcm": "gdcm",
    "pylibjpeg": "pylibjpeg",
    "pylibjpeg-openjpeg": "openjpeg",
    "pyjpegls": "jpeg_ls",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
}
"""Module whose import shows that a library of the device core works, by distribution."""

EXTRAS = {
    "tflite": ("tflite_runtime",),
    "train": ("keras", "tensorflow", "sklearn", "matplotlib", "jinja2"),
    "jetson": ("onnx", "onnxruntime"),
    "ssh": ("asyncssh",),
}
"""Modules of each optional extra; ``gpu`` has those of ``train``."""

SHIPPED = ("breast-ultrasound", "chest-xray")
OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the answer.

    Attributes:
        part: machine, library, back end, accelerator, bundle or extra.
        works: whether it does what it is for.
        needed: whether screening needs it.
        detail: version or finding; what is lacking when it does not work.
    """

    part: str
    name: str
    works: bool
    needed: bool
    detail: str


def doctor(json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """Check this machine: libraries, inference back ends, shipped bundles. Exit 0 when it can screen, 1 when not."""
    checks = tuple(examine())
    works = all(check.works for check in checks if check.needed)
    if json:
        output.print_json({"works": works, "target": _target(), "checks": checks})
    else:
        output.table(("part", "name", "state", "detail"), [_row(check) for check in checks])
        output.note("this machine can screen" if works else "this machine cannot screen: see the lines marked FAILED")
    raise typer.Exit(0 if works else 1)


def examine() -> Iterator[Check]:
    """Yield every check: machine, libraries, back ends, accelerators, bundles, extras, in a fixed order."""
    yield from _machine()
    yield from (_library(name, module) for name, module in CORE.items())
    yield from _backends()
    yield from _edge_tpus()
    yield from (_bundle(name) for name in SHIPPED)
    yield from (_extra(name, modules) for name, modules in EXTRAS.items())


def _machine() -> Iterator[Check]:
    from edgemed import targets

    version = ".".join(map(str, sys.version_info[:3]))
    yield Check(part="machine", name="python", works=sys.version_info >= OLDEST_PYTHON, needed=True, detail=version)
    target = _target()
    name = targets.architecture()
    detail = f"target {target}" if target else "expected x86-64 or aarch64; no wheels exist for this one"
    yield Check(part="machine", name=f"architecture {name}", works=target is not None, needed=True, detail=detail)


def _target() -> str | None:
    from edgemed import targets

    try:
        return targets.generic_id()
    except EdgemedError:
        return None


def _library(distribution: str, module: str) -> Check:
    from importlib import metadata

    try:
        loaded = importlib.import_module(module)
    except Exception as err:  # noqa: BLE001 - whatever a broken library raises is what this command reports
        detail = f"{type(err).__name__}: {err}; pip install --force-reinstall {distribution}"
        return Check(part="library", name=distribution, works=False, needed=True, detail=detail)
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        # Another distribution provides the module: opencv-python instead of its headless build, say.
        version = str(getattr(loaded, "__version__", "unknown version"))
    return Check(part="library", name=distribution, works=True, needed=True, detail=version)


def _backends() -> Iterator[Check]:
    from edgemed.bundle import models
    from edgemed.runtime import backends

    available = backends.available()
    needed = models.MODELS[models.INT8].backends
    for name, module in backends.BACKENDS.items():
        works = name in available
        detail = "installed" if works else f"needs {importlib.import_module(module).REQUIRES}"
        if works and name == "onnxruntime":
            works, detail = _onnxruntime()
        # Every bundle has an int8 TFLite model: one back end for it is enough, each is needed when no other is there.
        lacking = name in needed and not set(needed) & set(available)
        yield Check(part="back end", name=name, works=works, needed=lacking, detail=detail)


def _onnxruntime() -> tuple[bool, str]:
    """Load onnxruntime, and say whether it has TensorRT."""
    from edgemed.runtime.backends import onnxruntime

    try:
        providers = onnxruntime.providers()
    except EdgemedError as err:
        return False, str(err)
    tensorrt = "with" if onnxruntime.TENSORRT in providers else "without"
    return True, f"installed, {tensorrt} TensorRT"


def _edge_tpus() -> Iterator[Check]:
    """Yield whether the Edge TPU of each target that this machine may be would compute: its library and its device."""
    from edgemed import targets

    try:
        shipped = [targets.load(name) for name in targets.available()]
    except ImportError:
        return  # without YAML no target can be read, which its own check says
    for target in shipped:
        if target.accelerator is targets.Accelerator.EDGETPU and targets.architecture() in target.arch:
            works, detail = _edge_tpu(target)
            yield Check(part="accelerator", name=target.id, works=works, needed=False, detail=detail)


def _edge_tpu(target: Target) -> tuple[bool, str]:
    from edgemed.runtime import backends
    from edgemed.runtime.backends import edgetpu
    from edgemed.runtime.interpreter import Delegate

    library, device = target.delegate.library(), target.delegate.device
    backend = next((name for name in backends.TFLITE if name in backends.available()), None)
    if library is None or backend is None:
        return False, "needs a back end for TFLite" if library else f"has no delegate library for {sys.platform}"
    try:
        edgetpu.attempt(Delegate(library=library, device=device), backend=backend)
    except InferenceError as err:
        there = " (an Edge TPU is there)" if edgetpu.presence(device) is edgetpu.Presence.THERE else ""
        return False, f"{err}{there}"
    return True, f"{library} opens the Edge TPU on {device}, with {backend}"


def _bundle(name: str) -> Check:
    try:
        works, detail = _replayed(name)
    except (EdgemedError, ImportError) as err:
        # A broken library is named by its own check; here it only keeps the bundle from being read.
        works, detail = False, str(err)
    return Check(part="bundle", name=name, works=works, needed=True, detail=detail)


def _replayed(name: str) -> tuple[bool, str]:
    """Verify a shipped bundle and replay its golden vectors on the default back end."""
    from edgemed import shipped
    from edgemed.bundle import trust
    from edgemed.runtime import backends, golden

    bundle = trust.open_bundle(shipped.bundle_path(name), keys=[shipped.demo_key()])
    report = golden.replay(bundle, backends.load(bundle.members["model/int8.tflite"]))
    verdict = report.verdict
    detail = f"version {bundle.manifest.version}, signature valid, golden vectors: {verdict.value} on {report.backend}"
    return verdict is not golden.Verdict.OUTSIDE, detail


def _extra(name: str, modules: tuple[str, ...]) -> Check:
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    detail = f"lacks {', '.join(absent)}; pip install 'edgemed[{name}]'" if absent else "installed"
    return Check(part="extra", name=name, works=not absent, needed=False, detail=detail)


def _row(check: Check) -> tuple[str, str, str, str]:
    state = "ok" if check.works else "FAILED" if check.needed else "absent"
    return check.part, check.name, state, check.detail
