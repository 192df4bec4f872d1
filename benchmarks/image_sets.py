# SPDX-License-Identifier: BSD-3-Clause
"""Read the image sets that the benchmarks use.

A folder has one .npz file for each set:

- `fashion_mnist_train`, `fashion_mnist_test`, `mnist_train` and `mnist_test` hold
  `images`, uint8 (n, 28, 28);
- `cifar10_train`, `cifar10_test`, `streetview_chars`, `tinyimagenet_val` and
  `intel_scenes_test` hold 32x32 JPEG files one after another, in `jpeg`; image i has
  the bytes from `offsets[i]` to `offsets[i + 1]`. Pillow decodes them.

All hold `labels`.
"""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images


def load(data, name, limit=None):
    """Return images, uint8 (n, channels, height, width), and labels of one set."""
    with np.load(Path(data) / f"{name}.npz") as file:
        labels = file["labels"][:limit]
        if "images" in file:
            return file["images"][:limit, None], labels
        jpeg, ends = file["jpeg"].tobytes(), file["offsets"][: len(labels) + 1]
    images = [Image.open(io.BytesIO(jpeg[a:b])) for a, b in pairwise(ends)]
    return np.stack(images).transpose(0, 3, 1, 2).copy(), labels


def characters(data, n_train=None, n_test=None):
    """Return street-view characters and labels to train on, then to test on.

    There is one set of them, in random order: every sixth image is for tests.
    """
    X, y = load(data, "streetview_chars")
    is_test = np.arange(len(y)) % 6 == 5
    train, test = np.flatnonzero(~is_test)[:n_train], np.flatnonzero(is_test)[:n_test]
    return X[train], y[train], X[test], y[test]


def grey(images):
    """Return the middle 28x28 pixels of 32x32 colour images, in grey."""
    weights = np.array([19595, 38470, 7471])  # ITU-R 601, in units of 2**-16
    luma = np.einsum("nchw,c->nhw", images[:, :, 2:30, 2:30].astype(int), weights)
    return ((luma + 2**15) >> 16).astype(np.uint8)[:, None]


def padded(images, size):
    """Return images with black borders, `size` pixels wide and high."""
    border = (size - images.shape[-1]) // 2
    return np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))


def digits(factor):
    """Return scikit-learn's digits, enlarged by a factor, in grey."""
    images = (load_digits().images * 255 / 16).astype(np.uint8)
    return images.repeat(factor, axis=1).repeat(factor, axis=2)[:, None]


def photographs():
    """Return scikit-learn's two photographs, cut into 32x32 pieces, in colour."""
    photos = np.stack(load_sample_images().images)[:, :416]
    parts = photos.reshape(2, 13, 32, 20, 32, 3).transpose(0, 1, 3, 5, 2, 4)
    return parts.reshape(-1, 3, 32, 32).copy()
