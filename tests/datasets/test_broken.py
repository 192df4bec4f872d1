# SPDX-License-Identifier: BSD-3-Clause
"""Tests of broken rows and broken images."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from confident_clf.datasets import broken

ROWS = ["x 1000", "/ 1000", "x 10", "sign", "zero", "swapped", "10 sd away"]
ROWS += ["uniform", "shuffled"]


@pytest.fixture
def rows():
    """Rows without a zero, in columns of very different units."""
    rng = np.random.default_rng(0)
    return rng.uniform(1, 2, (200, 4)) * [1, 10, 100, -1000]


@pytest.fixture
def images():
    """Images of random pixels, the first of them black and the second white."""
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 6, 5), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


@pytest.mark.parametrize(
    ("kind", "factor"),
    [("x 1000", 1000), ("/ 1000", 1 / 1000), ("x 10", 10), ("sign", -1), ("zero", 0)],
)
def test_one_number(rows, kind, factor):
    """Check that one number of each row changed, by the factor."""
    found = broken(rows, kind, random_state=0).X_ood[kind]
    different = found != rows
    assert_array_equal(different.sum(axis=1), 1)
    assert_allclose(found[different], factor * rows[different])
    assert_array_equal(different.any(axis=0), True)


def test_swapped(rows):
    """Check that two numbers of each row changed places."""
    found = broken(rows, "swapped", random_state=0).X_ood["swapped"]
    assert_array_equal((found != rows).sum(axis=1), 2)
    assert_array_equal(np.sort(found, axis=1), np.sort(rows, axis=1))


def test_far_and_uniform_by_reference(rows):
    """Check lengths in standard deviations of the reference, and its range."""
    reference = np.concatenate([rows, rows * 3])
    sets = broken(rows, reference=reference, random_state=0).X_ood
    steps = (sets["10 sd away"] - rows) / reference.std(axis=0, ddof=1)
    assert_allclose(np.linalg.norm(steps, axis=1), 10)
    low, high = reference.min(axis=0), reference.max(axis=0)
    place = (sets["uniform"] - low) / (high - low)
    assert place.min() > -1e-9
    assert place.max() < 1 + 1e-9
    assert_allclose(np.quantile(place, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.05)


def test_shuffled(rows):
    """Check that columns have the numbers they had, and rows do not."""
    found = broken(rows, "shuffled", random_state=0).X_ood["shuffled"]
    assert_array_equal(np.sort(found, axis=0), np.sort(rows, axis=0))
    assert_allclose(np.corrcoef(found[:, 0], rows[:, 0])[0, 1], 0, atol=0.2)


@pytest.mark.parametrize("kind", ROWS)
def test_mask_and_missing_numbers(rows, kind):
    """Check that the mask says which rows changed, and that NaN stays NaN."""
    rows[:50] = 0  # does not change by a factor
    rows[50:60, 1] = np.nan
    before = rows.copy()
    bunch = broken(rows, kind, random_state=0)
    found, changed = bunch.X_ood[kind], bunch.changed[kind]
    assert_array_equal(rows, before)
    assert len(found) == changed.sum()
    assert len(changed) == len(rows)
    same = [
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(found, rows[changed], strict=True)
    ]
    assert not any(same)
    if kind in ROWS[:6]:
        assert not changed[:50].any()
    if kind not in ("swapped", "shuffled"):
        assert_array_equal(np.isnan(found), np.isnan(rows[changed]))


@pytest.mark.parametrize("kind", ROWS)
def test_frame(rows, kind):
    """Check that numbers of a table break as those of an array, text only moves."""
    frame = pd.DataFrame(rows, columns=list("abcd"), index=np.arange(200) + 7)
    frame["text"] = pd.Categorical(np.where(np.arange(200) % 2, "odd", "even"))
    bunch = broken(frame, kind, random_state=0)
    found, changed = bunch.X_ood[kind], bunch.changed[kind]
    assert_array_equal(found.index, frame.index[changed])
    assert list(found.dtypes) == list(frame.dtypes)
    of_array = broken(rows, kind, random_state=0)
    assert_array_equal(found[list("abcd")], of_array.X_ood[kind])
    is_same = (found["text"] == frame["text"][changed]).all()
    assert is_same == (kind != "shuffled")
    assert found["text"].value_counts().to_dict() == {"odd": 100, "even": 100}


def test_whole_numbers():
    """Check that whole numbers are divided as numbers, in arrays and tables."""
    X = np.arange(1, 13).reshape(4, 3)
    array = broken(X, "/ 1000", random_state=0).X_ood["/ 1000"]
    frame = broken(pd.DataFrame(X), "/ 1000", random_state=0).X_ood["/ 1000"]
    assert_allclose(np.where(array < 1, array * 1000, array), X)
    assert_array_equal(frame, array)


def test_single_precision(rows):
    """Check that single precision stays single."""
    sets = broken(rows.astype(np.float32), random_state=0).X_ood
    assert {found.dtype for found in sets.values()} == {np.dtype(np.float32)}


def test_images(images):
    """Check each kind of image by its pixels; images that were so are left out."""
    sets, changed = (broken(images, random_state=0)[k] for k in ("X_ood", "changed"))
    assert {found.dtype for found in sets.values()} == {images.dtype}
    assert_array_equal(np.flatnonzero(~changed["black"]), [0])
    assert_array_equal(np.flatnonzero(~changed["white"]), [1])
    assert sets["black"].max() == 0
    assert sets["white"].min() == 255
    assert_array_equal(sets["negative"].astype(int) + images, 255)
    colours = sets["one colour"]
    assert_array_equal(colours, np.broadcast_to(colours[:, :, :1, :1], colours.shape))
    assert len(np.unique(colours[:, :, 0, 0], axis=0)) > 50


def test_half_images(images):
    """Check that one half is covered, at every side in some image."""
    found = broken(images, "half black", random_state=0).X_ood["half black"]
    covered = (found == 0).all(axis=1)
    upper, lower = covered[:, :3].all(axis=(1, 2)), covered[:, 3:].all(axis=(1, 2))
    left, right = covered[..., :2].all(axis=(1, 2)), covered[..., 2:].all(axis=(1, 2))
    sides = np.stack([upper, lower, left, right])
    assert_array_equal(sides.sum(axis=0), 1)
    assert sides.any(axis=1).all()


def test_float_images(images):
    """Check that images from 0 to 1 break as those of whole numbers."""
    whole = broken(images, random_state=0).X_ood
    floats = broken(images / np.float32(255), random_state=0).X_ood
    for kind, found in whole.items():
        assert floats[kind].dtype == np.float32
        assert_allclose(floats[kind] * 255, found, atol=1e-3)


@pytest.mark.parametrize("name", ["rows", "images"])
def test_a_kind_does_not_depend_on_others(name, request):
    """Check that a seed gives a kind the same samples, alone and among others."""
    X = request.getfixturevalue(name)
    everything = broken(X, random_state=3).X_ood
    for kind, found in everything.items():
        assert_array_equal(broken(X, [kind], random_state=3).X_ood[kind], found)
    other = broken(X, random_state=4).X_ood
    for kind in {"swapped", "one colour", "half white"} & set(everything):
        assert not np.array_equal(other[kind], everything[kind])


def test_random_state_instances(rows):
    """Check that generators of both kinds go on, and that None draws anew."""
    for rng in (np.random.RandomState(0), np.random.default_rng(0), None):
        one, two = (
            broken(rows, "shuffled", random_state=rng).X_ood["shuffled"]
            for _ in range(2)
        )
        assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.ones((3, 2)), {"kind": "black"}, r"'black', which is not a way to break"),
        (np.ones((3, 2)), {"kind": ["zero", "x 3"]}, r"names 'x 3'"),
        (np.ones((3, 2, 2)), {}, r"shape \(3, 2, 2\)"),
        (np.ones((3, 2)), {"reference": np.ones((3, 4))}, r"4 columns .* X has 2"),
        (np.ones((3, 1, 4, 4)), {"reference": np.ones((3, 2))}, r"is for rows"),
        (np.full((3, 1, 4, 4), 200.0), {}, r"from 200.0 to 200.0. Give uint8"),
        (pd.DataFrame({"a": ["x", "y"]}), {}, r"no column of numbers"),
        (
            pd.DataFrame({"a": [1.0, 2.0]}),
            {"reference": np.ones((3, 1))},
            r"a DataFrame with the columns",
        ),
    ],
)
def test_what_cannot_be_broken(X, options, message):
    """Check the errors for kinds, shapes, units and references that do not fit."""
    with pytest.raises(ValueError, match=message):
        broken(X, **options)
