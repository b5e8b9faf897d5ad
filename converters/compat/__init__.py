"""Will this model run on that device, and where: said from the file alone, before anything is compiled or flashed.

Rules: no vendor's compiler, no TensorFlow, no device; every fact stands beside its source; what no fact decides is
``maybe``, never a guess. Any bytes give a `Report` or an `EdgemedError`.

    report = compat.check(raw, source="int8.tflite", target=targets.load("coral-usb"))
    report.fully_mapped, [one for one in report.operators if one.verdict is compat.Verdict.CPU]
"""

from __future__ import annotations

from converters.compat.report import Group, OperatorVerdict, Parameters, Report, Verdict, document, grouped, ranges
from edgemed.errors import TargetMismatchError
from edgemed.targets import Accelerator, Target

__all__ = ["Group", "OperatorVerdict", "Parameters", "Report", "Verdict", "check", "document", "grouped", "ranges"]


def check(raw: bytes, *, source: str, target: Target) -> Report:
    """Return where each operator of a model runs on a target.

    Args:
        raw: a TFLite file, or an ONNX file for a target with TensorRT.
        source: the file's name; its suffix decides the format where the bytes do not.
        target: the device.

    Raises:
        ConversionError: the file is damaged or of another format, or holds what no verdict can be given on.
        TargetMismatchError: the target runs models of the other format.
    """
    is_tflite = raw[4:8] == b"TFL3" or source.lower().endswith(".tflite")
    if target.accelerator is Accelerator.TENSORRT:
        if is_tflite:
            raise TargetMismatchError(
                f"{source}: TensorRT on {target.id} runs no TFLite file, it runs an ONNX of the same model: QDQ for "
                f"int8, float16 where it has no int8; convert with --target {target.id} and check its "
                "model/*.onnx"
            )
        from converters.compat.tensorrt import check as check_tensorrt

        return check_tensorrt(raw, source=source, target=target)
    if not is_tflite and source.lower().endswith(".onnx"):
        raise TargetMismatchError(
            f"{source}: {target.id} runs TFLite files, no ONNX; check the model/int8.tflite of the same artifact"
        )
    if target.accelerator is Accelerator.EDGETPU:
        from converters.compat.edgetpu import check as check_edgetpu

        return check_edgetpu(raw, source=source, target=target)
    from converters.compat.xnnpack import check as check_xnnpack

    return check_xnnpack(raw, source=source, target=target)
