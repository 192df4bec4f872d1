# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the random views of training images, against torchvision's."""

import torch
from torchvision.transforms.v2 import functional as tv

from confident_clf._training._augment import crop, flip, flip_crop


def images(n, size=(16, 24)):
    """Return different images, none of them black anywhere nor symmetric."""
    torch.manual_seed(0)
    return 0.5 + 0.5 * torch.rand(n, 3, *size)


def test_flip_mirrors_about_half_of_the_images():
    """Check that each image is itself or torchvision's mirror image."""
    x = images(400)
    mirrored = [
        torch.equal(view, tv.horizontal_flip(image))
        for image, view in zip(x, flip(x), strict=True)
    ]
    same = [torch.equal(view, image) for image, view in zip(x, flip(x), strict=True)]
    assert 150 < sum(mirrored) < 250
    assert 150 < sum(same) < 250
    torch.manual_seed(3)
    views = flip(x)
    assert all(
        torch.equal(view, image) or torch.equal(view, tv.horizontal_flip(image))
        for image, view in zip(x, views, strict=True)
    )


def test_crop_is_a_random_crop_of_the_padded_image():
    """Check that every view is one of torchvision's 25 crops, and that all occur."""
    x = images(1000)
    views = crop(x)
    found = set()
    for image, view in zip(x, views, strict=True):
        offsets = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(view, tv.crop(tv.pad(image, 2), top, left, 16, 24))
        ]
        assert len(offsets) == 1
        found |= set(offsets)
    assert len(found) == 25


def test_flip_crop_does_both():
    """Check that a view is a crop of the image or of its mirror image, half each."""
    x = images(200, size=(8, 8))
    n_mirrored = 0
    for image, view in zip(x, flip_crop(x), strict=True):
        crops, mirrored_crops = (
            any(
                torch.equal(view, tv.crop(tv.pad(source, 1), top, left, 8, 8))
                for top in range(3)
                for left in range(3)
            )
            for source in (image, tv.horizontal_flip(image))
        )
        assert crops != mirrored_crops
        n_mirrored += mirrored_crops
    assert 60 < n_mirrored < 140
