# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the batches that predictions are made in."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from confident_clf import ConfidentClassifier
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
    assert inference_batch_size((1, 8, 8)) == 128
    assert sizes_that_round_alike(network, (1, 8, 8), "cpu") == expected


def test_another_number_of_threads_has_one_size():
    """Check that logits stay the same where rounding may have changed."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3
    clf = ConfidentClassifier(ood_source=None, max_epochs=1).fit(X, y)
    clf.net_.single_thread = False
    (_, _, n_threads, _), sizes = clf.net_.inference_sizes_
    assert n_threads == torch.get_num_threads() and sizes[-1] == 1024
    seen = []
    clf.net_.module_.register_forward_pre_hook(
        lambda _, args: seen.append(len(args[0]))
    )
    clf.predict(X[:1])
    assert seen == [sizes[0]]
    seen.clear()
    torch.set_num_threads(n_threads + 1)
    try:
        clf.predict(X[:1])
    finally:
        torch.set_num_threads(n_threads)
    assert seen == [1024]


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
