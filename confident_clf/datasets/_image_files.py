# SPDX-License-Identifier: BSD-3-Clause
"""Read image files into one array."""

from numbers import Integral

import numpy as np
from PIL import Image, ImageOps

GREY = ("1", "L", "LA")
# Pillow would clip these to 255 where it should divide.
DEEP = ("I", "I;16", "I;16B", "I;16L", "F")


def read_images(names, open_file, size=None, mode="RGB"):
    """Return images as uint8 of shape (n, channels, height, width).

    `open_file` returns the open file of a name.
    """
    size = _height_and_width(size)
    channels = {"L": 1, "RGB": 3}[mode]
    data = None
    for i, name in enumerate(names):
        image = _read_image(name, open_file, size, mode)
        if data is None:
            data = np.empty((len(names), channels, *image.shape[:2]), dtype=np.uint8)
        if image.shape[:2] != data.shape[2:]:
            raise ValueError(
                f"{names[0]} has {data.shape[2]} x {data.shape[3]} pixels (height x "
                f"width), and {name} has {image.shape[0]} x {image.shape[1]}. Give "
                "size=(height, width), and all images are resized."
            )
        data[i] = image.reshape(*image.shape[:2], channels).transpose(2, 0, 1)
    return data


def mode_of(names, open_file) -> str:
    """Return "L" if all files are grey, otherwise "RGB"; only headers are read."""
    for name in names:
        with open_file(name) as file, _opened(file, name) as image:
            if image.mode not in GREY:
                return "RGB"
    return "L"


def check_mode(mode):
    """Raise unless a mode is one that images can be converted to."""
    if mode not in (None, "L", "RGB"):
        raise ValueError(f'mode={mode!r} must be "L", "RGB" or None.')


def _height_and_width(size) -> tuple[int, int] | None:
    """Return the size that the user wants as height and width."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, Integral) else tuple(size)
    are_whole = all(isinstance(side, Integral) and int(side) >= 1 for side in pair)
    if len(pair) != 2 or not are_whole:
        raise ValueError(
            f"size={size!r} must be a whole number of pixels, or (height, width)."
        )
    return pair


def _read_image(name, open_file, size, mode):
    """Return the pixels of a file: turned as the camera says, converted, resized."""
    with open_file(name) as file, _opened(file, name) as image:
        if image.mode in DEEP:
            raise ValueError(
                f"{name} has more than 8 bits for each pixel (mode {image.mode!r}). "
                "Save it with 8 bits."
            )
        try:
            image.load()
        except Exception as error:  # Pillow raises many kinds
            raise _broken_file(name, error) from error
        return np.asarray(_resized(_converted(image, mode), size))


def _opened(file, name):
    """Return the image of an open file, of which only the header was read."""
    try:
        return Image.open(file)
    except Exception as error:  # Pillow raises many kinds
        raise _broken_file(name, error) from error


def _broken_file(name, error) -> ValueError:
    """Return the error for a file that is not an image, or not a whole one."""
    return ValueError(
        f"{name} cannot be read as an image: {error}. Repair or delete it."
    )


def _converted(image, mode):
    """Return an image turned as its camera says, in a mode."""
    image = ImageOps.exif_transpose(image)
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns without this step
    return image.convert(mode)


def _resized(image, size):
    """Return an image with a height and width, as torchvision resizes it."""
    if size is None or image.size == size[::-1]:
        return image
    from torchvision.transforms.v2.functional import resize

    return resize(image, list(size), antialias=True)
