"""What is known of Google's Edge TPU compiler 16.0, each fact beside its source.

Sources: ``axis`` developer.axis.com ARTPEC-7 page of supported operations (republishes Google's table);
``dgist`` github.com/dgist-datalab/Datalab_Intern Edge_TPU/convert_model_for_Edge_TPU.md (an early revision of it);
``oplist`` a public write-up that quotes the official list of 40 names; ``changes`` github.com/google-coral/edgetpu
CHANGES.md; ``#N`` an issue of github.com/google-coral/edgetpu; ``log`` a compiler log published with the issue named.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ABORTED",
    "DYNAMIC",
    "FAILED",
    "FLEX",
    "MAPPED",
    "MAX_VERSIONS",
    "NEWER_OPERATORS",
    "NOT_CONSTANT",
    "NOT_QUANTIZED",
    "NOT_SUPPORTED",
    "NO_CUSTOM",
    "NO_OPERATOR",
    "NO_VERSION",
    "OVERFLOW",
    "RANK",
    "REMEDIES",
    "STRANDED",
    "SUPPORTED",
    "TYPE",
    "UNPARSED",
    "UNSPECIFIED",
]

# The compiler's own words. Statuses: logs of #317, #461, #512, #537, #708 and f0cal/google-coral#20.
MAPPED = "Mapped to Edge TPU"
NOT_SUPPORTED = "Operation not supported"
TYPE = "Operation is working on an unsupported data type"
UNSPECIFIED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
STRANDED = "More than one subgraph is not supported"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"  # log of 2.0, #25

# What it prints when it makes no file at all.
NOT_QUANTIZED = "Model not quantized"  # #168, #222, #313
UNPARSED = "Model could not be parsed"  # #845
ABORTED = "Compilation failed due to large activation tensors in model."  # #439, #512
# #829, tensorflow/tensorflow#57905, #88361: Keras models with a free batch and a Reshape or a Conv2DTranspose.
DYNAMIC = (
    "Attempting to use a delegate that only supports static-sized tensors with a graph that has dynamic-sized tensors."
)
FAILED = "Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter."  # #829
OVERFLOW = "no_integer_overflow_from_quantization was not true."  # #453
FLEX = "Regular TensorFlow ops are not supported by this interpreter."  # #718
NO_CUSTOM = "Encountered unresolved custom op: {name}."  # what TFLite says of a custom operator it does not have
NO_VERSION = (  # #147, #631 and #845, the last two of 16.0
    "Didn't find op for builtin opcode '{name}' version '{version}'. An older version of this builtin might be "
    "supported. Are you using an old TFLite binary with a newer model?"
)
# What TFLite says of a builtin past the end of its schema, without the number it adds.
NO_OPERATOR = "Op builtin_code out of range. Are you using old TFLite binary with newer model?"

# Google's table of operators for runtime 14. Names of axis, dgist and oplist.
SUPPORTED = frozenset(
    (
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS", "FULLY_CONNECTED"),
        *("L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PADV2"),
        *("PRELU", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT"),
        *("SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"),
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    )
)

# Newest version of each operator that the compiler's TFLite can read. It is TFLite of mid-2021 (16.0 is of July 2021);
# the numbers are an upper bound: kernels/register.cc of nxp-imx/tensorflow-imx 0cef4cb, about TensorFlow 2.10, lowered
# where a log proves less: CONV_2D (#631), TRANSPOSE_CONV (#845).
MAX_VERSIONS: Mapping[str, int] = {
    **dict.fromkeys(("RELU", "RELU6", "TANH", "LOGISTIC", "AVERAGE_POOL_2D", "MAX_POOL_2D", "SOFTMAX", "MEAN"), 3),
    **dict.fromkeys(("CONCATENATION", "TRANSPOSE_CONV", "PACK", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN"), 3),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "UNIDIRECTIONAL_SEQUENCE_LSTM"), 3),
    **dict.fromkeys(("ADD", "PAD", "PADV2", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPLIT", "ABS"), 4),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "BATCH_MATMUL", "CAST", "UNPACK", "LSTM"), 4),
    **dict.fromkeys(("CONV_2D", "MUL", "SUB", "TRANSPOSE", "SLICE", "DEQUANTIZE", "GATHER"), 5),
    **dict.fromkeys(("DEPTHWISE_CONV_2D", "STRIDED_SLICE"), 6),
    **dict.fromkeys(("L2_NORMALIZATION", "SQUEEZE", "RSQRT", "SUM", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), 2),
    **dict.fromkeys(("DIV", "LEAKY_RELU", "SQUARED_DIFFERENCE", "SPLIT_V", "MIRROR_PAD", "LOG_SOFTMAX"), 2),
    **dict.fromkeys(("HARD_SWISH", "RELU_N1_TO_1", "RESHAPE", "EXPAND_DIMS", "PRELU", "EXP", "SQRT", "ELU"), 1),
    "FULLY_CONNECTED": 9,
}

# Builtins that the schema got after 16.0 (code 148 and above, TensorFlow 2.7 and later).
NEWER_OPERATORS = frozenset(
    (
        *("RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1", "UNSORTED_SEGMENT_PROD"),
        *("UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2", "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST"),
        *("BITWISE_XOR", "RIGHT_SHIFT", "DILATE", "REDUCE_WINDOW"),
    )
)

# What to use instead of an operator that is not in the table.
REMEDIES: Mapping[str, str] = {
    "ARG_MAX": "leave it out and take the maximum of the scores after the model",
    "ARG_MIN": "leave it out and take the minimum of the scores after the model",
    "BATCH_MATMUL": "use Dense: one side must be constant weights",
    "BATCH_TO_SPACE_ND": "convert with a TensorFlow that keeps dilation inside the convolution, or use strides",
    "SPACE_TO_BATCH_ND": "convert with a TensorFlow that keeps dilation inside the convolution, or use strides",
    "CAST": "leave it out: feed and take the type that the model computes in",
    "DEPTH_TO_SPACE": "use UpSampling2D followed by Conv2D",
    "DEQUANTIZE": "export with int8 outputs and dequantize after the model",
    "DIV": "multiply by the reciprocal",
    "ELU": "use ReLU, ReLU6, or PReLU with shared_axes=[1, 2]",
    "EXP": "leave it out, or use a sigmoid or tanh",
    "GATHER": "use a slice; the places must be known when the model is built",
    "GATHER_ND": "use a slice; the places must be known when the model is built",
    "GELU": "use ReLU or ReLU6",
    "HARD_SWISH": "use ReLU or ReLU6",
    "LEAKY_RELU": "use PReLU with shared_axes=[1, 2] (set its slopes to the constant), or ReLU",
    "LOG_SOFTMAX": "leave it out and compute it after the model",
    "MIRROR_PAD": "use ZeroPadding2D",
    "SHAPE": "fix the batch size: Input(shape, batch_size=1)",
    "SPLIT_V": "split into parts of equal size",
    "SQRT": "leave it out, or compute it after the model",
    # Keras 3 writes UpSampling2D(interpolation="nearest") as RESHAPE to five dimensions and TILE.
    "TILE": "use UpSampling2D(interpolation='bilinear') or Conv2DTranspose, or let the next operator broadcast",
    "TOPK_V2": "leave it out and sort the scores after the model",
    "TRANSPOSE_CONV": "keep its activation in a layer of its own, or use UpSampling2D followed by Conv2D",
    "CONV_2D": "use a convolution with groups=1, or a depthwise one",
    "UNPACK": "use slices",
    "CUSTOM": "leave it out and compute it after the model",
}
