"""Pictures as inputs of a model: read, resized, cropped, scaled, and laid out as the model declares its input.

What is done to a picture, in this order:

1. Read as 8-bit RGB. Grey is repeated, CMYK is converted by Pillow's formula without a colour profile, transparency is
   dropped, and the first frame of an animation is taken. The pixels stay as they are stored: an EXIF orientation is
   not applied, but for that of a TIFF file, which Pillow applies. More than 8 bits for each channel are refused.
2. color: RGB; BGR, the channels reversed; gray, (19595 R + 38470 G + 7471 B + 32768) >> 16, which is Pillow's rule.
3. resize, with Pillow on 8-bit channels: one number is the shorter side, and the longer becomes
   floor(resize * longer / shorter); two are the exact height and width.
4. crop from the centre: the first row is (height - crop) / 2, a half rounded to the even neighbour; columns alike.
5. As float32, each operation rounded to float32, left to right: ((value * scale) / divisor - mean) / std.
   As uint8: nothing; the model gets the values 0 to 255.
6. layout: NHWC as it is, or NCHW.

Steps 3 and 4 are torchvision's Resize and CenterCrop on Pillow pictures; step 5 is its ToTensor and Normalize with
scale 1 and divisor 255. Dividing by 255 is not multiplying by 1/255 rounded: of the 256 values, 126 then differ in
their last bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.files.documents import read_toml
from qdqnp.files.npy import Header
from qdqnp.files.paths import FILE, FOLDER, kind_of, names_in, reason
from qdqnp.files.pictures import read_picture
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.files import Feeds
from qdqnp.limits import MAX_PIXELS
from qdqnp.program import Program, Tensor
from qdqnp.quant import Array

Pixels = NDArray[np.uint8]  # (height, width, channels), 1 or 3 channels
Size = int | tuple[int, int]

METHODS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
COLORS = {"RGB": 3, "BGR": 3, "gray": 1}
LAYOUTS = ("NCHW", "NHWC")
DTYPES = ("float32", "uint8")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")

# Height and width of a resized picture: the largest pictures have a few ten thousand pixels a side.
MAX_SIDE = 16384
# Pixels of what a model gets: some copies of it are made, of four bytes for each channel.
MAX_PREPARED = 2**24
_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to a picture before the model gets it; the text at the top of this file says how.

    Raises InputError that lists every value that does not fit.
    """

    #: Pixels of the shorter side, or (height, width); None leaves the step out.
    resize: Size | None = None
    #: The resampling filter of the resize.
    method: str = "bilinear"
    #: Pixels of the side of a square, or (height, width); None leaves the step out.
    crop: Size | None = None
    #: 'NCHW' or 'NHWC'; None takes what the model's input asks for.
    layout: str | None = None
    #: 'RGB', 'BGR' or 'gray'; None takes what the model's input asks for.
    color: str | None = None
    #: 'float32' or 'uint8'; None takes what the model's input asks for.
    dtype: str | None = None
    #: Factor of the pixel values.
    scale: float = 1.0
    #: Divisor of the pixel values.
    divisor: float = 1.0
    #: What is subtracted: one value, or one for each channel, in the order of `color`.
    mean: tuple[float, ...] = (0.0,)
    #: What the result is divided by: one value, or one for each channel, in the order of `color`.
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        problems = Problems()
        _check(vars(self), "the preprocessing", problems)
        problems.raise_if_any("the preprocessing of pictures is not valid", InputError)

    @property
    def scales(self) -> bool:
        """Return whether the values 0 to 255 are changed at all."""
        return (self.scale, self.divisor, set(self.mean), set(self.std)) != (1.0, 1.0, {0.0}, {1.0})


def preprocessing_from(settings: Mapping[str, object], source: str) -> Preprocessing:
    """Make a Preprocessing from plain values: lists for tuples, one number for one mean or std.

        settings: values by field name.
        source: who states them, for messages.

    Raises InputError that lists every unknown name, wrong type and value out of range.
    """
    fields = {field.name: field.default for field in dataclasses.fields(Preprocessing)}
    problems = Problems()
    for key in settings:
        if key not in fields:
            problems.add(f"'{key}' in {source}", "one of " + ", ".join(fields), "an unknown name")
    given: dict[str, Any] = {key: _plain(key, value) for key, value in settings.items() if key in fields}
    _check({**fields, **given}, source, problems)
    problems.raise_if_any("the preprocessing of pictures is not valid", InputError)
    return Preprocessing(**given)


