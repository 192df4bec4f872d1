# SPDX-License-Identifier: BSD-3-Clause
"""Data sets with known classes and unknown samples."""

from confident_clf.datasets._broken import broken
from confident_clf.datasets._bundled import (
    load_digits_ood,
    load_iris_ood,
    load_wine_ood,
)
from confident_clf.datasets._fetch_archives import fetch_lsun, fetch_tiny_imagenet
from confident_clf.datasets._fetch_openml import fetch_openml_ood
from confident_clf.datasets._fetch_torchvision import (
    fetch_cifar10,
    fetch_cifar100,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_svhn,
    fetch_textures,
)
from confident_clf.datasets._image_folder import load_image_folder
from confident_clf.datasets._made import make_ood_blobs, make_ood_moons

__all__ = [
    "broken",
    "fetch_cifar10",
    "fetch_cifar100",
    "fetch_fashion_mnist",
    "fetch_lsun",
    "fetch_mnist",
    "fetch_openml_ood",
    "fetch_svhn",
    "fetch_textures",
    "fetch_tiny_imagenet",
    "load_digits_ood",
    "load_image_folder",
    "load_iris_ood",
    "load_wine_ood",
    "make_ood_blobs",
    "make_ood_moons",
]
