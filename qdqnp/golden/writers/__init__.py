"""One writer for each format, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qdqnp.files.folder import Folder
from qdqnp.golden.options import Options
from qdqnp.golden.writers.base import Writer
from qdqnp.golden.writers.c import CWriter
from qdqnp.golden.writers.c_crc import CrcWriter
from qdqnp.golden.writers.hex import HexWriter
from qdqnp.golden.writers.ihex import IhexWriter
from qdqnp.golden.writers.npz import NpzWriter
from qdqnp.golden.writers.raw import BinWriter, NpyWriter

WRITERS: Mapping[str, Callable[[Folder, Options, int], Writer]] = {
    "npz": NpzWriter,
    "npy": NpyWriter,
    "bin": BinWriter,
    "c": CWriter,
    "hex": HexWriter,
    "ihex": IhexWriter,
    "c-crc": CrcWriter,
}
