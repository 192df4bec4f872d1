# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the words that tell one fit from another."""

import io
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import torch
from skorch.callbacks import EarlyStopping
from torch import nn

from confident_clf._training._fingerprint import describe
from confident_clf.modules import MLP
from confident_clf.sources import JointGAN, NoiseOOD


class Opaque:
    """Something whose repr has its address."""


class Rate:
    """A user's callable object, with things that no two processes have alike."""

    def __init__(self, factor):
        self.factor = factor
        self.lock, self.log = Lock(), io.BytesIO()
        self.owner, self.parts = self, [self]
        self.calls_ = [object()]  # what a fit has set

    def at(self, progress):
        return self.factor


class Slotted:
    """An object without a dict."""

    __slots__ = ("factor", "unset")

    def __init__(self, factor):
        self.factor = factor


class Jitter(nn.Module):
    """A user's augmentation, which prints without its width."""

    def __init__(self, width, weight=0.0):
        super().__init__()
        self.width = width
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.layer.weight, weight)


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
    lambda: Rate(0.0),
    lambda: Rate(1.0),
    lambda: Rate(0.0).at,
    lambda: Rate(1.0).at,
    lambda: [Rate(Rate(0.0))],
    lambda: [Rate(Rate(1.0))],
    lambda: Slotted(0.0),
    lambda: Slotted(1.0),
    lambda: Jitter(0.1),
    lambda: Jitter(0.2),
    lambda: Jitter(0.2, weight=1.0),
    lambda: EarlyStopping(patience=1),
    lambda: EarlyStopping(patience=9),
    lambda: {"a", "b"},
    lambda: {1: Opaque()},
    lambda: torch.arange(2000.0),
    lambda: torch.arange(2000.0).bfloat16(),
    lambda: torch.arange(2000.0).flip(0),
    lambda: torch.tensor(1.0),
    lambda: torch.eye(2).to_sparse(),
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


def test_another_process_says_the_same():
    """Check all values above, under another seed of Python's hashes."""
    script = """if True:
    import importlib, sys
    test = importlib.import_module(sys.argv[1])
    print([test.describe(make()) for make in test.VALUES])
    """
    result = subprocess.run(
        [sys.executable, "-c", script, __name__],
        cwd=Path(__file__).parents[__name__.count(".")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == str([describe(make()) for make in VALUES])


def test_objects_that_all_hold_each_other():
    """Check that the text stays short, and tells of a difference far inside."""
    objects = [Opaque() for _ in range(30)]
    for thing in objects:
        thing.others, thing.number = tuple(objects), 0
    text = describe(objects)
    objects[-1].number = 1
    assert len(text) < 20_000
    assert describe(objects) != text
