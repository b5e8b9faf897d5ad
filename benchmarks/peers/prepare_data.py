"""Stage: chest X-ray planes, divided by patient, into ``WORK/data.npz``.

python -m peers.prepare_data WORK DATA_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import kept
import xray
from peers import exchange


def main(work: Path, folder: Path) -> None:
    settings = exchange.settings(work)
    divided = xray.divided(folder, side=settings.side, validation_fraction=settings.validation_fraction)
    kept.write_arrays(
        work / "data.npz",
        train_planes=divided.train.planes,
        train_labels=divided.train.labels,
        validation_planes=divided.validation.planes,
        validation_labels=divided.validation.labels,
        validation_patients=divided.patients,
        calibration=divided.calibration(settings.calibration),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
