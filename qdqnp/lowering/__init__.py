"""A lowering maps Graph to Program by a list of named passes; `LOWERINGS` has those that come with qdqnp."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.lowering.base import Lowering
from qdqnp.lowering.device.levels import DEVICE, DEVICE_16X8, EXACT
from qdqnp.lowering.emit import lower
from qdqnp.lowering.ort.levels import ORT, ORT_UNFUSED, ORT_X64

LOWERINGS: Mapping[str, Lowering] = {
    lowering.name: lowering for lowering in (ORT, ORT_X64, ORT_UNFUSED, DEVICE, DEVICE_16X8, EXACT)
}

__all__ = ["LOWERINGS", "Lowering", "lower"]
