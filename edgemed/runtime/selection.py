"""Which model of a bundle runs here: the first that the target admits and that this machine can load.

Rules: a target that the bundle does not admit is refused; a model for an accelerator that cannot run here is passed
over with its reason, never silently; the last is the int8 model on the CPU, and what keeps that from running raises.
Where the target's policy is to stop, nothing is passed over: the reason raises. An Edge TPU may be lost while frames
come, and return: see `edgemed.runtime.failover`.

    loaded = selection.open_model(bundle, targets.load("jetson-orin-nano"), threads=4)
    print(loaded.selection.member, loaded.selection.reasons)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgemed import targets
from edgemed.bundle import models, trust
from edgemed.bundle.archive import Bundle
from edgemed.errors import ConfigError, InferenceError, MissingDependencyError
from edgemed.runtime import backends
from edgemed.runtime.failover import Failover
from edgemed.runtime.interpreter import Delegate, Interpreter
from edgemed.targets import Accelerator, Fallback, Target

__all__ = ["Loaded", "Selection", "current", "open_model"]


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
    """The selected model, ready to run.

    Attributes:
        selection: as it was when the model was opened; see `current`.
    """

    selection: Selection
    interpreter: Interpreter


def current(selection: Selection, interpreter: Interpreter) -> Selection:
    """Return a selection as of the last inference: an accelerator may have been lost since, or have returned."""
    if not isinstance(interpreter, Failover):
        return selection
    if interpreter.reason is None:
        return replace(selection, member=models.EDGETPU, reasons=())
    return replace(selection, member=models.INT8, reasons=(f"{models.EDGETPU}: {interpreter.reason}",))


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
        InferenceError: the int8 model cannot be run, or the accelerator cannot and the target's policy is to stop.
    """
    if target is None:
        selection = Selection(target=targets.generic_id(), member=models.INT8)
    else:
        selection = Selection(target=target.id, member=models.INT8, elsewhere=_elsewhere(target))
    trust.require_target(bundle, selection.target)
    if target is not None and (special := models.for_accelerator(target)) is not None:
        try:
            return _on_accelerator(bundle, target, special, selection, backend=backend, threads=threads)
        except _ObstacleError as err:
            _require_fallback(target, str(err))
            selection = replace(selection, reasons=(str(err),))
    return Loaded(selection=selection, interpreter=_for_cpu(bundle, backend=backend, threads=threads))


class _ObstacleError(Exception):
    """Why the model for an accelerator cannot run here."""


def _elsewhere(target: Target) -> str | None:
    here = targets.architecture()
    if here in target.arch:
        return None
    return f"this machine is {here}, {target.id} is {' or '.join(target.arch)}: answers and times are not the device's"


def _require_fallback(target: Target, obstacle: str) -> None:
    """Refuse to let the CPU judge where the target does not want it."""
    if target.fallback is Fallback.STOP:
        raise InferenceError(
            f"{target.id}: {obstacle}; the policy of this target is fallback: {target.fallback.value}, so the CPU does "
            "not judge in its place"
        )


def _on_accelerator(
    bundle: Bundle, target: Target, member: str, selection: Selection, *, backend: str | None, threads: int
) -> Loaded:
    """Return the member for the target's accelerator, loaded.

    Raises:
        _ObstacleError: it is absent, or cannot be loaded here.
        InferenceError: the accelerator does not compute, and the policy is to stop.
    """
    opening = _opening(bundle, target, member, backend=backend, threads=threads)
    if target.accelerator is Accelerator.EDGETPU:
        return _with_failover(bundle, target, selection, opening, backend=backend, threads=threads)
    try:
        interpreter = opening()
    except InferenceError as err:
        raise _ObstacleError(f"{member}: {err}") from err
    reasons: tuple[str, ...] = ()
    if not interpreter.accelerated:
        reasons = (f"{member}: {interpreter.backend} finds no {target.accelerator.value} here",)
        _require_fallback(target, reasons[0])
    return Loaded(selection=replace(selection, member=member, reasons=reasons), interpreter=interpreter)


def _with_failover(
    bundle: Bundle,
    target: Target,
    selection: Selection,
    opening: Callable[[], Interpreter],
    *,
    backend: str | None,
    threads: int,
) -> Loaded:
    """Return the model on an accelerator that may be unplugged, with what the target's policy has for that moment."""
    stops = target.fallback is Fallback.STOP
    standby = None if stops else _for_cpu(bundle, backend=backend, threads=threads)
    try:
        interpreter = Failover(opening, standby=standby)
    except InferenceError as err:
        raise _ObstacleError(f"{models.EDGETPU}: {err}") from err
    return Loaded(selection=current(selection, interpreter), interpreter=interpreter)


def _opening(
    bundle: Bundle, target: Target, member: str, *, backend: str | None, threads: int
) -> Callable[[], Interpreter]:
    """Return what loads the member onto the target's accelerator; it raises `InferenceError` while that is away.

    Raises:
        _ObstacleError: that could never be on this machine, or with this bundle.
    """
    if member not in bundle.members:
        raise _ObstacleError(f"the bundle has no {member}")
    delegate = _delegate(target, member)
    able = [name for name in models.MODELS[member].backends if backend in (None, name)]
    if not able:
        expected = " or ".join(models.MODELS[member].backends)
        raise _ObstacleError(f"{member}: expected back end {expected}, got {backend!r}")
    chosen = next((name for name in able if name in backends.available()), able[0])

    def load() -> Interpreter:
        try:
            return backends.load(bundle.members[member], backend=chosen, threads=threads, delegate=delegate)
        except MissingDependencyError as err:
            raise InferenceError(str(err)) from err

    return load


def _delegate(target: Target, member: str) -> Delegate | None:
    """Return the delegate of an Edge TPU target for this system; None for a target without one."""
    if target.accelerator is not Accelerator.EDGETPU:
        return None
    library = target.delegate.library()
    if library is None:
        raise _ObstacleError(f"{member}: {target.id} has no delegate library for {sys.platform}")
    return Delegate(library=library, device=target.delegate.device)


def _for_cpu(bundle: Bundle, *, backend: str | None, threads: int) -> Interpreter:
    able = models.MODELS[models.INT8].backends
    if backend in backends.BACKENDS and backend not in able:
        raise ConfigError(f"backend: expected {' or '.join(able)} for {models.INT8}, got {backend!r}")
    return backends.load(bundle.members[models.INT8], backend=backend, threads=threads)
