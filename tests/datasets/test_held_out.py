# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the tables with classes held out, and of the points in the plane."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_iris, load_wine

from confident_clf.datasets import (
    load_digits_ood,
    load_iris_ood,
    load_wine_ood,
    make_ood_blobs,
    make_ood_moons,
)

ALL = [load_digits_ood, load_iris_ood, load_wine_ood, make_ood_blobs, make_ood_moons]


def sorted_rows(X):
    """Return the rows of X in an order that does not depend on how they came."""
    return X[np.lexsort(X.T)]


@pytest.mark.parametrize(
    ("load", "original", "unknown", "scale"),
    [
        (load_digits_ood, load_digits, [0, 3], 16),
        (load_iris_ood, load_iris, 0, 1),
        (load_wine_ood, load_wine, 1, 1),
    ],
)
def test_every_row_is_in_one_place(load, original, unknown, scale):
    """Check that the parts together are scikit-learn's table, with its labels."""
    X, y = original(return_X_y=True)
    data = load(unknown=unknown, random_state=0)
    names = original().target_names
    found = np.concatenate([data.X_train, data.X_test])
    labels = np.concatenate([data.y_train, data.y_test])
    for label in np.unique(y):
        is_unknown = label in np.atleast_1d(unknown)
        rows = data.X_ood[str(names[label])] if is_unknown else found[labels == label]
        assert_array_equal(sorted_rows(rows * scale), sorted_rows(X[y == label]))
    assert set(data.X_ood) == {str(names[i]) for i in np.atleast_1d(unknown)}
    known = np.setdiff1d(np.arange(len(names)), unknown)
    assert_array_equal(data.target_names, names[known].astype(str))


@pytest.mark.parametrize("load", ALL)
def test_same_seed(load):
    """Check that a seed gives the same samples, and another seed gives others."""
    one, same, other = (load(random_state=seed) for seed in (3, 3, 4))
    for part in ("X_train", "y_train", "X_test", "y_test"):
        assert_array_equal(one[part], same[part])
    for name, X in one.X_ood.items():
        assert_array_equal(X, same.X_ood[name])
    assert not np.array_equal(one.X_train, other.X_train)


@pytest.mark.parametrize("load", ALL)
def test_share_of_each_class(load):
    """Check that the test part has its share of each class."""
    data = load(test_size=0.4, random_state=0)
    test, train = np.bincount(data.y_test), np.bincount(data.y_train)
    assert_allclose(test, 0.4 * (test + train), atol=1)


def test_images():
    """Check that images are the rows in another shape."""
    rows = load_digits_ood(random_state=0)
    images = load_digits_ood(images=True, random_state=0)
    assert images.X_test.shape[1:] == (1, 8, 8)
    assert_array_equal(images.X_test.reshape(-1, 64), rows.X_test)
    assert_array_equal(images.X_ood["7"].reshape(-1, 64), rows.X_ood["7"])


def test_frames():
    """Check that frames have the rows and names of the arrays."""
    frames, arrays = (load_wine_ood(as_frame=f, random_state=0) for f in (True, False))
    assert list(frames.X_train.columns) == arrays.feature_names
    assert_array_equal(frames.X_test.to_numpy(), arrays.X_test)
    assert_array_equal(frames.X_ood["class_2"].to_numpy(), arrays.X_ood["class_2"])


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ([8, 12], r"names 12, which is not a class"),
        ([], r"leaves 10 of 10 classes known"),
        (range(9), r"leaves 1 of 10 classes known"),
    ],
)
def test_unknown_that_cannot_be(unknown, message):
    """Check that classes that do not exist, none and too many are refused."""
    with pytest.raises(ValueError, match=message):
        load_digits_ood(unknown=unknown)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_blobs_are_where_they_should_be(n_classes):
    """Check distances to the means of the classes against the docstring's."""
    data = make_ood_blobs(6000, n_classes=n_classes, n_ood=500, random_state=0)
    means = [data.X_train[data.y_train == k].mean(axis=0) for k in range(n_classes)]
    between = np.sort(cdist(means, means))[:, 1]
    assert_allclose(between, 3, atol=0.1)
    near = np.sort(cdist(data.X_ood["near"], means))[:, :2]
    assert_allclose(near, 1.5, atol=0.5)
    radius = np.linalg.norm(means, axis=1).mean()
    ring, far = (np.linalg.norm(data.X_ood[k], axis=1) for k in ("ring", "far"))
    assert_allclose(ring, radius + 2, atol=0.5)
    assert far.min() > 9.7 * radius
    assert far.max() < 20.3 * radius


def test_moons_are_where_they_should_be():
    """Check distances from the arcs without noise, and from the middle of both."""
    data = make_ood_moons(n_ood=500, random_state=0)
    arcs = make_ood_moons(4000, noise=0, random_state=0).X_train
    assert cdist(data.X_train, arcs).min(axis=1).max() < 0.5
    near = cdist(data.X_ood["near"], arcs).min(axis=1)
    assert near.min() > 0.3  # 2 sin(0.5 / 2) = 0.49, with noise
    assert near.max() < 1.2
    sides = np.sign(data.X_ood["near"][:, 0] - 0.5)
    assert abs(sides.sum()) <= 1
    radii = {k: np.linalg.norm(v - [0.5, 0.25], axis=1) for k, v in data.X_ood.items()}
    assert_allclose(radii["ring"], 2.5, atol=0.5)
    assert (radii["far"].min() >= 15) and (radii["far"].max() <= 30)


def test_one_class_of_blobs():
    """Check that a single class is refused."""
    with pytest.raises(ValueError, match="n_classes=1 must be at least 2"):
        make_ood_blobs(n_classes=1)
