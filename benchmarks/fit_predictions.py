"""Fit the machines of `edgemed benchmark --predict` to published latencies, and say how far off each one is.

The networks are laid out from their papers (`published/`), and the formula is the package's own
(`edgemed.benchmark.roofline`). All figures are fitted together, by least squares of the logarithm of predicted over
published; then once more for each network without any of its figures, on whichever machine.

    python benchmarks/fit_predictions.py ../shared/facts/devices.yaml [--check]

It writes edgemed/benchmark/figures.json; with --check it only says whether that file is what would be written. Exit 3
where the median error, or that of networks left out, exceeds 25 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import least_squares

from edgemed.benchmark import figures, roofline
from edgemed.benchmark.figures import Figure, Figures, Parameter, Setup
from published import facts, machines, networks
from published.facts import Row
from published.machines import STARTS, Values

WRITTEN = Path(__file__).resolve().parents[1] / "edgemed" / "benchmark" / figures.FILE
NOISE = 0.12  # standard deviation of the logarithm that figures of different benches are taken to have
LIMIT = 0.25
KEYS = [(one.of, one.name) for one in STARTS]


def main() -> int:
    options = parse()
    rows = facts.rows(options.facts)
    found = document(rows)
    raw = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    report(found)
    if options.check:
        same = WRITTEN.read_bytes() == raw
        print(f"{WRITTEN.name} is {'as fitted' if same else 'ANOTHER: run this without --check'}")
        return 0 if same else 3
    WRITTEN.write_bytes(raw)
    return 3 if max(medians(found)) > LIMIT else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts", type=Path, help="devices.yaml")
    parser.add_argument("--check", action="store_true", help="compare with the file of the package, write nothing")
    return parser.parse_args()


def predicted_ms(row: Row, values: Values) -> float:
    return roofline.parts(networks.load(row.network), machines.machine(row.setup, values)).total_ms


def fit(rows: Sequence[Row]) -> Values:
    """Return the fitted numbers; those that no row speaks of stay at their start."""
    start = np.log([one.value for one in STARTS])
    spread = np.array([one.spread for one in STARTS])

    def residuals(theta: np.ndarray) -> np.ndarray:
        values = dict(zip(KEYS, np.exp(theta), strict=True))
        off = [math.log(predicted_ms(row, values) / row.ms) / NOISE for row in rows]
        return np.concatenate([off, (theta - start) / spread])

    theta = least_squares(residuals, start).x
    # Four digits: a last bit that differs between two machines changes no file.
    return {key: float(f"{value:.4g}") for key, value in zip(KEYS, np.exp(theta), strict=True)}


def document(rows: Sequence[Row]) -> Figures:
    fitted = [row for row in rows if row.excluded is None]
    values = fit(fitted)
    without = {
        name: fit([row for row in fitted if networks.same(row.network) != name])
        for name in sorted({networks.same(row.network) for row in fitted})
    }
    return Figures(
        schema=1,
        made_by="benchmarks/fit_predictions.py",
        parameters=tuple(
            Parameter(
                of=one.of,
                name=one.name,
                value=values[one.of, one.name],
                start=one.value,
                spread=one.spread,
                source=one.source,
            )
            for one in STARTS
        ),
        setups=tuple(
            Setup(
                id=name,
                target=one.target,
                summary=one.summary,
                family=one.family,
                predicts=one.predicts,
                machine=machines.machine(name, values),
                left_out=tuple(machines.machine(name, other) for other in without.values()),
            )
            for name, one in machines.SETUPS.items()
        ),
        figures=tuple(
            figure(row, values, None if row.excluded else without[networks.same(row.network)]) for row in rows
        ),
        unknown=dict(machines.UNKNOWN),
    )


def figure(row: Row, values: Values, without: Values | None) -> Figure:
    return Figure(
        setup=row.setup,
        network=row.network,
        multiply_adds=networks.load(row.network).multiply_adds,
        published_ms=row.ms,
        published_as=row.described,
        source=row.source,
        predicted_ms=round(predicted_ms(row, values), 3),
        left_out_ms=None if without is None else round(predicted_ms(row, without), 3),
        excluded=row.excluded,
    )


def medians(found: Figures) -> tuple[float, float]:
    """Return the median absolute error of the fitted figures, and of the same with their network left out."""
    fitted = [one for one in found.figures if one.left_out_error is not None]
    return (
        float(np.median([abs(one.error) for one in fitted])),
        float(np.median([abs(one.left_out_error or 0.0) for one in fitted])),
    )


def report(found: Figures) -> None:
    for one in found.figures:
        known = f"{one.setup:28} {one.network:24} {one.published_ms:8.2f} ms"
        left = f"left out {one.left_out_ms:9.2f} {one.left_out_error:+5.0%}" if one.left_out_ms else "not fitted"
        print(f"{known}  {one.predicted_ms:8.2f} {one.error:+5.0%}  {left}")
    fitted, left_out = medians(found)
    print(f"median absolute error: {fitted:.1%} fitted, {left_out:.1%} left out, limit {LIMIT:.0%}")


if __name__ == "__main__":
    sys.exit(main())
