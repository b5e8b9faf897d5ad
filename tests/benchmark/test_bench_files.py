"""The benchmark files stay out of an ordinary run, and each of them is collected when asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark", reason="needs the dev extra")

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in (ROOT / "benchmarks").glob("bench_*.py"))


def collected(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},  # no xdist worker
    )
    return done.stdout


def test_every_benchmark_file_is_collected_when_asked_for() -> None:
    said = collected("benchmarks", "--benchmark-only")

    assert len(FILES) >= 5
    for name in FILES:
        assert f"benchmarks/{name}::bench_" in said


def test_ordinary_run_starts_from_the_tests_alone(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getini("testpaths") == ["tests"]
    assert not list((ROOT / "tests").rglob("bench_*.py"))
