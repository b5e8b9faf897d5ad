"""A twin back as a plain float Keras model: what training taught it, without fake quantization.

plain = qat.float_model(twin)
plain.save("trained.keras")     # loads without edgemed
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from converters.qat import layers as quantized

__all__ = ["float_model"]

_PLAIN: dict[type[layers.Layer], type[layers.Layer]] = {
    quantized.QuantizedConv2D: layers.Conv2D,
    quantized.QuantizedConv2DTranspose: layers.Conv2DTranspose,
    quantized.QuantizedDense: layers.Dense,
    quantized.QuantizedDepthwiseConv2D: layers.DepthwiseConv2D,
    quantized.QuantizedPReLU: layers.PReLU,
}


def float_model(twin: keras.Model) -> keras.Model:
    """Return the twin's network in float, of Keras' own layers, with its trained weights.

    Normalisations stay folded into the kernels before them: the answers are those of the model that was trained, not
    its layers one by one.

    Args:
        twin: result of `converters.qat.quantization_aware`, trained or not.
    """

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, quantized.ActivationQuantizer) else layer(*args, **kwargs)

    plain = keras.models.clone_model(twin, clone_function=_plain, call_function=call)
    for layer in plain.layers:
        layer.set_weights(twin.get_layer(layer.name).get_weights())
    return plain


def _plain(layer: layers.Layer) -> layers.Layer:
    config = layer.get_config()
    if isinstance(layer, quantized.ActivationQuantizer):
        return layer
    if isinstance(layer, quantized.CappedReLU):
        return layers.ReLU(layer.limit, name=layer.name)
    if isinstance(layer, quantized.HardSwish):
        return layers.Activation("hard_silu", name=layer.name)
    if isinstance(layer, quantized.Scaled):
        return layers.Rescaling(layer.factor, name=layer.name)
    if isinstance(layer, quantized.Shifted):
        return layers.Rescaling(1.0, offset=layer.term, name=layer.name)
    return _PLAIN.get(type(layer), type(layer)).from_config(config)