def read_preprocessing(path: Path) -> Preprocessing:
    """Read a TOML file whose keys are the fields of Preprocessing, e.g.

        resize = 256
        crop = 224
        divisor = 255
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]

    Raises InputError for a file that cannot be read, and as preprocessing_from does.
    """
    try:
        settings = read_toml(path)
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable TOML file", reason(error))
        raise InputError("cannot read the preprocessing", [problem]) from error
    return preprocessing_from(settings, path.name)


def _plain(key: str, value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return (value,) if key in ("mean", "std") and _is_number(value) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value >= _SMALLEST


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE


def _is_size(value: object) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2 and all(_is_side(side) for side in value)
    return value is None or _is_side(value) or pair


def _is_each(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and len(value) in (1, 3) and all(check(part) for part in value)


_SIZE = f"a number of pixels from 1 to {MAX_SIDE}, or a height and a width"
_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "resize": (_is_size, _SIZE),
    "method": (lambda value: value in METHODS, "one of " + ", ".join(METHODS)),
    "crop": (_is_size, _SIZE),
    "layout": (lambda value: value is None or value in LAYOUTS, "NCHW or NHWC"),
    "color": (lambda value: value is None or value in tuple(COLORS), "RGB, BGR or gray"),
    "dtype": (lambda value: value is None or value in DTYPES, "float32 or uint8"),
    "scale": (_is_positive, "a number above 0 that float32 holds"),
    "divisor": (_is_positive, "a number above 0 that float32 holds"),
    "mean": (_is_each(_is_number), "1 or 3 numbers that float32 holds"),
    "std": (_is_each(_is_positive), "1 or 3 numbers above 0 that float32 holds"),
}
_UNSCALED = {"scale": 1.0, "divisor": 1.0, "mean": (0.0,), "std": (1.0,)}


def _check(values: Mapping[str, object], source: str, problems: Problems) -> None:
    for key, (fits, expected) in _FIELDS.items():
        if not fits(values[key]):
            problems.add(f"'{key}' in {source}", expected, repr(values[key]))
    if values["dtype"] == "uint8":
        for key, neutral in _UNSCALED.items():
            if values[key] != neutral:
                problems.add(
                    f"'{key}' in {source}", "nothing beside uint8", repr(values[key]), "uint8 pictures are not scaled."
                )


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, which is read when it is needed."""

    #: The picture's name, for messages.
    name: str
    #: A picture file, or an array uint8 (height, width, 1 or 3).
    source: Path | Pixels

    def pixels(self) -> Pixels:
        """Return uint8 (height, width, 1 or 3). Raises InputError for a file that is not a picture, or is damaged or
        too large."""
        return _read(self.source) if isinstance(self.source, Path) else self.source


def is_picture(path: Path) -> bool:
    """Return whether the path is read as pictures: a folder, or a file with the suffix of a picture format."""
    return kind_of(path) == FOLDER or path.suffix.lower() in SUFFIXES


def list_pictures(path: Path) -> list[Picture]:
    """List the picture of a file; those of a folder, sorted by name, without its subfolders; or those of an array file.

    An array file (.npy, .npz) holds one array uint8 (N, height, width, 1 or 3), or one picture without N. An .npz may
    hold other arrays too. Raises InputError where the path does not lead to pictures.
    """
    if kind_of(path) == FOLDER:
        pictures = [path / name for name in names_in(path) if Path(name).suffix.lower() in SUFFIXES]
        files = [item for item in pictures if kind_of(item) == FILE]
        if not files:
            problem = Problem(f"folder {path}", "pictures: " + " ".join(SUFFIXES), "none")
            raise InputError("a folder holds no picture", [problem])
        return [Picture(item.name, item) for item in files]
    if is_picture(path):
        return [Picture(path.name, path)]
    array = _picture_array(path)
    if array.ndim == 3:
        return [Picture(path.name, array)]
    return [Picture(f"{path.name}[{index}]", pixels) for index, pixels in enumerate(array)]


def _picture_array(path: Path) -> Array:
    """Return the only array of the file that holds pictures. The others are not unpacked."""
    with input_arrays(path) as arrays:
        headers = {name: arrays.header(name) for name in arrays.names}
        found = [name for name, header in headers.items() if _holds_pictures(header)]
        if len(found) == 1:
            return arrays.read(found[0])
    listed = ", ".join(f"'{name}' {header}" for name, header in headers.items())
    problem = Problem(
        f"file {path.name}",
        "one array uint8 [N, height, width, 1 or 3]",
        listed or "no array",
        "Preprocessing applies to pictures; leave it out for arrays that are inputs.",
    )
    raise InputError("an array file does not hold pictures", [problem])


def _holds_pictures(header: Header) -> bool:
    shape = header.shape
    return header.dtype == np.uint8 and len(shape) in (3, 4) and shape[-1] in (1, 3) and 0 not in shape


def _read(path: Path) -> Pixels:
    image = pillow()
    try:
        return read_picture(path, image)
    except (OSError, ValueError) as error:
        raise InputError(
            "cannot read a picture", [Problem(f"file {path}", "a readable picture", reason(error))]
        ) from error


def pillow() -> Any:
    """Return the module PIL.Image. Raises InputError with the command that installs it."""
    try:
        from PIL import Image
    except ImportError as error:
        problem = Problem("Pillow", "to be installed", "no such module", 'Run: pip install "qdqnp[images]"')
        raise InputError("reading and resizing pictures needs Pillow", [problem]) from error
    return Image


def resolved(settings: Preprocessing, program: Program) -> Preprocessing:
    """Fill in layout, color and dtype from the model's only input.

    Raises InputError for a model that does not take pictures, and where the settings contradict its input.
    """
    tensor = _picture_input(program)
    layout = settings.layout or _layout(tensor)
    declared = tensor.shape[1 if layout == "NCHW" else 3]
    color = settings.color or ("gray" if declared == 1 else "RGB")
    dtype = settings.dtype or ("uint8" if tensor.dtype == np.uint8 else "float32")
    problems = Problems()
    channels = COLORS[color]
    if isinstance(declared, int) and declared != channels:
        problems.add(
            f"input '{tensor.name}'",
            f"{channels} channels, for color {color} and layout {layout}",
            f"{declared} in shape {list(tensor.shape)}",
        )
    for key, values in (("mean", settings.mean), ("std", settings.std)):
        if len(values) not in (1, channels):
            problems.add(f"'{key}' of the preprocessing", f"1 number, or {channels} for color {color}", len(values))
    problems.raise_if_any("the preprocessing does not fit the model", InputError)
    return dataclasses.replace(settings, layout=layout, color=color, dtype=dtype)


def _picture_input(program: Program) -> Tensor:
    tensors = [program.tensors[name] for name in program.inputs]
    if len(tensors) != 1 or len(tensors[0].shape) != 4:
        listed = ", ".join(f"'{tensor.name}' {list(tensor.shape)}" for tensor in tensors)
        problem = Problem("inputs", "one of rank 4", listed or "none", "Pass arrays (.npy, .npz) instead of pictures.")
        raise InputError("the model takes no pictures", [problem])
    return tensors[0]


def _layout(tensor: Tensor) -> str:
    found = [layout for layout, axis in (("NCHW", 1), ("NHWC", 3)) if tensor.shape[axis] in (1, 3)]
    if len(found) != 1:
        problem = Problem(
            f"input '{tensor.name}'",
            "1 or 3 channels on axis 1 or else on axis 3",
            f"shape {list(tensor.shape)}",
            "State the layout: NCHW or NHWC.",
        )
        raise InputError("the layout of the model's input is not clear", [problem])
    return found[0]


def batches(pictures: Sequence[Picture], program: Program) -> list[Sequence[Picture]]:
    """Group the pictures by run: as many as the declared batch, one where it is symbolic.

    Raises InputError where the last batch would not be full.
    """
    declared = _picture_input(program).shape[0]
    count = declared if isinstance(declared, int) and declared > 0 else 1
    if len(pictures) % count:
        problem = Problem("pictures", f"a multiple of {count}, the batch that the model declares", str(len(pictures)))
        raise InputError("the pictures do not fill the last batch", [problem])
    return [pictures[start : start + count] for start in range(0, len(pictures), count)]


def picture_feeds(pictures: Sequence[Picture], settings: Preprocessing, program: Program) -> Feeds:
    """Prepare one batch of pictures as the model's input, by name.

        pictures: the pictures of the batch.
        settings: the preprocessing, as `resolved` returns it.
        program: the model.

    Raises InputError for bad pictures and for pictures that do not have the size that the model declares.
    """
    tensor = _picture_input(program)
    rows = tensor.shape[2:] if settings.layout == "NCHW" else tensor.shape[1:3]
    made = [prepare_picture(picture, settings) for picture in pictures]
    problems = Problems()
    for picture, array in zip(pictures, made, strict=True):
        got = array.shape[1:] if settings.layout == "NCHW" else array.shape[:2]
        want = tuple(size if isinstance(size, int) else known for size, known in zip(rows, got, strict=True))
        if got != want:
            shape = "x".join(map(str, want))
            problems.add(
                f"picture {picture.name}",
                f"{shape} pixels (height x width)",
                "x".join(map(str, got)),
                f"Set resize to {shape}, or resize and crop.",
            )
    problems.raise_if_any(f"pictures do not have the size of input '{tensor.name}'", InputError)
    return {tensor.name: np.stack(made)}


def prepare_picture(picture: Picture, settings: Preprocessing) -> Array:
    """Prepare a picture as `prepare` does. Raises InputError that names the picture where it has the wrong size."""
    try:
        return prepare(picture.pixels(), settings)
    except _SizeError as error:
        problem = Problem(f"picture {picture.name}", error.expected, error.got)
        raise InputError("a picture has the wrong size", [problem]) from error


class _SizeError(Exception):
    def __init__(self, expected: str, got: tuple[int, ...]) -> None:
        self.expected = expected
        self.got = f"{got[0]}x{got[1]}"


def prepare(pixels: Pixels, settings: Preprocessing) -> Array:
    """Prepare one picture for the model, without the batch axis.

        pixels: uint8 (height, width, 1 or 3).
        settings: the preprocessing, as `resolved` returns it.

    Returns float32 or uint8, (height, width, C) or (C, height, width).
    """
    pixels = _colored(pixels, settings.color or "RGB")
    if settings.resize is not None:
        pixels = _resized(pixels, settings.resize, settings.method)
    if settings.crop is not None:
        pixels = _cropped(pixels, settings.crop)
    if pixels.shape[0] * pixels.shape[1] > MAX_PREPARED:
        raise _SizeError(f"at most {MAX_PREPARED} pixels after resizing and cropping", pixels.shape[:2])
    array: Array = pixels if settings.dtype == "uint8" else _scaled(pixels, settings)
    return np.ascontiguousarray(array.transpose(2, 0, 1) if settings.layout == "NCHW" else array)


def _colored(pixels: Pixels, color: str) -> Pixels:
    if color == "gray":
        if pixels.shape[2] == 1:
            return pixels
        wide = np.full((*pixels.shape[:2], 1), 32768, np.uint32)
        for channel, weight in enumerate((19595, 38470, 7471)):
            wide += pixels[..., channel : channel + 1] * np.uint32(weight)
        return (wide >> 16).astype(np.uint8)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels if color == "RGB" else pixels[..., ::-1]


def _resized(pixels: Pixels, size: Size, method: str) -> Pixels:
    height, width = pixels.shape[:2]
    if isinstance(size, int):
        short, long = min(height, width), max(height, width)
        other = size * long // short
        size = (size, other) if height <= width else (other, size)
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise _SizeError(f"at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in all after resizing", size)
    if size == (height, width):
        return pixels
    image_module = pillow()
    image = image_module.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    made = image.resize((size[1], size[0]), image_module.Resampling[method.upper()])
    return np.asarray(made).reshape(*size, pixels.shape[2])


def _cropped(pixels: Pixels, size: Size) -> Pixels:
    height, width = (size, size) if isinstance(size, int) else size
    have = pixels.shape[:2]
    if have[0] < height or have[1] < width:
        raise _SizeError(f"at least the {height}x{width} pixels of the crop", have)
    top, left = round((have[0] - height) / 2), round((have[1] - width) / 2)
    return pixels[top : top + height, left : left + width]


def _scaled(pixels: Pixels, settings: Preprocessing) -> Array:
    mean, std = np.asarray(settings.mean, np.float32), np.asarray(settings.std, np.float32)
    values = pixels.astype(np.float32)  # then in place: a picture may be large
    values *= np.float32(settings.scale)
    values /= np.float32(settings.divisor)
    values -= mean
    values /= std
    return values
