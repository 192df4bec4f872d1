# SPDX-License-Identifier: BSD-3-Clause
"""Tests of device, precision and threads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf._networks._trial import flop
from confident_clf.modules import SmallConvNet
from confident_clf.utils._compute import (
    MIN_FLOP_OF_THREADS,
    multiplies_bfloat16,
    one_thread,
    use_bfloat16,
)

X, Y = load_digits(return_X_y=True)
IMAGES = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
CPU = torch.device("cpu")
ROWS, LABELS = (X / 16).astype(np.float32)[:300], Y[:300]


class Watched(SmallConvNet):
    """A network that notes the dtypes of its features."""

    seen = []

    def forward(self, x):
        features = self.features(x)
        self.seen.append((self.training, features.dtype, x.dtype))
        return self.head(features)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("ood_source", [None, "joint", "features"])
def test_dtypes_of_training_and_prediction(precision, ood_source):
    """Check the dtype of features and weights while training and predicting."""
    Watched.seen.clear()
    clf = ConfidentClassifier(
        Watched, ood_source=ood_source, precision=precision, max_epochs=1
    ).fit(IMAGES, Y)
    dtype = getattr(torch, precision)
    in_training = {row for row in Watched.seen if row[0]}
    assert in_training == {(True, dtype, torch.float32)}
    Watched.seen.clear()
    clf.predict(IMAGES)
    assert set(Watched.seen) == {(False, torch.float32, torch.float32)}
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
    # bfloat16 has 8 bits: of these logits many would be equal.
    logits = clf.decision_function(IMAGES)
    assert len(np.unique(logits)) > 0.9 * logits.size


@pytest.mark.slow
def test_bfloat16_learns_as_float32_does():
    """Check the losses of all players and the accuracy of both precisions."""
    fits = [
        ConfidentClassifier(precision=precision, max_epochs=4, random_state=0)
        for precision in ("float32", "bfloat16")
    ]
    full, half = (clf.fit(IMAGES, Y) for clf in fits)
    for name in ("cross_entropy", "kl", "discriminator_loss", "generator_loss"):
        first, second = full.history_[0][name], half.history_[0][name]
        assert first != second
        assert first == pytest.approx(second, rel=0.15)
    assert full.score(IMAGES, Y) == pytest.approx(half.score(IMAGES, Y), abs=0.02)


def test_auto_asks_hardware_and_network():
    """Check "auto" for small and large networks, here and on a device without it."""
    here = multiplies_bfloat16(CPU)
    assert not use_bfloat16("auto", CPU, 9e6)
    assert use_bfloat16("auto", CPU, 2e7) == here
    assert use_bfloat16("bfloat16", CPU, 1.0)
    assert not use_bfloat16("float32", CPU, 1e12)
    assert not multiplies_bfloat16(torch.device("meta"))


def test_hardware_is_what_the_kernel_says():
    """Check the processor's abilities against Linux's own list."""
    flags = Path("/proc/cpuinfo").read_text().split()
    if hasattr(torch.cpu, "get_capabilities"):
        expected = "amx_bf16" in flags or "avx512_bf16" in flags
        assert multiplies_bfloat16(CPU) == expected
    else:  # older versions of torch do not tell
        assert not multiplies_bfloat16(CPU)


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
    assert clf.fit(ROWS, LABELS).history_[-1]["threads"] == 1
    large = Large((64,), 10)
    assert flop(large, torch.zeros(2, 64)) / 2 * 64 > MIN_FLOP_OF_THREADS
    clf.set_params(module=Large, lr=1e-4).fit(ROWS[:64], LABELS[:64])
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
            clf.fit(ROWS, LABELS)
            results.append((clf.decision_function(ROWS), clf.sample_ood(5)))
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
