# SPDX-License-Identifier: BSD-3-Clause
"""A folder of images, with a folder for each class."""

import os
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from confident_clf.datasets._image_files import check_mode, mode_of, read_images

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm"),
    *(".tif", ".tiff", ".webp"),
)


def load_image_folder(
    path: str | PathLike,
    *,
    size: int | tuple[int, int] | None = None,
    mode: str | None = None,
    extensions: tuple[str, ...] = EXTENSIONS,
    return_X_y: bool = False,
) -> Any:
    """Load the images of a folder that has a folder for each class.

    The layout is that of :class:`torchvision.datasets.ImageFolder`, such as
    ``path/cat/1.jpg`` and ``path/dog/2.png``. All images are in memory at once.

    Parameters
    ----------
    path : str or path-like
        The folder of the class folders. These may have folders inside.
    size : int or (int, int), default=None
        Height and width that all images are resized to, smoothly (with antialiasing)
        and without keeping their proportions; an int is both. None if all images have
        the same size.
    mode : {"L", "RGB"}, default=None
        "L" for one channel (grey) and "RGB" for three. None is "L" if all files are
        grey, and otherwise "RGB".
    extensions : tuple of str, default=(".jpg", ".jpeg", ".png", ...)
        Ends of the names of files that are images, in lower case. Other files are left
        out.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` alone.

    Returns
    -------
    Bunch
        ``data`` has the images, uint8 of shape (n, channels, height, width), ``target``
        the number of each image's class, ``target_names`` the names of the class
        folders, sorted, and ``filenames`` the paths. As from
        :func:`sklearn.datasets.load_files`, ``target_names[target]`` are the labels as
        text. The order is that of the names.

    See Also
    --------
    broken : Make unknown sets out of images.

    Notes
    -----
    Photographs are turned as the camera says (EXIF). Transparency is dropped, and so is
    all but the first image of an animation. Images with 16 bits are refused, because
    Pillow would clip them.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from confident_clf.datasets import load_image_folder
    >>> with TemporaryDirectory() as folder:
    ...     for name, colour in [("sea", "blue"), ("wood", "green")]:
    ...         Path(folder, name).mkdir()
    ...         Image.new("RGB", (40, 30), colour).save(Path(folder, name, "1.png"))
    ...     photos = load_image_folder(folder, size=16)
    >>> photos.data.shape, photos.target_names[photos.target]
    ((2, 3, 16, 16), array(['sea', 'wood'], dtype='<U4'))
    """
    from torchvision.datasets.folder import find_classes, make_dataset

    check_mode(mode)
    path = os.path.expanduser(path)
    classes, numbers = find_classes(path)
    names, numbers_of = zip(
        *make_dataset(path, numbers, extensions=tuple(extensions)), strict=True
    )
    open_file = partial(open, mode="rb")
    data = read_images(names, open_file, size, mode or mode_of(names, open_file))
    target = np.array(numbers_of)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=np.array(classes),
        filenames=np.array(names),
    )
