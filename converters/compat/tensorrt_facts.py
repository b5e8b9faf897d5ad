"""What TensorRT's ONNX parser takes, release by release.

Source: docs/operators.md of onnx-tensorrt, branch release/8.5-GA ("TensorRT 8.5 supports operators up to Opset 17") and
the page of 8.4; TensorRT 8.2 of JetPack 4.6 reads up to opset 13. JetPack 5.1 has TensorRT 8.5, JetPack 6 has 8.6 and
10.3, which take at least as much. facts/devices.yaml: no INT8 in TensorRT on the Jetson Nano's GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgemed.targets import Precision

__all__ = ["IN_INT8", "LATER", "LOWEST_OPSET", "NEWEST_OPSET", "REFUSED", "RELEASE", "SUPPORTED"]

RELEASE: Mapping[Precision, str] = MappingProxyType(
    {Precision.INT8: "TensorRT 8.5 (JetPack 5.1)", Precision.FLOAT16: "TensorRT 8.2 (JetPack 4.6)"}
)
"""The oldest release on the Jetsons that compute in this precision."""

NEWEST_OPSET: Mapping[Precision, int] = MappingProxyType({Precision.INT8: 17, Precision.FLOAT16: 13})
LOWEST_OPSET = 13
"""The first whose QuantizeLinear and DequantizeLinear take one scale per channel (ONNX, Changelog.md)."""

_INT8_ROWS = """
AveragePool Clip Concat Constant Conv ConvTranspose Elu Gather GatherElements GatherND Gemm GlobalAveragePool
GlobalLpPool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu LpPool MaxPool Pad ParametricSoftplus PRelu Relu
Reshape Round ScaledTanh Selu Shape Sigmoid Sign Size Slice Softplus Softsign Squeeze Tanh ThresholdedRelu Transpose
Trilu Unsqueeze
"""
_FLOAT_ROWS = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Cast Ceil Celu ConstantOfShape Cos
Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Equal Erf Exp Expand EyeLike Flatten Floor Greater
GreaterOrEqual GridSample GRU If ImageScaler InstanceNormalization IsNaN Less LessOrEqual Log LogSoftmax Loop LRN
LSTM LpNormalization MatMul Max Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot
Or Pow QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1
ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize
ReverseSequence RNN RoiAlign Scan Scatter ScatterElements ScatterND Shrink Sin Sinh Softmax SpaceToDepth Split Sqrt
Sub Sum Tan Tile TopK Upsample Where Xor
"""
_LATER_ROWS = """
GridSample HardSwish MeanVarianceNormalization Mod NonZero OneHot RandomNormal RandomNormalLike RoiAlign Shrink
Trilu
"""
_REFUSED_ROWS = """
Bernoulli BitShift BlackmanWindow Compress ConcatFromSequence ConvInteger DFT Det DynamicQuantizeLinear
HammingWindow HannWindow Hardmax IsInf LayerNormalization MatMulInteger MaxRoiPool MaxUnpool MelWeightMatrix
Multinomial NegativeLogLikelihoodLoss Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul STFT
SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap
SoftmaxCrossEntropyLoss SplitToSequence StringNormalizer TfIdfVectorizer Unique
"""

IN_INT8 = frozenset(_INT8_ROWS.split())
"""Operators whose row names INT8."""

SUPPORTED = IN_INT8 | frozenset(_FLOAT_ROWS.split())
"""Operators with a Y in the table of TensorRT 8.5."""

LATER = frozenset(_LATER_ROWS.split())
"""Of these, those that the table of TensorRT 8.4 does not have or refuses."""

REFUSED = frozenset(_REFUSED_ROWS.split())
"""Operators with an N in it."""
