"""Provide pictures to calibrate and compare on: some of them evenly spread, made-up ones, and all as the DLA networks
see them.

Reading, resizing and cropping are those of qdqnp.inputs.pictures. Unlike there, pixels are normalized in float64 and
rounded to float32 once: the shipped networks were calibrated so, and can be made again so, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qdqnp.inputs.pictures import Picture, Preprocessing, prepare_picture

# The channel statistics of ImageNet's training set for pictures in 0..1: what DLA's published weights expect
# (timm's IMAGENET_DEFAULT_MEAN and IMAGENET_DEFAULT_STD), and what the CIFAR-10 networks were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Preparation = Callable[[Picture], NDArray[np.float32]]


def preparation(
    scale: float = 1 / 255,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    resize: int | None = None,
    crop: tuple[int, int] | None = None,
) -> Preparation:
    """Return a function from a picture to the network's input, float32 (1, 3, height, width): resize, crop, `(x * scale
    - mean) / std`.

        scale: factor of the pixel values.
        mean: one value for each channel.
        std: one value for each channel.
        resize: new length of the shorter side; None leaves the size unchanged.
        crop: (height, width) from the centre; None leaves the size unchanged.

    The returned function raises InputError for pictures that cannot be read or are too small.
    """
    pixels = Preprocessing(resize=resize, crop=crop, layout="NHWC", color="RGB", dtype="uint8")

    def prepare(picture: Picture) -> NDArray[np.float32]:
        normalized = (prepare_picture(picture, pixels) * np.float64(scale) - mean) / std
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None], dtype=np.float32)

    return prepare


def spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return `count` of the pictures (or all, if there are fewer), evenly spread: folders are often sorted by class."""
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int))
    return [pictures[index] for index in chosen]


def synthetic_pictures(count: int, size: tuple[int, int], seed: int = 0) -> list[Picture]:
    """Make `count` pictures of (height, width): random waves, smooth as photographs are."""
    random = np.random.default_rng(seed)
    height, width = size
    rows = np.arange(height)[:, None, None] / height
    columns = np.arange(width)[None, :, None] / width
    pictures = np.zeros((count, height, width, 3))
    for picture in pictures:
        for wavelength in (1, 2, 4, 8, 16):
            angle, phase = random.uniform(0, 2 * np.pi, (2, 3))
            strength = random.normal(size=3) / np.sqrt(wavelength)
            wave = 2 * np.pi * wavelength * (rows * np.sin(angle) + columns * np.cos(angle))
            picture += strength * np.sin(wave + phase)
    pixels = (128 + 50 * pictures).clip(0, 255).astype(np.uint8)
    return [Picture(f"made-up picture {index}", one) for index, one in enumerate(pixels)]
