"""The model contract: any trained Keras 3 model becomes one plane of grey levels in, a logit by name out.

    adapted = contract.adapted(model, input_range=(-1, 1))

`admission` says which models can be taken, `flat` opens what is nested, `bare` turns arithmetic on tensors into layers,
`plane_input` feeds one gray plane, `head` cuts endings and derives evidence, `input_scale` finds a mistaken range.
"""

from __future__ import annotations

from converters.contract.adaptation import Adapted, adapted

__all__ = ["Adapted", "adapted"]
