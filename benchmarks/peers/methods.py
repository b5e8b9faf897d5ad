"""The methods compared, in the order of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to int8.

    Attributes:
        name: of its folder.
        label: in the table.
        module: of its stage.
        environment: the option that names its Python; None for the one that runs the benchmark.
        arguments: after the work folder and the seed.
    """

    name: str
    label: str
    module: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()


OURS = "edgemed-qat"
METHODS = (
    Method(name=OURS, label="edgemed QAT", module="peers.qat_ours"),
    Method(name="edgemed-ptq", label="edgemed PTQ", module="peers.ptq_ours"),
    Method(
        name="tfmot",
        label="TFMOT QAT, as documented",
        module="peers.tfmot_qat",
        environment="tfmot_python",
        arguments=("as-documented",),
    ),
    Method(
        name="tfmot-ranges-first",
        label="TFMOT QAT, ranges set first",
        module="peers.tfmot_qat",
        environment="tfmot_python",
        arguments=("ranges-first",),
    ),
    Method(name="tflite-ptq", label="TFLite converter PTQ", module="peers.tflite_ptq"),
    Method(
        name="ai-edge-quantizer",
        label="ai-edge-quantizer PTQ, as documented",
        module="peers.ai_edge_ptq",
        environment="aeq_python",
        arguments=("as-documented",),
    ),
    Method(
        name="ai-edge-quantizer-widest",
        label="ai-edge-quantizer PTQ, widest ranges",
        module="peers.ai_edge_ptq",
        environment="aeq_python",
        arguments=("widest-range",),
    ),
)
