"""Copy the sample images out of the public data sets, byte for byte, and write ``samples.json``.

    python edgemed/shipped/samples/make_samples.py ../shared/data

The rule picks blind: of each class of the test split, in the order of paths, those at one third and at two thirds.
No model's answer has a say.
"""

from __future__ import annotations

import csv
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgemed import files, schema
from edgemed.shipped import Sample

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A data set and the classes to take two test pictures of; ``labels`` maps the column's value to words."""

    folder: str
    bundle: str
    modality: str
    split: str
    label: str
    labels: dict[str, str]
    attribution: str


ORIGINS = (
    Origin(
        folder="chest_xray_224",
        bundle="chest-xray",
        modality="DX",
        split="folder_split",
        label="label",
        labels={"0": "normal", "1": "pneumonia"},
        attribution="Kermany et al., Cell 172(5), 2018, data doi:10.17632/rscbjbr9sj; resized; CC BY 4.0",
    ),
    Origin(
        folder="breast_ultrasound_256",
        bundle="breast-ultrasound",
        modality="US",
        split="split",
        label="malignant",
        labels={"0": "normal or benign", "1": "malignant"},
        attribution="Al-Dhabyani et al., Data in Brief 28, 104863, 2020, doi:10.1016/j.dib.2019.104863, "
        "by way of MedMNIST v2; resized; CC BY 4.0",
    ),
)


def copied(origin: Origin, data: Path) -> list[Sample]:
    """Copy this data set's samples beside this script and return their entries."""
    rows = list(csv.DictReader((data / origin.folder / "manifest.csv").read_text(encoding="utf-8").splitlines()))
    found = []
    with zipfile.ZipFile(data / origin.folder / "images.zip") as archive:
        for value, words in origin.labels.items():
            paths = sorted(row["path"] for row in rows if row[origin.split] == "test" and row[origin.label] == value)
            for number, path in enumerate((paths[len(paths) // 3], paths[2 * len(paths) // 3]), start=1):
                name = f"{origin.bundle}-{words.replace(' ', '-')}-{number}{PurePosixPath(path).suffix}"
                files.write_atomic(HERE / name, archive.read(path))
                found.append(
                    Sample(
                        file=name,
                        bundle=origin.bundle,
                        modality=origin.modality,
                        label=words,
                        attribution=origin.attribution,
                        source=f"{origin.folder}/{path}",
                    )
                )
    return found


def main(data: Path) -> None:
    """Write all samples and their list."""
    samples = [sample for origin in ORIGINS for sample in copied(origin, data)]
    files.write_atomic(HERE / "samples.json", schema.encode_json({"schema": 1, "samples": samples}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
