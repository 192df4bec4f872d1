# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the batches that predictions are made in."""

from collections import Counter
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf._networks import _inference
from confident_clf._networks._inference import (
    _batches,
    inference_batch_size,
    map_padded,
    sizes_that_round_alike,
)
from confident_clf.modules import MLP


class ByBatch(nn.Module):
    """A network whose rounding depends on the shape of the batch."""

    def __init__(self, alike):
        super().__init__()
        self.alike = alike

    def forward(self, x):
        return x if len(x) in self.alike else x * (1 + 1e-7)


@pytest.mark.parametrize("sizes", [(8,), (4, 32), (4, 32, 256)])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 31, 32, 33, 255, 256, 260, 1000])
def test_batches_cover_all_and_are_few(n, sizes):
    """Check starts and sizes for many numbers of samples, and how much is padding."""
    batches = list(_batches(n, sizes))
    starts = np.cumsum([0, *(size for _, size in batches)])
    assert [start for start, _ in batches] == starts[:-1].tolist()
    assert starts[-2] < n <= starts[-1] <= max(2 * n, sizes[0])
    assert {size for _, size in batches} <= set(sizes)
    for small, next_size in pairwise(sizes):
        n_small = sum(size == small for _, size in batches)
        assert n_small <= next_size / small / 2


@pytest.mark.parametrize(
    ("alike", "expected"),
    [({4, 32, 128}, (4, 32, 128)), ({128}, (128,)), ({32, 128}, (32, 128))],
)
def test_only_sizes_that_give_the_same_bits(alike, expected):
    """Check which sizes are used for networks that round as they are told."""
    network = ByBatch(alike).eval()
    assert inference_batch_size((1, 8, 8), "cpu") == 128
    assert sizes_that_round_alike(network, (1, 8, 8), "cpu") == expected


@pytest.mark.parametrize(
    ("shape", "on_cpu", "on_gpu"),
    [
        ((20,), 256, 4096),
        ((1, 28, 28), 32, 2048),
        ((3, 32, 32), 32, 512),
        ((3, 224, 224), 32, 32),
    ],
)
def test_a_gpu_gets_larger_batches(shape, on_cpu, on_gpu):
    """Check the sizes: at most 2**13 numbers, or 2**21, but no less than 32 samples."""
    assert inference_batch_size(shape, "cpu") == on_cpu
    assert inference_batch_size(shape, "cuda:0") == on_gpu


def test_each_number_of_threads_is_tried_once():
    """Check that sizes are found where they are needed, and then known."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3
    clf = ConfidentClassifier(
        ood_source=None, max_epochs=1, method="msp", device="cpu"
    ).fit(X, y)
    clf.net_.single_thread = False
    seen = []
    clf.net_.module_.register_forward_pre_hook(
        lambda _, args: seen.append(len(args[0]))
    )
    n_threads = torch.get_num_threads()
    try:
        for n in (n_threads, n_threads + 1):
            torch.set_num_threads(n)
            with clf.net_.inference():
                sizes = clf.net_.inference_sizes((1, 5))
            assert seen[0] == sizes[-1] == 1024  # a trial
            seen.clear()
            clf.predict(X[:1])
            assert seen == [sizes[0]]
            seen.clear()
    finally:
        torch.set_num_threads(n_threads)


class Counting(torch.nn.Module):
    """A network for images that keeps the size of each batch in evaluation mode."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.layer = torch.nn.Linear(64, n_classes)
        self.seen = []

    def forward(self, x):
        if not self.training:
            self.seen.append(len(x))
        return self.layer(x.flatten(1))


def test_fit_does_not_look_for_sizes():
    """Check that the trial waits for a small batch; large ones need none."""
    rng = np.random.default_rng(0)
    X, y = rng.random((128, 1, 8, 8)).astype(np.float32), np.arange(128) % 2
    clf = ConfidentClassifier(
        Counting, ood_source=None, max_epochs=1, method="msp", device="cpu"
    )
    seen = clf.fit(X, y).net_.module_.seen
    assert max(seen, default=0) <= 4  # the few rows that it is tried on
    seen.clear()
    clf.predict(X)
    assert seen == [128]
    clf.predict(X[:3])
    assert {2, 4, 32, 128} == set(seen)


def test_a_slow_network_is_tried_on_few_batches(monkeypatch):
    """Check the trial of a slow network: 2 batches of a size, 1 if they round apart."""
    monkeypatch.setattr(_inference, "_SLOW", -1.0)
    network = Counting((1, 8, 8), 2).eval()
    sizes = sizes_that_round_alike(network, (1, 8, 8), "cpu")
    assert set(network.seen) == {2, 4, 32, 128} and sizes[-1] == 128
    assert max(Counter(network.seen).values()) <= 2 and network.seen.count(128) == 1


def test_results_are_those_of_the_network():
    """Check values and order against one pass over all."""
    torch.manual_seed(0)
    network, x = MLP((3,), 2).eval(), np.random.default_rng(0).random((77, 3), "f")
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
        for sizes in ((4, 32), (64,), None):
            got = map_padded(network, x, device="cpu", sizes=sizes)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_batches_side_by_side():
    """Check that threads change neither results nor their order."""
    torch.manual_seed(0)
    network, x = MLP((3,), 2).eval(), np.random.default_rng(0).random((777, 3), "f")
    run = torch.inference_mode()(network)
    alone = map_padded(run, x, device="cpu", sizes=(32,))
    for workers in (2, 3):
        got = map_padded(run, x, device="cpu", sizes=(32,), workers=workers)
        np.testing.assert_array_equal(got, alone)


def test_linear_layers_on_very_few_rows_compute_four():
    """Check the bits of two rows against the product of four, one padded."""
    torch.manual_seed(0)
    layer, x = nn.Linear(50, 7), torch.rand(2, 50)
    with torch.inference_mode():
        expected = layer(torch.cat([x, torch.zeros(2, 50)]))[:2]
        got = map_padded(layer, x.numpy(), device="cpu", sizes=(2,))
    np.testing.assert_array_equal(got, expected)


class Limited(nn.Sequential):
    """A network that has no memory for more than some samples at once."""

    def __init__(self, input_shape, n_classes):
        super().__init__(nn.Linear(*input_shape, n_classes))
        self.most = 10_000

    def forward(self, x):
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return super().forward(x)


def test_too_little_memory():
    """Check that predict halves its batches, and that fit says what to change."""
    X, y = np.random.default_rng(0).normal(size=(300, 5)), np.arange(300) % 3
    clf = ConfidentClassifier(Limited, ood_source=None, method="msp", max_epochs=1)
    expected = clf.fit(X, y).predict_proba(X)
    untried = deepcopy(clf)  # looks for sizes that round alike first
    for limited in (clf, untried):
        limited.net_.module_.most = 5
        np.testing.assert_allclose(limited.predict_proba(X), expected, rtol=1e-5)
    clf.net_.module_.most = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        clf.predict(X)
    clf.net_.module_.most = 5
    message = "too little memory for batches of 64 samples. Use a smaller batch_size"
    with pytest.raises(torch.cuda.OutOfMemoryError, match=message):
        clf.set_params(warm_start=True).fit(X, y)
