# SPDX-License-Identifier: BSD-3-Clause
"""Read the image sets that the benchmarks are run on.

A folder holds one .npz file for each: `fashion_mnist_train`, `fashion_mnist_test`,
`mnist_train` and `mnist_test` with `images` (uint8, n x 28 x 28); `cifar10_train`,
`cifar10_test`, `streetview_chars`, `tinyimagenet_val` and `intel_scenes_test` with
32x32 JPEG bytes in `jpeg` from `offsets`; all with `labels`. Pillow decodes them (it
comes with torchvision).
"""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images


def load(data, name, limit=None):
    """Return images, uint8 (n, channels, height, width), and labels of a set."""
    with np.load(Path(data) / f"{name}.npz") as file:
        labels = file["labels"][:limit]
        if "images" in file:
            return file["images"][:limit, None], labels
        jpeg, ends = file["jpeg"].tobytes(), file["offsets"][: len(labels) + 1]
    images = [Image.open(io.BytesIO(jpeg[a:b])) for a, b in pairwise(ends)]
    return np.stack(images).transpose(0, 3, 1, 2).copy(), labels


def grey(images):
    """Return the middle 28x28 pixels of 32x32 colour images, in grey."""
    weights = np.array([19595, 38470, 7471])  # ITU-R 601, in units of 2**-16
    luma = np.einsum("nchw,c->nhw", images[:, :, 2:30, 2:30].astype(int), weights)
    return ((luma + 2**15) >> 16).astype(np.uint8)[:, None]


def padded(images, size):
    """Return images in the middle of black ones of `size` pixels a side."""
    border = (size - images.shape[-1]) // 2
    return np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))


def digits(factor):
    """Return scikit-learn's digits, each pixel enlarged, in grey."""
    images = (load_digits().images * 255 / 16).astype(np.uint8)
    return images.repeat(factor, axis=1).repeat(factor, axis=2)[:, None]


def photographs():
    """Return parts of scikit-learn's two photographs, 32x32 in colour."""
    photos = np.stack(load_sample_images().images)[:, :416]
    parts = photos.reshape(2, 13, 32, 20, 32, 3).transpose(0, 1, 3, 5, 2, 4)
    return parts.reshape(-1, 3, 32, 32).copy()
