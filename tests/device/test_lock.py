from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgemed.device import lock
from edgemed.errors import DeviceError

HOLD = "import sys, time; from pathlib import Path; from edgemed.device import lock\n"
HOLD += "with lock.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_second_holder_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    with lock.held(tmp_path), pytest.raises(DeviceError) as caught, lock.held(tmp_path):
        pass
    assert str(caught.value) == f"{tmp_path}: another edgemed is changing this store; try again when it has ended"

    with lock.held(tmp_path):
        pass


def test_lock_of_a_killed_process_is_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeviceError), lock.held(tmp_path):
            pass
        holder.kill()
        holder.wait()

        with lock.held(tmp_path):
            pass


def test_waiting_ends(tmp_path: Path) -> None:
    start = time.monotonic()
    with lock.held(tmp_path), pytest.raises(DeviceError), lock.held(tmp_path, wait_s=0.1):
        pass
    assert time.monotonic() - start >= 0.1


def test_store_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught, lock.held(tmp_path / "none"):
        pass
    assert str(caught.value) == (
        f"{tmp_path}/none/lock: cannot be opened: No such file or directory; a store is changed by a user who may "
        "write it, on a file system that is mounted for writing"
    )
