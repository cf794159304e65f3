"""Pictures to train on, with their classes: an npz as CIFAR-10's here, or a folder with a folder for each class.

What is done to the picture at a place in the order of training follows from the seed and that place alone, so that a
run that was interrupted goes on with the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.inputs.pictures import SUFFIXES, Picture, Preprocessing, list_pictures, prepare_picture
from tools.models.calibration import IMAGENET_MEAN, IMAGENET_STD

#: Pixels that are added around a picture of an npz before it is cropped at random.
PADDING = 4
#: The shorter side of a picture in a folder, of which the network's input is cropped at random.
MARGIN = 8 / 7


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures, each with its class."""

    pictures: Sequence[Picture]
    #: int64 (pictures,).
    classes: NDArray[np.int64]
    #: Their names; of an npz the numbers.
    names: tuple[str, ...]
    #: Height and width of the network's input.
    size: tuple[int, int]
    #: Whether all pictures have that size.
    whole: bool

    def __len__(self) -> int:
        return len(self.pictures)

    def training(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return a picture cropped and mirrored at random, normalized: float32 (3, height, width)."""
        pixels = self._pixels(index)
        if self.whole:
            pixels = np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
        top, left = (int(rng.integers(have - want + 1)) for have, want in zip(pixels.shape[:2], self.size, strict=True))
        cropped = pixels[top : top + self.size[0], left : left + self.size[1]]
        return _normalized(cropped[:, ::-1] if rng.random() < 0.5 else cropped)

    def testing(self, index: int) -> NDArray[np.float32]:
        """Return the centre of a picture, normalized: float32 (3, height, width)."""
        pixels = self._pixels(index)
        top, left = ((have - want) // 2 for have, want in zip(pixels.shape[:2], self.size, strict=True))
        return _normalized(pixels[top : top + self.size[0], left : left + self.size[1]])

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        resize = None if self.whole else round(min(self.size) * MARGIN)
        settings = Preprocessing(resize=resize, layout="NHWC", color="RGB", dtype="uint8")
        pixels: NDArray[np.uint8] = prepare_picture(self.pictures[index], settings)
        if any(have < want for have, want in zip(pixels.shape[:2], self.size, strict=True)):
            wanted, got = ("x".join(map(str, size)) for size in (self.size, pixels.shape[:2]))
            problem = Problem(self.pictures[index].name, f"at least {wanted} (height x width)", got)
            raise InputError("a picture is too small for the network's input", [problem])
        return pixels


def labelled_pictures(path: Path, size: tuple[int, int]) -> LabelledPictures:
    """Return the pictures of an npz (x uint8 NHWC, y), or of a folder whose folders are the classes, sorted by name.

    Raises InputError that lists what is missing or does not fit.
    """
    return _folder(path, size) if path.is_dir() else _npz(path, size)


def _npz(path: Path, size: tuple[int, int]) -> LabelledPictures:
    pictures = list_pictures(path)
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays.get("y")
    problems = Problems()
    if labels is None or labels.shape != (len(pictures),) or labels.dtype.kind not in "iu":
        got = "none" if labels is None else f"{labels.dtype} {list(labels.shape)}"
        problems.add(f"array 'y' of {path.name}", f"integers, [{len(pictures)}]: a class for each picture", got)
    elif labels.size and labels.min() < 0:
        problems.add(f"array 'y' of {path.name}", "classes from 0 on", int(labels.min()))
    problems.raise_if_any("the pictures have no classes", InputError)
    assert labels is not None
    have = pictures[0].pixels().shape[:2]
    names = tuple(map(str, range(int(labels.max()) + 1)))
    return LabelledPictures(pictures, labels.astype(np.int64), names, size, have == size)


def _folder(path: Path, size: tuple[int, int]) -> LabelledPictures:
    folders = sorted(item for item in path.iterdir() if item.is_dir())
    pictures: list[Picture] = []
    classes: list[int] = []
    problems = Problems()
    if not folders:
        problems.add(f"folder {path}", "a folder for each class", "none")
    for number, folder in enumerate(folders):
        files = sorted(item for item in folder.iterdir() if item.suffix.lower() in SUFFIXES)
        if not files:
            problems.add(f"folder {folder.name}", f"pictures ({', '.join(SUFFIXES)})", "none")
        pictures += [Picture(f"{folder.name}/{file.name}", file) for file in files]
        classes += [number] * len(files)
    problems.raise_if_any("the pictures cannot be listed", InputError)
    names = tuple(folder.name for folder in folders)
    return LabelledPictures(pictures, np.array(classes, np.int64), names, size, whole=False)


def _normalized(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalize as `calibration.preparation` does, on which networks are quantized."""
    scaled = (pixels * np.float64(1 / 255) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32)
