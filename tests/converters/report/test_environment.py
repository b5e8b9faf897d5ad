from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata

import msgspec

from converters.report import environment


def test_environment_says_what_computed_and_not_where() -> None:
    found = environment.here()
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == metadata.version("numpy")
    assert found.cores >= 1
    assert found.cpu
    assert platform.node() not in msgspec.json.encode(found).decode()


def test_peak_memory_grows_with_what_is_held() -> None:
    # A process of its own: here the peak may lie far above what is held now.
    script = (
        "from edgemed.measure.process import peak_memory_mib as peak\n"
        "before = peak(); held = b'x' * (128 << 20); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 120 < float(done.stdout) < 140
