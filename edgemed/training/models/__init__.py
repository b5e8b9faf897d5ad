"""The model zoo: small Keras networks that keep the model contract and Edge TPU's operator set.

Input plane: float32 (batch, H, W, 1) with grey levels 0..255, as `edgemed.imaging.preprocess` makes them; the change of
range is the graph's first layer. Outputs by name: ``logit`` (batch, K), ``evidence`` (batch, h, w, K) whose spatial
mean is the logit, ``embedding`` (batch, C).

    model = models.mobilenet_v2(height=160, width=160, cut="block_12", pretrained=path)
    model = models.build(recipe.model, height=28, width=28, outputs=1)
"""

from __future__ import annotations

from edgemed.training.models.blocks import is_head
from edgemed.training.models.ds_cnn import ds_cnn
from edgemed.training.models.families import build
from edgemed.training.models.mobilenet_v2 import MOBILENET_V2_CUTS, mobilenet_v2

__all__ = ["MOBILENET_V2_CUTS", "build", "ds_cnn", "is_head", "mobilenet_v2"]
