# SPDX-License-Identifier: BSD-3-Clause
"""Points in the plane that are easy to draw: known classes, and unknown sets."""

import numpy as np
from sklearn.datasets import make_blobs, make_moons
from sklearn.utils import Bunch, check_random_state

from confident_clf.datasets._held_out import split

# What is far is this many times as far out as the known points reach.
FAR = (10, 20)


def make_ood_blobs(
    n_samples: int = 600,
    *,
    n_classes: int = 3,
    std: float = 0.3,
    n_ood: int = 200,
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make round classes in the plane, and three unknown sets.

    The centres of the classes are on a circle, 3 apart from the next.

    Parameters
    ----------
    n_samples : int, default=600
        Number of known points, to train and to test on together.
    n_classes : int, default=3
        Number of classes, at least 2.
    std : float, default=0.3
        Standard deviation of each class in both directions.
    n_ood : int, default=200
        Number of points of each unknown set.
    test_size : float or int, default=0.25
        Share or number of the known points to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the points.

    Returns
    -------
    Bunch
        ``X_train``, ``y_train``, ``X_test`` and ``y_test`` have the known points,
        ``X_ood`` is a dict of unknown points: ``"near"``, half-way between
        neighbouring classes; ``"ring"``, a circle around all classes, 2 away from the
        outermost centres; and ``"far"``, 10 to 20 times as far out as the centres.

    See Also
    --------
    make_ood_moons : Two classes that no straight line separates.

    Examples
    --------
    >>> from confident_clf.datasets import make_ood_blobs
    >>> blobs = make_ood_blobs(random_state=0)
    >>> blobs.X_train.shape, blobs.X_test.shape
    ((450, 2), (150, 2))
    >>> {name: X.shape for name, X in blobs.X_ood.items()}
    {'near': (200, 2), 'ring': (200, 2), 'far': (200, 2)}
    """
    if n_classes < 2:
        raise ValueError(f"n_classes={n_classes} must be at least 2.")
    rng = check_random_state(random_state)
    radius = 1.5 / np.sin(np.pi / n_classes)
    centres = radius * _on_circle(2 * np.pi * np.arange(n_classes) / n_classes)
    X, y = make_blobs(n_samples, centers=centres, cluster_std=std, random_state=rng)
    gaps = (centres + np.roll(centres, 1, axis=0)) / 2
    near = gaps[rng.randint(n_classes, size=n_ood)] + rng.normal(0, 0.1, (n_ood, 2))
    bunch = split(X, y, test_size, rng)
    bunch.X_ood = {
        "near": near,
        "ring": _ring(n_ood, radius + 2, rng),
        "far": _far(n_ood, radius, rng),
    }
    return bunch


def make_ood_moons(
    n_samples: int = 600,
    *,
    noise: float = 0.1,
    n_ood: int = 200,
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make two moons in the plane, and three unknown sets.

    The moons are those of :func:`sklearn.datasets.make_moons`: arcs of half a circle of
    radius 1.

    Parameters
    ----------
    n_samples : int, default=600
        Number of known points, to train and to test on together.
    noise : float, default=0.1
        Standard deviation of the known points around the arcs.
    n_ood : int, default=200
        Number of points of each unknown set.
    test_size : float or int, default=0.25
        Share or number of the known points to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the points.

    Returns
    -------
    Bunch
        ``X_train``, ``y_train``, ``X_test`` and ``y_test`` have the known points,
        ``X_ood`` is a dict of unknown points: ``"near"``, which continues both arcs
        beyond their outer ends; ``"ring"``, a circle of radius 2.5 around both moons;
        and ``"far"``, 15 to 30 away.

    See Also
    --------
    make_ood_blobs : Any number of round classes.

    Examples
    --------
    >>> from confident_clf.datasets import make_ood_moons
    >>> moons = make_ood_moons(random_state=0)
    >>> moons.X_train.shape, moons.X_test.shape
    ((450, 2), (150, 2))
    >>> {name: X.shape for name, X in moons.X_ood.items()}
    {'near': (200, 2), 'ring': (200, 2), 'far': (200, 2)}
    """
    rng = check_random_state(random_state)
    X, y = make_moons(n_samples, noise=noise, random_state=rng)
    middle = np.array([0.5, 0.25])
    # Beyond the left end of the upper arc. Half of it is turned around the middle, to
    # the right end of the lower arc.
    arc = _on_circle(np.pi + rng.uniform(0.5, 1, n_ood)) - middle
    near = np.where(np.arange(n_ood)[:, None] % 2, arc, -arc)
    bunch = split(X, y, test_size, rng)
    bunch.X_ood = {
        "near": middle + near + rng.normal(0, 0.05, (n_ood, 2)),
        "ring": middle + _ring(n_ood, 2.5, rng),
        "far": middle + _far(n_ood, 1.5, rng),
    }
    return bunch


def _on_circle(angles):
    """Return points on the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ring(n, radius, rng):
    """Return points around a circle."""
    circle = radius * _on_circle(rng.uniform(0, 2 * np.pi, n))
    return circle + rng.normal(0, 0.1, (n, 2))


def _far(n, reach, rng):
    """Return points in all directions, many times as far out as `reach`."""
    distance = reach * rng.uniform(*FAR, (n, 1))
    return distance * _on_circle(rng.uniform(0, 2 * np.pi, n))
