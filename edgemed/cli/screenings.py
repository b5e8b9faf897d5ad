"""Screening results as the command line shows them: JSON documents, table rows, heatmap files, exit codes.

document = screenings.document(screener, results)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.cli import output
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.runtime.screener import Screener
    from edgemed.runtime.screening import Latency, Screening
    from edgemed.runtime.worklist import Outcome

__all__ = [
    "ALERT",
    "COLUMNS",
    "about",
    "about_fallback",
    "about_selection",
    "document",
    "exit_code",
    "latency",
    "latency_cells",
    "lines",
    "narrow",
    "require_folder",
    "result",
    "row",
    "summary",
    "write_heatmap",
]

COLUMNS = ("input", "frame", "decision", "score", "ms", "heatmap", "reasons")
_DECISIONS = ("alert", "clear", "indeterminate", "refused")
ALERT, _REFUSED = 10, 8


def document(screener: Screener, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the document of ``edgemed screen --json`` but for its ``schema_version``."""
    described = about(screener)
    if any(entry["fallback"] for entry in results):
        described["runtime"] |= {"fallback": True, "reason": about_fallback(screener, results)}
    return {**described, "results": list(results), "summary": summary(results)}


def about(screener: Screener) -> dict[str, Any]:
    """Return what judged, and on what it ran."""
    manifest, interpreter = screener.bundle.manifest, screener.classifier.interpreter
    selection = screener.selection
    return {
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "digest": screener.bundle.digest,
            "decision_version": screener.rule.version,
            "overlay": screener.bundle.overlay is not None,
        },
        "runtime": {
            "backend": interpreter.backend,
            "target": selection.target,
            "threads": interpreter.threads,
            "fallback": selection.fallback,
            "member": selection.member,
            "reason": "; ".join(selection.reasons) or None,
        },
    }


def about_selection(screener: Screener) -> list[str]:
    """Return what to say of the model that runs: why the CPU computes, and that this is not the target's machine."""
    selection = screener.selection
    said = [f"{selection.target}: runs {selection.member} on the CPU: {reason}" for reason in selection.reasons]
    return [*said, selection.elsewhere] if selection.elsewhere else said


def about_fallback(screener: Screener, results: Sequence[dict[str, Any]]) -> str | None:
    """Return that the CPU computed in the place of the target's accelerator, for how many frames and why, or None."""
    count = sum(entry["fallback"] for entry in results)
    if not count:
        return None
    why = "; ".join(screener.selection.reasons) or "the accelerator was away; it answers again"
    return why if count == len(results) else f"{why} ({count} of {len(results)} frames were computed on the CPU)"


def result(found: Screening, heatmap: str | None) -> dict[str, Any]:
    """Return the entry of one frame, keys in the order of the contract; with several labels also a score for each."""
    labels = {} if found.label_scores is None else {"label_scores": dict(found.label_scores)}
    return {
        "input": found.source,
        "frame": found.frame,
        "decision": found.decision.value,
        "score": found.score,
        **labels,
        "logit": found.logit,
        "operating_point": found.operating_point,
        "threshold": found.threshold,
        "reasons": found.reasons,
        "ood_distance": found.ood_distance,
        "fallback": found.fallback,
        "latency_ms": latency(found.latency),
        "heatmap": heatmap,
    }


def summary(results: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return how many frames got each decision; every decision has an entry."""
    counts = Counter(entry["decision"] for entry in results)
    return {name: counts[name] for name in _DECISIONS}


def exit_code(results: Sequence[dict[str, Any]], *, fail_on_alert: bool) -> int:
    """Return 10 for an alert if it was asked for, else 8 for a refusal, else 0."""
    counts = summary(results)
    if fail_on_alert and counts["alert"]:
        return ALERT
    return _REFUSED if counts["refused"] else 0


def row(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of `COLUMNS` for one entry."""
    return (
        entry["input"],
        str(entry["frame"]),
        entry["decision"] + (" (on CPU)" if entry["fallback"] else ""),
        _score(entry),
        _cell(entry["latency_ms"]["total"], 1),
        entry["heatmap"] or "-",
        "; ".join(entry["reasons"]),
    )


def narrow(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells for a narrow terminal: no time, and no column that says nothing."""
    kept = [
        index
        for index, name in enumerate(COLUMNS)
        if name != "ms" and (name not in ("heatmap", "reasons") or any(row[index] not in ("", "-") for row in rows))
    ]
    return [COLUMNS[index] for index in kept], [[row[index] for index in kept] for row in rows]


def lines(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return one entry as names and values: what a single frame needs no table for."""
    shown = [
        ("input", f"{entry['input']}, frame {entry['frame']}"),
        ("decision", entry["decision"]),
        ("score", f"{_cell(entry['score'], 3)} ({entry['operating_point']}, threshold {_cell(entry['threshold'], 3)})"),
        *([("computed by", "the CPU, in place of the accelerator")] if entry["fallback"] else []),
        *(("  " + name, _cell(share, 3)) for name, share in entry.get("label_scores", {}).items()),
        ("distance", _cell(entry["ood_distance"], 2)),
        ("time", f"{_cell(entry['latency_ms']['total'], 2)} ms"),
        ("heatmap", entry["heatmap"] or "-"),
    ]
    return [*shown, *(("reason", reason) for reason in entry["reasons"])]


def latency_cells(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return decode, preprocess, infer, decide and total of one entry, in milliseconds."""
    return tuple(_cell(entry["latency_ms"][stage], 2) for stage in ("decode", "preprocess", "infer", "decide", "total"))


def require_folder(folder: Path, *, option: str) -> None:
    """Make a folder for pictures, before any work is done that would need it; say so where it holds others.

    Raises:
        ConfigError: it cannot be made or written.
    """
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        older = any(folder.iterdir())
    except OSError as err:
        raise ConfigError(
            f"{option}: {folder}: cannot be written: {err.strerror or err}; choose another folder"
        ) from err
    if older:
        output.note(f"{option}: {folder}: holds older files; pictures with the same number are replaced")


def write_heatmap(folder: Path | None, outcome: Outcome, screener: Screener, *, option: str) -> str | None:
    """Draw the evidence of one frame into ``folder`` and return the file's name.

    The name is a number: a name of the input's own could be a patient's. None: no folder, a refused frame, or a
    model without evidence.

    Raises:
        ConfigError: the file cannot be written.
    """
    found = outcome.screening
    if folder is None or outcome.frame is None or found.score is None or found.evidence is None:
        return None
    from edgemed.runtime import evidence

    image = evidence.overlay(outcome.frame, found, preprocessing=screener.preprocessing, rule=screener.rule)
    name = f"{outcome.number:04d}-scan.{found.frame}.png"
    output.write_file(folder / name, evidence.encode_png(image), option=option)
    return name


def _score(entry: dict[str, Any]) -> str:
    """Return the score; with several labels also the one that is the most probable."""
    labels = entry.get("label_scores", {})
    if not labels:
        return _cell(entry["score"], 3)
    likely = max(labels, key=labels.__getitem__)
    return f"{_cell(entry['score'], 3)}, {likely} {_cell(labels[likely], 3)}"


def latency(found: Latency) -> dict[str, float | None]:
    """Return the times of the stages in milliseconds, keys in the order of the contract."""
    stages = {
        "decode": found.decode_ms,
        "preprocess": found.preprocess_ms,
        "infer": found.infer_ms,
        "decide": found.decide_ms,
        "record": found.record_ms,
        "total": found.total_ms,
    }
    return {name: None if value is None else round(value, 4) for name, value in stages.items()}


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
