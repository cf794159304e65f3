"""Pictures for calibration: where they come from, and how they become the network's input.

Pictures are uint8 RGB arrays of shape (height, width, 3), read one at a time, because a folder of photographs
does not fit in memory. A network's input is float32 of shape (1, 3, height, width).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, QdqnpError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")

# The channel statistics of ImageNet's training set for pictures in 0..1: what DLA's published weights expect
# (timm's IMAGENET_DEFAULT_MEAN and IMAGENET_DEFAULT_STD), and what the CIFAR-10 networks were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PictureError(QdqnpError):
    """Pictures are missing, unreadable or of the wrong shape."""


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to the network's input: resize, crop the centre, then `(x * scale - mean) / std`.

    `resize` is the new length of the shorter side; `crop` is (height, width). None leaves the size alone.
    """

    scale: float = 1 / 255
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: int | None = None
    crop: tuple[int, int] | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (height, width, 3) to float32 (1, 3, height, width)."""
        if self.resize is not None:
            picture = resize_shorter_side(picture, self.resize)
        if self.crop is not None:
            picture = crop_centre(picture, self.crop)
        # In float64 the order of these operations no longer shows after the cast to float32.
        normalized = (picture * np.float64(self.scale) - self.mean) / self.std
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None], dtype=np.float32)


def resize_shorter_side(picture: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """The picture with its shorter side at `length`, its proportions kept (Pillow, bilinear)."""
    from PIL import Image

    height, width = picture.shape[:2]
    ratio = length / min(height, width)
    size = (round(width * ratio), round(height * ratio))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def crop_centre(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle (height, width) of the picture."""
    height, width = size
    if picture.shape[0] < height or picture.shape[1] < width:
        problem = Problem(
            "a calibration picture",
            f"at least {height}x{width} (height x width)",
            f"{picture.shape[0]}x{picture.shape[1]}",
            "Choose a smaller crop, or resize first.",
        )
        raise PictureError("A picture is too small to be cropped", [problem])
    top = (picture.shape[0] - height) // 2
    left = (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


class Pictures:
    """Pictures to count and iterate over, whether they lie in files or in one array (uint8 NHWC)."""

    def __init__(self, source: Sequence[Path] | NDArray[np.uint8]) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for item in self._source:
            yield read_picture(item) if isinstance(item, Path) else item

    def spread(self, count: int) -> Pictures:
        """`count` of the pictures (or all, if there are fewer), evenly spread: folders often go by class."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        if isinstance(self._source, np.ndarray):
            return Pictures(self._source[chosen])
        return Pictures([self._source[index] for index in chosen])


def read_picture(path: Path) -> NDArray[np.uint8]:
    """One picture file as uint8 RGB (height, width, 3)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        problem = Problem(str(path), "a picture that Pillow can read", str(error), "Repair or remove the file.")
        raise PictureError("A picture cannot be read", [problem]) from error


def open_pictures(path: Path) -> Pictures:
    """The pictures of a folder in the order of their names, or the array `x` (uint8 NHWC) of an .npz."""
    return _open_folder(path) if path.is_dir() else _open_npz(path)


def _open_folder(folder: Path) -> Pictures:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        problem = Problem(
            str(folder), f"files that end in {', '.join(SUFFIXES)}", "none", "Point to the folder itself."
        )
        raise PictureError("A folder has no pictures", [problem])
    return Pictures(files)


def _open_npz(path: Path) -> Pictures:
    expected = "an .npz file with an array x, uint8, shape (pictures, height, width, 3)"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x = arrays["x"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        problem = Problem(str(path), expected, str(error) or type(error).__name__)
        raise PictureError("Pictures cannot be read", [problem]) from error
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or len(x) == 0:
        raise PictureError("Pictures do not fit", [Problem(str(path), expected, f"{x.dtype} {x.shape}")])
    return Pictures(x)


def synthetic_pictures(count: int, size: tuple[int, int], seed: int = 0) -> Pictures:
    """`count` made-up pictures of (height, width): random waves, smooth as photographs are."""
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
    return Pictures((128 + 50 * pictures).clip(0, 255).astype(np.uint8))
