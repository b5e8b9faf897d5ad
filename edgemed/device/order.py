"""What a workstation asks of ``edgemed device receive``: one line of JSON, read by `edgemed.device.receive`.

order.encode(Order(path="/var/lib/edgemed/inbox/0123.upload"))
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.errors import ConfigError

__all__ = ["LIMIT_BYTES", "Order", "encode", "parse"]

LIMIT_BYTES = 64 << 10
_PATH = r"^[^\x00]+\Z"  # POSIX.1-2017, 3.271: any bytes but NUL


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to install, and how.

    Attributes:
        path: of the bundle file on this device.
        tentative: starts after which the device goes back by itself unless somebody commits; None commits at once.
        strict_latency: whether a stage over its budget refuses the bundle.
    """

    path: Annotated[str, Meta(pattern=_PATH)]
    tentative: Annotated[int, Meta(ge=1, le=1000)] | None = None
    strict_latency: bool = False


def encode(order: Order) -> bytes:
    """Return the line."""
    return msgspec.json.encode(order) + b"\n"


def parse(line: bytes) -> Order:
    """Return the order of a line.

    Raises:
        ConfigError: it is none.
    """
    return schema.decode_json(line, Order, source="order", error=ConfigError)
