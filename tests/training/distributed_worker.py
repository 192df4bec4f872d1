# SPDX-License-Identifier: BSD-3-Clause
"""What a process of test_distributed.py runs: `worker.py CASE FOLDER`.

Each case returns arrays, which go to FOLDER/RANK.npz.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf.distributed import data_parallel
from confident_clf.modules import MLPDiscriminator
from confident_clf.sources import JointGAN, OODSource

X, Y = load_digits(return_X_y=True)
X, Y = X[:241] / 16, Y[:241]  # halves and thirds of different sizes
fit_params = {"hidden": (32,), "lr": 1e-3, "method": "msp", "random_state": 0}
fit_params["device"] = "cpu"
# One batch is all samples: their order does not matter.
whole = partial(ConfidentClassifier, **fit_params, batch_size=500, max_epochs=6)
batches = partial(ConfidentClassifier, **fit_params | {"lr": 0.01}, batch_size=50)


class OnePoint(nn.Module):
    """A generator that makes one point, whatever z is."""

    def __init__(self, latent_dim, output_shape):
        super().__init__()
        self.point = nn.Parameter(torch.full(output_shape, 0.1))

    def forward(self, z):
        return self.point.expand(len(z), *self.point.shape)


class Corner(OODSource):
    """A source of one point."""

    def sample(self, n):
        return torch.full((n, 64), 2.0)


class Remembers(OODSource):
    """A source of uniform noise that keeps its last samples."""

    def sample(self, n):
        self.last = torch.rand(n, 64)
        return self.last


class Dies(Callback):
    """End the process of one rank, without a word, in its second epoch."""

    def on_epoch_begin(self, net, **kwargs):
        is_due = os.environ["RANK"] == "1" and len(net.history) == 2
        if is_due and sys.argv[1] == "a_rank_dies":
            os.kill(os.getpid(), signal.SIGKILL)


SAME_NOISE = {
    "cross entropy": {"ood_source": None},
    "own source": {"ood_source": Corner()},
    "joint": {
        "ood_source": JointGAN(OnePoint, MLPDiscriminator),
        "latent_dim": 4,
    },
}
SOURCES = [None, "joint", "gan", "noise", "features", ["joint", "noise"]]


def weights(clf):
    """Return all weights of the classifier and of its source, as one array."""
    networks = [clf.net_.module_, clf.net_.source and clf.net_.source_]
    tensors = [t for n in networks if n for t in n.parameters()]
    return torch.cat([t.detach().reshape(-1) for t in tensors]).cpu().numpy()


def first_steps():
    """Return the weights after six steps, for networks whose noise is the same."""
    return {n: weights(whole(**p).fit(X, Y)) for n, p in SAME_NOISE.items()}


def every_source():
    """Return accuracy and logits of fits with each source."""
    results = {}
    for source in SOURCES:
        clf = batches(ood_source=source, max_epochs=12, early_stopping=source is None)
        clf.fit(X, Y)
        results[f"{source} logits"] = clf.decision_function(X)
        results[f"{source} loss"] = clf.history_[:, "train_loss"]
        results[f"{source} accuracy"] = clf.score(X, Y)
    return results


def noise():
    """Return the last noise that this rank trained on."""
    clf = batches(ood_source=Remembers(), max_epochs=1).fit(X, Y)
    return {"noise": clf.net_.source_.last.numpy()}


def refused():
    """Return the errors for data that differ, and for batches too small to share."""
    rank = int(os.environ["RANK"])
    messages = {}
    for name, size, data in [("other data", 50, X + rank), ("small batches", 3, X)]:
        try:
            batches(batch_size=size).fit(data, Y)
        except ValueError as error:
            messages[name] = str(error)
    return messages


def together():
    """Return the results of all cases that end well."""
    return first_steps() | every_source() | noise() | refused()


def resumed():
    """Fit with checkpoints, and return the weights and the number of epochs."""
    folder = Path(sys.argv[2]).parent / "checkpoints"
    clf = batches(
        ood_source="joint", max_epochs=5, checkpoint=folder, callbacks=[Dies()]
    ).fit(X, Y)
    return {"weights": weights(clf), "epochs": clf.n_epochs_}


a_rank_dies = resumed


if __name__ == "__main__":
    torch.set_num_threads(1)
    with data_parallel(timeout=60) as rank:
        results = globals()[sys.argv[1]]()
    np.savez(Path(sys.argv[2]) / f"{rank}.npz", **results)
