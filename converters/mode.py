"""How a float model becomes a TFLite file.

mode = Mode("ptq")
"""

from __future__ import annotations

import enum

__all__ = ["Mode"]


class Mode(str, enum.Enum):
    """What a conversion does to the numbers of a model."""

    QAT = "qat"
    """Int8, after training through fake quantization."""

    PTQ = "ptq"
    """Int8, with ranges from a calibration set alone."""

    FLOAT16 = "float16"
    """Weights in float16, arithmetic in float32."""

    FLOAT32 = "float32"
    """As trained."""

    @property
    def is_int8(self) -> bool:
        """Whether the result holds integers only."""
        return self in (Mode.QAT, Mode.PTQ)

    @property
    def member(self) -> str:
        """Name of the model's member in an artifact."""
        return "model/int8.tflite" if self.is_int8 else f"model/{self.value}.tflite"
