# SPDX-License-Identifier: BSD-3-Clause
"""Tests of training in bfloat16 and of the layout of images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from confident_clf import ConfidentClassifier
from confident_clf._networks._trial import flop, prefer_channels_last
from confident_clf._training._optim import adamw, can_fuse, descend
from confident_clf.modules import MLP, DCGenerator, SmallConvNet
from confident_clf.utils._compute import (
    multiplies_bfloat16,
    use_bfloat16,
)

X, Y = load_digits(return_X_y=True)
IMAGES = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
CPU = torch.device("cpu")


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


def test_flop_of_a_dense_network():
    """Check the count against 2 * inputs * outputs of each layer and sample."""
    assert flop(MLP((3,), 4, hidden=(8,)), torch.zeros(5, 3)) == 5 * 2 * (24 + 32)


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (SmallConvNet((3, 16, 24), 5), torch.zeros(2, 3, 16, 24)),
        (DCGenerator(7, (3, 16, 16), width=4), torch.zeros(2, 7)),
    ],
    ids=["convolutions", "transposed"],
)
def test_flop_of_a_convolutional_network(network, x):
    """Check the count against torch's counter."""
    with FlopCounterMode(display=False) as counter:
        network(x)
    assert flop(network, x) == counter.get_total_flops()


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


def test_a_step_forgets_the_bfloat16_copies_of_the_weights():
    """Check that a player's next pass sees the weights that its step moved to."""
    layer = nn.Linear(4, 4)
    optimizer = adamw([{"params": list(layer.parameters())}], lr=1.0)
    x = torch.randn(8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        descend(layer(x).float().square().sum(), optimizer, "classifier")
        after = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), after)


def test_fused_only_where_torch_can():
    """Check real and complex parameters: both move, one of them fused."""
    for dtype, fused in ((torch.float32, True), (torch.complex64, False)):
        parameter = nn.Parameter(torch.ones(3, dtype=dtype))
        assert can_fuse([parameter]) == fused
        optimizer = adamw([{"params": [parameter]}], lr=0.1, weight_decay=0)
        descend(parameter.abs().sum(), optimizer, "classifier")
        torch.testing.assert_close(parameter.abs(), torch.full((3,), 0.9))


class Viewing(nn.Module):
    """A network that needs the usual layout, as many tutorials' do."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 36, n_classes)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


def test_layout():
    """Check which networks get channels-last filters, and that logits stay."""
    x = torch.randn(4, 1, 8, 8)
    for network, expected in (
        (SmallConvNet((1, 8, 8), 3), True),
        (Viewing((1, 8, 8), 3), False),
    ):
        before = network.eval()(x).detach()
        network.train()
        prefer_channels_last(network, x)
        assert network.training
        last = torch.channels_last
        filters = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1]
        assert all(p.is_contiguous(memory_format=last) == expected for p in filters)
        torch.testing.assert_close(network.eval()(x), before, rtol=1e-4, atol=1e-5)
    clf = ConfidentClassifier(Viewing, max_epochs=1).fit(IMAGES, Y)
    assert clf.score(IMAGES, Y) > 0.2
