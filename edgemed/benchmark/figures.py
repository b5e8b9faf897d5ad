"""Published latencies, the machines fitted to them, and how far off each was: data of the package, with its sources.

``figures.json`` is written by ``benchmarks/fit_predictions.py``; nothing in it is measured by edgemed.

    known = figures.load()
    known.predicting("coral-usb")
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.benchmark.roofline import Machine, Positive
from edgemed.targets import Accelerator

__all__ = ["FILE", "Figure", "Figures", "Parameter", "Setup", "load"]

FILE = "figures.json"

Text = Annotated[str, Meta(min_length=1)]


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fitted number.

    Attributes:
        of: the family, or the setup, that it belongs to.
        start: where the fit began, and what it is drawn to.
        spread: how far from there it may go: the standard deviation of the logarithm.
        source: of ``start``.
    """

    of: Text
    name: Text
    value: Positive
    start: Positive
    spread: Positive
    source: Text


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine that figures were published of; a target may have several, such as one per host.

    Attributes:
        target: id of the target it is of; None for a machine that is none.
        predicts: whether edgemed runs a model so; the others only help the fit.
        machine: fitted to all figures.
        left_out: fitted without one network each, in the order of their names: how far a prediction hangs on any one.
    """

    id: Text
    target: Text | None
    summary: Text
    family: Accelerator
    predicts: bool
    machine: Machine
    left_out: tuple[Machine, ...]


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published latency.

    Attributes:
        setup: id of the setup.
        multiply_adds: of the network.
        published_ms: as published: one inference, mostly a mean or a median.
        predicted_ms: by the machine that was fitted.
        left_out_ms: by a machine that was fitted without any figure of this network; None where it is not fitted.
        excluded: why the fit leaves it out; None where it is fitted.
    """

    setup: Text
    network: Text
    multiply_adds: Annotated[int, Meta(ge=0)]
    published_ms: Positive
    published_as: Text
    source: Text
    predicted_ms: Positive
    left_out_ms: Positive | None
    excluded: Text | None

    @property
    def error(self) -> float:
        """Predicted over published, less one."""
        return self.predicted_ms / self.published_ms - 1.0

    @property
    def left_out_error(self) -> float | None:
        """The same without this network; None where it is not fitted."""
        return None if self.left_out_ms is None else self.left_out_ms / self.published_ms - 1.0


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them.

    Attributes:
        unknown: targets without a setup, and why.
    """

    schema: Literal[1]
    made_by: Text
    parameters: tuple[Parameter, ...]
    setups: tuple[Setup, ...]
    figures: tuple[Figure, ...]
    unknown: dict[str, str]

    def predicting(self, target: str) -> tuple[Setup, ...]:
        """Return the setups of a target that a prediction is made for, in the file's order."""
        return tuple(one for one in self.setups if one.target == target and one.predicts)

    def of_target(self, target: str) -> tuple[Figure, ...]:
        """Return the figures of all setups of a target, in the file's order."""
        wanted = {one.id for one in self.setups if one.target == target}
        return tuple(one for one in self.figures if one.setup in wanted)


@functools.cache
def load() -> Figures:
    """Return the figures of the package; the file is read once.

    Raises:
        ConfigError: this installation is incomplete.
    """
    raw = resources.files("edgemed.benchmark").joinpath(FILE).read_bytes()
    return schema.decode_json(raw, Figures, source=FILE)
