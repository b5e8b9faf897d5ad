"""Which model of a bundle runs here: the first that the target admits and that this machine can load.

Rules: a target that the bundle does not admit is refused; a model for an accelerator that cannot run here is passed
over with its reason, never silently; the last is the int8 model on the CPU, and what keeps that from running raises.

    loaded = selection.open_model(bundle, targets.load("jetson-orin-nano"), threads=4)
    print(loaded.selection.member, loaded.selection.reasons)
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass, replace

from edgemed import targets
from edgemed.bundle import models, trust
from edgemed.bundle.archive import Bundle
from edgemed.errors import ConfigError, InferenceError, MissingDependencyError
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Interpreter
from edgemed.targets import Accelerator, Target

__all__ = ["Loaded", "Selection", "open_model"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The model that runs for a target.

    Attributes:
        target: id.
        member: name of the model in the bundle.
        reasons: why the accelerator of the target does not compute, a sentence each; empty when it does, or when the
            target has none.
        elsewhere: what to know where this machine is not the target; None where it may be.
    """

    target: str
    member: str
    reasons: tuple[str, ...] = ()
    elsewhere: str | None = None

    @property
    def fallback(self) -> bool:
        """The CPU computes in the place of the target's accelerator."""
        return bool(self.reasons)


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """The selected model, ready to run."""

    selection: Selection
    interpreter: Interpreter


def open_model(bundle: Bundle, target: Target | None = None, *, backend: str | None = None, threads: int = 1) -> Loaded:
    """Return the model of a bundle that this machine runs for a target.

    Args:
        bundle: verified.
        target: what this machine is; None for the generic target of its architecture, without reading its file.
        backend: a name of `backends.BACKENDS`; None takes the first that is installed and reads the model.
        threads: for the inference on the CPU, at least 1.

    Raises:
        TargetMismatchError: the bundle does not admit the target, or this machine has no generic one.
        ConfigError: no back end has this name, or it runs none of the models.
        MissingDependencyError: no back end for the int8 model is installed.
        InferenceError: the int8 model cannot be run.
    """
    if target is None:
        selection = Selection(target=targets.generic_id(), member=models.INT8)
    else:
        selection = Selection(target=target.id, member=models.INT8, elsewhere=_elsewhere(target))
    trust.require_target(bundle, selection.target)
    if target is not None and (special := models.for_accelerator(target)) is not None:
        try:
            interpreter = _for_accelerator(bundle, target, special, backend=backend, threads=threads)
        except _ObstacleError as err:
            selection = replace(selection, reasons=(str(err),))
        else:
            why = f"{special}: {interpreter.backend} finds no {target.accelerator.value} here"
            selection = replace(selection, member=special, reasons=() if interpreter.accelerated else (why,))
            return Loaded(selection=selection, interpreter=interpreter)
    return Loaded(selection=selection, interpreter=_for_cpu(bundle, backend=backend, threads=threads))


class _ObstacleError(Exception):
    """Why the model for an accelerator cannot run here."""


def _elsewhere(target: Target) -> str | None:
    here = targets.architecture()
    if here in target.arch:
        return None
    return f"this machine is {here}, {target.id} is {' or '.join(target.arch)}: answers and times are not the device's"


def _for_accelerator(bundle: Bundle, target: Target, member: str, *, backend: str | None, threads: int) -> Interpreter:
    """Return the member for the target's accelerator, loaded.

    Raises:
        _ObstacleError: it is absent, or cannot be loaded here.
    """
    if member not in bundle.members:
        raise _ObstacleError(f"the bundle has no {member}")
    if obstacle := _delegate_obstacle(target):
        raise _ObstacleError(f"{member}: {obstacle}")
    able = [name for name in models.MODELS[member].backends if backend in (None, name)]
    if not able:
        expected = " or ".join(models.MODELS[member].backends)
        raise _ObstacleError(f"{member}: expected back end {expected}, got {backend!r}")
    installed = [name for name in able if name in backends.available()]
    try:
        return backends.load(bundle.members[member], backend=(installed or able)[0], threads=threads)
    except (InferenceError, MissingDependencyError) as err:
        raise _ObstacleError(f"{member}: {err}") from err


def _for_cpu(bundle: Bundle, *, backend: str | None, threads: int) -> Interpreter:
    able = models.MODELS[models.INT8].backends
    if backend in backends.BACKENDS and backend not in able:
        raise ConfigError(f"backend: expected {' or '.join(able)} for {models.INT8}, got {backend!r}")
    return backends.load(bundle.members[models.INT8], backend=backend, threads=threads)


def _delegate_obstacle(target: Target) -> str | None:
    """Return what keeps the delegate of an Edge TPU target from loading; None for a target without a delegate."""
    if target.accelerator is not Accelerator.EDGETPU:
        return None
    libraries = {"linux": target.delegate.linux, "darwin": target.delegate.macos, "win32": target.delegate.windows}
    library = libraries.get(sys.platform)
    if library is None:
        return f"{target.id} has no delegate library for {sys.platform}"
    try:
        ctypes.CDLL(library)
    except OSError:
        return f"{library} is not installed; install the Edge TPU runtime"
    return f"{library} is installed, but this release does not load delegates"
