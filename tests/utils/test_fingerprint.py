# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the words that tell one fit from another."""

from functools import partial

import numpy as np
import pytest

from confident_clf.modules import MLP
from confident_clf.sources import JointGAN, NoiseOOD
from confident_clf.utils._fingerprint import describe


class Opaque:
    """Something whose repr has its address."""


def network(input_shape, n_classes):
    """Stand for a user's function."""


VALUES = [
    lambda: None,
    lambda: 0.1,
    lambda: 0.2,
    lambda: "0.1",
    lambda: (1, 8, 8),
    lambda: network,
    lambda: MLP,
    lambda: partial(MLP, hidden=(64,)),
    lambda: partial(MLP, hidden=(65,)),
    lambda: partial(network, 3),
    lambda: NoiseOOD(),
    lambda: NoiseOOD(enlarge=2.0),
    lambda: JointGAN(generator=network),
    lambda: [JointGAN(), (NoiseOOD(), 0.5)],
    lambda: {"a": NoiseOOD()},
    lambda: Opaque(),
    lambda: np.arange(20.0),
    lambda: np.arange(20.0).reshape(4, 5),
    lambda: np.arange(20.0, dtype=np.float32),
    lambda: np.arange(20.0)[::-1],
    lambda: np.array(["a", "b"], dtype=object),
]


@pytest.mark.parametrize("make", VALUES)
def test_two_of_a_kind_are_the_same(make):
    """Check that two objects made alike are described alike, without an address."""
    first, second = make(), make()
    assert describe(first) == describe(second)
    assert " at 0x" not in describe(first)


def test_all_others_differ():
    """Check that no two of the values above have one description."""
    descriptions = [describe(make()) for make in VALUES]
    assert len(set(descriptions)) == len(VALUES)


def test_numbers_of_numpy_are_numbers():
    """Check that a parameter from a search space is what it is in a script."""
    assert describe(np.float64(0.1)) == describe(0.1)
    assert describe(np.int64(3)) == describe(3)
