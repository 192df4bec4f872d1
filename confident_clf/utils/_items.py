# SPDX-License-Identifier: BSD-3-Clause
"""Samples that come one by one: files, images of Pillow, data sets of torch."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from confident_clf.utils._lazy import LazyRows, is_large, is_on_disk, lazy_rows
from confident_clf.utils._tensors import as_array

IMAGE_FILES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Modes of Pillow for images without colours.
_GREY = ("1", "L", "LA", "I", "I;16", "F")


def are_items(X) -> bool:
    """Return whether X is samples that come one by one, or one file or image."""
    if isinstance(X, (Dataset, DataLoader)) or is_image(X):
        return True
    first = _first(X)
    return is_image(first) or _is_pair(first)


def is_image(thing) -> bool:
    """Return whether something is an image of Pillow, or the path of an image file."""
    if isinstance(thing, os.PathLike):
        return True
    if isinstance(thing, str):
        return thing.lower().endswith(IMAGE_FILES)
    return _is_pillow(thing)


def _is_pair(thing) -> bool:
    """Return whether something is a sample with its label, as from a data set.

    scikit-learn makes lists of these where it splits a data set.
    """
    is_pair = isinstance(thing, tuple) and len(thing) == 2
    return is_pair and (isinstance(thing[0], Tensor) or _is_pillow(thing[0]))


def _is_pillow(thing) -> bool:
    """Return whether something is an image of Pillow, without importing it."""
    return any(kind.__module__.startswith("PIL.") for kind in type(thing).__mro__)


def _first(X) -> object:
    """Return the first element of a list or a vector of objects, else None."""
    is_vector = getattr(X, "ndim", 0) == 1
    if not (isinstance(X, list | tuple) or is_vector) or len(X) == 0:
        return None
    return X.iloc[0] if hasattr(X, "iloc") else X[0]


def opened(X, shape: tuple[int, ...] | None):
    """Return samples to read when they are needed as lazy rows; others as they are.

    That is: files, images, data sets and large arrays on the disk. Images in files are
    brought to `shape`, (channels, height, width), if that is one.
    """
    if isinstance(X, LazyRows):
        return X
    if are_items(X):
        return lazy_items(X, shape)
    if is_on_disk(X) and is_large(X) and X.dtype.kind in "biuf":
        are_pixels = X.dtype == np.uint8 and (X.ndim > 2 or shape is not None)
        return lazy_rows(X, np.uint8 if are_pixels else np.float32)
    return X


def opened_for(estimator, X):
    """Return X as lazy rows if this classifier, not fitted or fitted, can read these.

    Other estimators, such as pipelines, get what the user gave.
    """
    # A FrozenEstimator passes them on, and a search chooses rows of them.
    inner = getattr(estimator, "estimator", estimator)
    if not hasattr(inner, "fit_method"):
        return X
    return opened(X, inner.image_shape or getattr(inner, "input_shape_", None))


def lazy_items(X, shape: tuple[int, ...] | None) -> LazyRows:
    """Return samples that come one by one as lazy rows.

    Files and images of Pillow are brought to `shape`, (channels, height, width), if
    that is one. Files are read by as many threads as torch has.
    """
    workers = 0
    if isinstance(X, DataLoader):
        X, workers = X.dataset, X.num_workers
    items = [X] if is_image(X) else X
    if isinstance(X, Dataset):
        _check_dataset(X)
    else:
        items = list(items)
    shape = shape if shape is not None and len(shape) == 3 else None
    is_safe = not isinstance(X, Dataset)  # reading does not depend on the order
    reader = ItemReader(items, shape, workers, torch.get_num_threads() * is_safe)
    first = reader(np.array([0]))[0]
    dtype = np.uint8 if first.dtype == np.uint8 else np.float32
    reader.shape_of_all = first.shape
    return LazyRows(reader, (len(items), *first.shape), dtype)


def _check_dataset(data: Dataset) -> None:
    """Raise TypeError if the samples of a data set cannot be counted."""
    if not hasattr(data, "__len__") or not hasattr(type(data), "__getitem__"):
        raise TypeError(
            f"X is a {type(data).__name__} without length or order, so its samples "
            "cannot be shuffled. Pass a data set with __len__ and __getitem__."
        )
    if len(data) == 0:
        raise ValueError(f"X is a {type(data).__name__} with 0 samples. Pass some.")


class ItemReader(Dataset):
    """Read samples that come one by one, by their numbers.

    `n_workers` processes read in a training, `n_threads` threads elsewhere.
    """

    def __init__(self, items: Sequence, shape, n_workers: int, n_threads: int):
        self.items = items
        self.shape = shape
        self.n_workers = n_workers
        self.n_threads = n_threads
        self.shape_of_all = None
        self.seeds = torch.Generator()  # the default draws from the global one

    def __getitem__(self, row: int) -> np.ndarray:
        """Return one sample as an array of the shape of all."""
        item = self.items[row]
        if isinstance(item, (tuple, list)):  # with its label
            item = item[0]
        try:
            array = _as_array(item, self.shape)
        except OSError as error:
            raise ValueError(f"{item} cannot be read as an image: {error}") from error
        if self.shape_of_all not in (None, array.shape):
            raise ValueError(
                f"X has samples of different shapes: the first is {self.shape_of_all}, "
                f"number {row}{_named(item)} is {array.shape}. Bring all to one: give "
                "image_shape=(channels, height, width) for files and images of Pillow, "
                "a transform for a data set."
            )
        return array

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return samples as one array."""
        if self.n_threads > 1 and len(rows) > 1:
            with ThreadPoolExecutor(self.n_threads) as executor:
                return np.stack(list(executor.map(self.__getitem__, rows.tolist())))
        return np.stack([self[row] for row in rows.tolist()])

    def each(self, parts: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield parts of the samples, read ahead by the workers if there are any."""
        if not self.n_workers:
            yield from map(self, parts)
            return
        yield from DataLoader(
            self,
            batch_sampler=[part.tolist() for part in parts],
            num_workers=self.n_workers,
            collate_fn=np.stack,
            generator=self.seeds,
        )


def _named(item) -> str:
    """Return the path of a sample, if it has one, for a message."""
    return f" ({os.fspath(item)})" if isinstance(item, (str, os.PathLike)) else ""


def _as_array(item, shape: tuple[int, int, int] | None) -> np.ndarray:
    """Return a sample as an array: images as (channels, height, width)."""
    if isinstance(item, (str, os.PathLike)):
        from PIL import Image, ImageOps

        with Image.open(item) as image:
            return _pixels(ImageOps.exif_transpose(image), shape)
    if _is_pillow(item):
        return _pixels(item, shape)
    return np.asarray(as_array(item))


def _pixels(image, shape: tuple[int, int, int] | None) -> np.ndarray:
    """Return an image of Pillow as uint8 pixels, (channels, height, width).

    Without a shape it is grey, or has the colours red, green and blue.
    """
    n_channels = (1 if image.mode in _GREY else 3) if shape is None else shape[0]
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if n_channels not in modes:
        raise ValueError(
            f"image_shape={shape} has {n_channels} channels; images have 1 (grey), 3 "
            "(red, green, blue) or 4 (with transparency)."
        )
    if image.mode.startswith("I"):  # 16 bits, which convert would clip
        image = image.point(lambda value: value / 256).convert("L")
    image = image.convert(modes[n_channels])
    if shape is not None and image.size != (shape[2], shape[1]):
        image = image.resize((shape[2], shape[1]), resample=2)  # bilinear, smoothed
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def samples_and_labels(X, y):
    """Return samples and labels: those of a data set of torch if `y` is None."""
    data = X.dataset if isinstance(X, DataLoader) else X
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        samples, labels = data.tensors
        return samples, labels if y is None else y
    if y is None and isinstance(data, Dataset):
        _check_dataset(data)
        y = _labels_of(data)
    return X, y


def _labels_of(data: Any) -> np.ndarray:
    """Return the labels of a data set.

    torchvision's folders know them. Of others all samples are read.
    """
    if isinstance(data, Subset):
        return _labels_of(data.dataset)[np.asarray(data.indices)]
    known = getattr(data, "targets", None)
    is_plain = getattr(data, "target_transform", None) is None
    if known is not None and is_plain and len(known) == len(data):
        return np.asarray(as_array(known))
    return np.array([_label(data, row) for row in range(len(data))])


def _label(data: Dataset, row: int):
    """Return the label of one sample of a data set."""
    item = data[row]
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise ValueError(
            f"X is a {type(data).__name__} that yields {type(item).__name__}, but it "
            "must yield pairs (sample, label). Pass y, or a data set with labels."
        )
    label = as_array(item[1])
    return label.item() if isinstance(label, np.ndarray) else label
