"""What edgetpu_compiler prints, as a value, and how it differs from what `converters.compat` predicted.

The format is that of 16.0 with ``--show_operations``: sizes and counts as ``name: value`` lines, then a table of
operator, count and status. Fully mapped models have no lines that count what runs where.

    log = edgetpu_log.parse(stdout)
    for line in edgetpu_log.differences(report, log): ...
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from converters.compat import Report, Verdict
from converters.compat.edgetpu_facts import MAPPED
from edgemed.errors import ConversionError

__all__ = ["Log", "Status", "differences", "parse"]

PREDICTED_VERSION = "16.0"

_VERSION = re.compile(r"^Edge TPU Compiler version (\S+)\s*$", re.MULTILINE)
_FIELD = re.compile(r"^([A-Z][^:\n]{3,80}): +(\S+)\s*$", re.MULTILINE)
_ROW = re.compile(r"^([A-Z][A-Z0-9_]{1,60}) +(\d{1,9}) +(\S.*?)\s*$", re.MULTILINE)
_SIZE = re.compile(r"^(\d{1,12}(?:\.\d{1,6})?)(B|KiB|MiB|GiB)$")
_UNITS: Mapping[str, int] = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_ON_CHIP = "On-chip memory used for caching model parameters"
_REMAINING = "On-chip memory remaining for caching model parameters"
_OFF_CHIP = "Off-chip memory used for streaming uncached model parameters"
_SEGMENTS = "Number of Edge TPU subgraphs"
_TOTAL = "Total number of operations"

# Sizes are printed with two decimals, and small constants are laid out in ways no fact tells: smaller is no difference.
_SIZE_SHARE = 0.02
_SIZE_BYTES = 16 << 10


@dataclass(frozen=True, kw_only=True)
class Status:
    """One row of the operator table."""

    op: str
    count: int
    status: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """One compilation, as the compiler told it; sizes in bytes, as exact as two decimals of their unit."""

    version: str
    on_chip_bytes: int
    on_chip_remaining_bytes: int
    off_chip_bytes: int
    segments: int
    operators: int
    statuses: tuple[Status, ...]

    @property
    def fully_mapped(self) -> bool:
        """Whether every operator runs on the Edge TPU."""
        return bool(self.statuses) and all(one.status == MAPPED for one in self.statuses)


def parse(text: str) -> Log:
    """Return what the compiler printed about a model that it compiled.

    Raises:
        ConversionError: a line is missing or unlike the format of 16.0, or the table does not add up.
    """
    version = _VERSION.search(text)
    if version is None:
        raise ConversionError("edgetpu_compiler: expected 'Edge TPU Compiler version ...' in its output, got none")
    fields = dict(_FIELD.findall(text))
    statuses = tuple(Status(op=op, count=int(count), status=status) for op, count, status in _ROW.findall(text))
    log = Log(
        version=version[1],
        on_chip_bytes=_size(fields, _ON_CHIP, version[1]),
        on_chip_remaining_bytes=_size(fields, _REMAINING, version[1]),
        off_chip_bytes=_size(fields, _OFF_CHIP, version[1]),
        segments=_count(fields, _SEGMENTS, version[1]),
        operators=_count(fields, _TOTAL, version[1]),
        statuses=statuses,
    )
    listed = sum(one.count for one in statuses)
    if listed != log.operators:
        raise ConversionError(
            f"edgetpu_compiler {log.version}: expected a table of {log.operators} operators as it counts them, "
            f"got {listed}; its log is not in the format of {PREDICTED_VERSION}"
        )
    return log


def _size(fields: Mapping[str, str], name: str, version: str) -> int:
    found = _SIZE.match(_field(fields, name, version))
    if found is None:
        raise ConversionError(f"edgetpu_compiler {version}: {name}: expected a size like 1.50MiB, got {fields[name]!r}")
    return round(float(found[1]) * _UNITS[found[2]])


def _count(fields: Mapping[str, str], name: str, version: str) -> int:
    text = _field(fields, name, version)
    if not re.fullmatch(r"\d{1,9}", text):
        raise ConversionError(f"edgetpu_compiler {version}: {name}: expected a whole number, got {text!r}")
    return int(text)


def _field(fields: Mapping[str, str], name: str, version: str) -> str:
    if name not in fields:
        raise ConversionError(
            f"edgetpu_compiler {version}: expected the line {name!r} in its output, got none; "
            f"its log is not in the format of {PREDICTED_VERSION}"
        )
    return fields[name]


def differences(report: Report, log: Log) -> tuple[str, ...]:
    """Return each thing the compiler did otherwise than predicted, as a sentence; empty when all came true.

    A ``maybe`` is no prediction: whichever way the compiler decides it is no difference.
    """
    found = []
    if not log.version.startswith(f"{PREDICTED_VERSION}."):
        found.append(f"compiler: the prediction is of version {PREDICTED_VERSION}, this is {log.version}")
    found += _statuses(report, log)
    certain = all(one.verdict is not Verdict.MAYBE for one in report.operators)
    if certain and report.segments != log.segments:
        found.append(f"segments: predicted {report.segments}, the compiler made {log.segments}")
    sizes = (
        ("on chip", report.parameters.on_chip_bytes, log.on_chip_bytes),
        ("off chip", report.parameters.off_chip_bytes, log.off_chip_bytes),
    )
    for name, predicted, actual in sizes:
        if certain and predicted is not None and abs(predicted - actual) > max(_SIZE_BYTES, _SIZE_SHARE * actual):
            found.append(f"parameters {name}: predicted {predicted} bytes, the compiler placed {actual}")
    return tuple(found)


def _statuses(report: Report, log: Log) -> list[str]:
    names = dict.fromkeys([one.op for one in report.operators] + [one.op for one in log.statuses])
    return [line for name in names if (line := _operator(name, report, log)) is not None]


def _operator(name: str, report: Report, log: Log) -> str | None:
    """Return how the counts of one operator differ; open verdicts fill what the certain ones leave."""
    mine = [one for one in report.operators if one.op == name]
    certain = Counter(one.reason for one in mine if one.verdict is not Verdict.MAYBE)
    actual: Counter[str] = Counter()
    for one in log.statuses:
        if one.op == name:
            actual[one.status] += one.count
    missing = certain - actual
    if not missing and actual.total() == len(mine):
        return None
    still_open = len(mine) - certain.total()
    open_text = f", {still_open} not decided" if still_open else ""
    return f"{name}: predicted {_counts(certain)}{open_text}; the compiler says {_counts(actual)}"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status!r}" for status, count in sorted(counts.items())) or "none"
