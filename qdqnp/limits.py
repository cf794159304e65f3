"""Every limit that the reader puts on a model file, and the reason for its value.

A file states sizes before it holds data, so a few bytes could otherwise ask for terabytes or for hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

# Protobuf itself stops at 2 GiB per message; larger models keep their weights in external files.
MAX_FILE_BYTES = 2**31 - 1

# One tensor, in the file or computed. The largest activations of vision models at batch 64 stay below 1 GiB.
MAX_TENSOR_BYTES = 4 * 2**30

# All external data of a model together. Larger models do not fit the machines this runtime serves.
MAX_EXTERNAL_BYTES = 16 * 2**30

# Nodes (each as NODE_PARTS), their inputs, outputs and attributes (lists by their length) after functions are inlined:
# about 40,000 nodes, which take some ten seconds. Large language models have some ten thousand; functions that call
# functions can multiply without bound.
MAX_NODE_PARTS = 250_000
NODE_PARTS = 4

# Entries of all lists of a model file together: nodes with inputs, outputs and attributes, initializers, declarations.
MAX_ENTRIES = 500_000

# Bytes of constants, summed over the nodes that read them, and of what is computed from constants alone. Each use makes
# copies when a model is prepared; networks use each weight once or a few times.
CONSTANT_USE = 2**26
CONSTANT_USE_PER_BYTE = 64

# Calls of model-local functions inside each other. Exporters nest as deep as modules do, about ten.
MAX_FUNCTION_DEPTH = 32

# NumPy before 2.0 stops at 32 axes, and operators add a few while they reshape.
MAX_RANK = 32

# Characters of a name or of a text attribute. Exporters write paths of modules, a few hundred characters.
MAX_TEXT = 4096

# Characters of a name made while inlining: it is only a label, and depth must not multiply its length.
MAX_MADE_NAME = 400

# Nodes listed in one problem: nobody would read more.
MAX_LISTED = 50

# What a run may compute: elements read, made and of work memory (tens of nanoseconds each), products, and the bytes
# that it needs at once. Fixed amounts that any machine has, and for each byte of constants and inputs more than
# networks need: 100 convolutions of 64 channels, 3x3, on uint8 pictures handle 10,000 elements and 1.2 million products
# for each byte.
RUN_ELEMENTS = 2**23
RUN_ELEMENTS_PER_BYTE = 2**13
RUN_PRODUCTS = 2**31
RUN_PRODUCTS_PER_BYTE = 2**22
RUN_BYTES = 2**30
RUN_BYTES_PER_BYTE = 2**10

# Elements of a tensor that is computed from sizes and constants when a model is loaded, or before a run; and of all of
# them together, apart for those of few elements. Scales of 65,536 channels are among them; lists of sizes have few.
KNOWN_ELEMENTS = 2**16
KNOWN_WORK = 2**22
KNOWN_SMALL = 2**8

# Inputs of the trial of an operator that was given for a load and does not say its shapes. The largest activations of
# networks for devices have a few megabytes.
TRIAL_BYTES = 2**26

# The same of all such nodes of a model together, each once: a few seconds.
TRIALS_BYTES = 2**30

# Elements of a graph input that may say sizes, as the shape of a Reshape or the scales of a Resize.
KNOWN_INPUT = 64

# Random inputs of one run, which a file of a few bytes can declare as large as it likes. The largest pictures that
# vision models declare, 4,096 x 4,096 in three channels, have 192 MiB as float32.
MAX_RANDOM_BYTES = 2**28

# Input shapes of which a plan remembers the shapes of all its tensors.
SHAPES_KEPT = 64

# Schedules that a plan keeps, each with the memory of its images, and the most memory that one may have: DLA-46-C at
# 896 x 896 takes 120 MB. As much, or more in proportion to the constants, may the weights of all its layers take, which
# are spread out, and where layers share a constant, for each anew. What needs more is computed step by step.
SCHEDULES_KEPT = 4
SCHEDULE_BYTES = 2**28
SCHEDULE_BYTES_PER_BYTE = 16

# What an archive of arrays may unpack to: an amount that any machine has, and for each byte of the file some more.
# Activations shrink to a half or a tenth, pictures of one colour to a thousandth.
UNPACKED = 2**28
UNPACKED_PER_BYTE = 16

# Arrays of an archive or a dump. A network has a few hundred tensors.
MAX_MEMBERS = 20_000

# Pixels of a picture, as it is stored or after it was resized: 4 bytes each while it is decoded. Cameras have half as
# many, or fewer.
MAX_PIXELS = 2**26

# Bytes of a picture's file; some decoders read it at once.
MAX_PICTURE_BYTES = 2**29

# Bytes of a manifest, which may take 20 times as much memory once it is parsed. 1,000 tensors of 4,000 inputs fit.
MAX_MANIFEST_BYTES = 2**26

# Bytes of a text file, such as the names of classes.
MAX_TEXT_BYTES = 2**24

# The oldest opset that ONNX Runtime promises to run. QuantizeLinear came with opset 10; older files are float, or
# quantized by ONNX Runtime's own operators.
OLDEST_OPSET = 7


def bytes_needed(dtype: np.dtype[Any], shape: Iterable[object]) -> int:
    """Return the bytes that an array needs at least.

    Unknown sizes count as 1, and so do zeros: NumPy refuses (0, 2**62) too.
    """
    return math.prod(max(dim, 1) for dim in shape if isinstance(dim, int)) * dtype.itemsize


def readable_bytes(count: int) -> str:
    """Write a byte count for messages, for example '4.0 GiB (4294967296 bytes)'."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    step = min((count.bit_length() - 1) // 10, len(units) - 1) if count else 0
    if step == 0:
        return f"{count} bytes"
    if count.bit_length() > 200:  # also beyond the range of a float
        return f"over 2**{count.bit_length() - 1} bytes"
    return f"{count / 1024**step:.1f} {units[step]} ({count} bytes)"
