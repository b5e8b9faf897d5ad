"""Ages as bands of ten years: what a subgroup table needs, and no more than that.

ages.band("067Y")  # '60-69'
"""

from __future__ import annotations

import re

__all__ = ["ATTRIBUTE", "band"]

ATTRIBUTE = "age_band"
"""The attribute whose values are read as ages."""

_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5 6.2, value representation AS
_UNITS_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_OLDEST = 90  # one band from here on: the very old can be told apart by their age (45 CFR 164.514(b)(2)(i)(C))


def band(value: str) -> str:
    """Return ``0-9``, ``10-19``, ... ``90+`` for an age in years or a DICOM Age String; other text as it is."""
    if found := _DICOM_AGE.fullmatch(value):
        years = int(found[1]) / _UNITS_A_YEAR[found[2]]
    elif re.fullmatch(r"\d{1,3}(\.\d*)?", value):
        years = float(value)
    else:
        return value
    first = int(years) // 10 * 10
    return f"{_OLDEST}+" if first >= _OLDEST else f"{first}-{first + 9}"
