# SPDX-License-Identifier: BSD-3-Clause
"""Tests of how many threads a fit uses."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf._networks._trial import flop
from confident_clf.modules import SmallConvNet
from confident_clf.utils._compute import MIN_FLOP_OF_THREADS, one_thread

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)[:300]
Y = Y[:300]


class RecordThreads(Callback):
    """Record torch's number of threads while training."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("threads", torch.get_num_threads())


@pytest.fixture(params=[1, 3])
def n_threads(request):
    """Set the number of threads that the user has chosen."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Large(nn.Sequential):
    """A network that is worth several threads."""

    def __init__(self, input_shape, n_classes):
        super().__init__(nn.Linear(*input_shape, 30_000), nn.Linear(30_000, n_classes))


def test_small_networks_take_one_thread(n_threads):
    """Check both kinds of network, and that the user's number comes back."""
    clf = ConfidentClassifier(
        max_epochs=1, ood_source=None, callbacks=[RecordThreads()], random_state=0
    )
    assert clf.fit(X, Y).history_[-1]["threads"] == 1
    large = Large((64,), 10)
    assert flop(large, torch.zeros(2, 64)) / 2 * 64 > MIN_FLOP_OF_THREADS
    clf.set_params(module=Large, lr=1e-4).fit(X[:64], Y[:64])
    assert clf.history_[-1]["threads"] == n_threads
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("ood_source", ["joint", "features"])
def test_results_do_not_depend_on_the_number_of_threads(ood_source):
    """Check logits and samples to the bit, with images small enough."""
    clf = ConfidentClassifier(
        SmallConvNet, image_shape=(1, 8, 8), max_epochs=2, random_state=0
    ).set_params(ood_source=ood_source)
    results = []
    before = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        try:
            clf.fit(X, Y)
            results.append((clf.decision_function(X), clf.sample_ood(5)))
        finally:
            torch.set_num_threads(before)
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_number_comes_back_after_an_error():
    """Check that a block that raises leaves no trace."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread(True):
            assert torch.get_num_threads() == 1
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
