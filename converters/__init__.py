"""From a trained Keras model to a full int8 TFLite file that decides as the float model did.

Quantization-aware training, export, the parity gate, and the artifact folder that `edgemed bundle build` takes. It
imports `edgemed.runtime` and below; data, labels and fit options reach it as values. Converting needs the extra
``train``; importing this package does not.
"""
