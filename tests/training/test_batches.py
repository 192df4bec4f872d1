# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the batches and of the means over them."""

import pytest
import torch

from confident_clf._training._batches import EpochMeans, ShuffledBatches, resident


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),  # a last batch of one joins the one before
        (8, 4, [4, 4]),
        (3, 4, [3]),
        (2, 2, [2]),
        (3, 2, [3]),
    ],
)
def test_batches_cover_every_row_once(n, batch_size, sizes):
    """Check sizes, coverage, and that rows stay together with their labels."""
    torch.manual_seed(0)
    x = torch.arange(n)
    for _ in range(2):
        batches = list(ShuffledBatches((x, 10 * x), batch_size))
        assert [len(a) for a, _ in batches] == sizes
        assert sorted(torch.cat([a for a, _ in batches]).tolist()) == x.tolist()
        assert all(torch.equal(10 * a, b) for a, b in batches)


def test_on_the_cpu_nothing_is_copied():
    """Check that the data are where they were."""
    tensors = [torch.zeros(3), torch.ones(3)]
    assert resident(tensors, "cpu") is tensors


def test_batches_are_shuffled_anew_each_epoch():
    """Check that two epochs come in different orders."""
    torch.manual_seed(0)
    batches = ShuffledBatches((torch.arange(50),), 50)
    (first,), (second,) = next(iter(batches)), next(iter(batches))
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.arange(50))


def test_history_holds_means_over_samples():
    """Check that batches count by their size, against a mean by hand."""
    means = EpochMeans()
    means.add({"a": torch.tensor(1.0)}, 4)
    means.add({"a": torch.tensor(4.0)}, 2)
    assert means.means() == {"a": 2.0}
