# SPDX-License-Identifier: BSD-3-Clause
"""Data sets with known classes and unknown samples."""

from confident_clf.datasets._broken import broken
from confident_clf.datasets._bundled import (
    load_digits_ood,
    load_iris_ood,
    load_wine_ood,
)
from confident_clf.datasets._image_folder import load_image_folder
from confident_clf.datasets._made import make_ood_blobs, make_ood_moons

__all__ = [
    "broken",
    "load_digits_ood",
    "load_image_folder",
    "load_iris_ood",
    "load_wine_ood",
    "make_ood_blobs",
    "make_ood_moons",
]
