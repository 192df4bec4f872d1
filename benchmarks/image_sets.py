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
