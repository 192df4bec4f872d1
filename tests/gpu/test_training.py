# SPDX-License-Identifier: BSD-3-Clause
"""Fits on pretended GPUs that are resumed, that diverge, and in several threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from confident_clf import (
    DivergenceError,
    OpenSetClassifier,
    load,
    make_ood_scorer,
    save,
)
from confident_clf.sources import OODSource, OriginalGAN
from tests.gpu.test_places import (
    IMAGES,
    QUICK_SOURCES,
    ROWS,
    Y,
    extra,
    make,
    pytestmark,
)

__all__ = ["pytestmark"]


class Ends(Callback):
    """Raise an error at the beginning of the third epoch, once."""

    is_due = False

    def on_epoch_begin(self, net, **kwargs):
        if Ends.is_due and len(net.history) == 3:
            Ends.is_due = False
            raise RuntimeError("the power fails")


@pytest.mark.parametrize(
    "X", [ROWS, pytest.param(IMAGES, marks=pytest.mark.slow)], ids=["rows", "images"]
)
@pytest.mark.parametrize("source", QUICK_SOURCES, ids=str)
def test_resumed_is_bit_equal(source, X, gpus, tmp_path):
    """Check a fit that ended in the middle and goes on from its checkpoint."""
    params = {"max_epochs": 3, "callbacks": [Ends()]}
    whole = make(source, checkpoint=tmp_path / "whole", **params)
    whole.fit(X, Y, **extra(source, X))
    clf = make(source, checkpoint=tmp_path / "ended", **params)
    Ends.is_due = True
    with pytest.raises(RuntimeError, match="the power fails"):
        clf.fit(X, Y, **extra(source, X))
    clf.fit(X, Y, **extra(source, X))
    np.testing.assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


class StopsAt(Callback):
    """End the training, as skorch's callbacks do, at a batch."""

    def __init__(self, batch):
        self.batch = batch

    def on_batch_end(self, net, training=True, **kwargs):
        if training and len(net.history[-1]["batches"]) == self.batch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_divergence_is_not_hidden(device, gpus):
    """Check that a callback which ends the epoch does not hide what a GPU found."""
    clf = make(None, device, lr=1e30, callbacks=[StopsAt(4)], lr_schedule=None)
    with pytest.raises(DivergenceError) as raised:
        clf.fit(ROWS, Y)
    assert (raised.value.epoch, raised.value.batch) == (1, 2)


class Steep(nn.Linear):
    """A layer whose outputs are finite, and whose gradient is not: that of sqrt(0)."""

    def __init__(self, input_shape, n_classes):
        super().__init__(*input_shape, n_classes)

    def forward(self, x):
        return super().forward(x) + (0 * self.weight.sum()).sqrt()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gradient_that_is_not_finite(device, gpus):
    """Check that it is found where all losses and weights are finite."""
    with pytest.raises(DivergenceError, match=r"of the classifier .* epoch 1, batch 1"):
        make(None, device, module=Steep).fit(ROWS, Y)


def rises(progress):
    """Return a factor of the learning rate that is far too large from the middle on."""
    return 1.0 if progress < 0.5 else 1e30


def test_going_on_after_a_divergence(gpus):
    """Check that the classifier that an error holds can learn again."""
    with pytest.raises(DivergenceError) as raised:
        make(None, lr_schedule=rises).fit(ROWS, Y)
    clf = raised.value.classifier
    before = clf.predict_proba(ROWS)
    clf.set_params(lr_schedule=None).partial_fit(ROWS, Y)
    assert np.abs(clf.predict_proba(ROWS) - before).max() > 1e-3


class Keeps(OODSource):
    """A source with a buffer made on the CPU, and tensors of its own."""

    def prepare(self, x, x_ood, device):
        super().prepare(x, x_ood, device)
        self.register_buffer("low", torch.full((64,), -5.0))
        self.list_ = [torch.full((64,), 1.0)]
        self.dict_ = {"scale": torch.full((64,), 2.0)}
        self.list_ = [part.to(device) for part in self.list_]
        self.dict_ = {name: part.to(device) for name, part in self.dict_.items()}
        self.offset = torch.zeros(64, device=device)

    def sample(self, n):
        noise = torch.rand(n, 64, device=self.device)
        return self.offset + self.low + noise * self.list_[0] * self.dict_["scale"]


def test_a_source_of_the_user(gpus, tmp_path):
    """Check buffers and tensors, in a fit, after a resume, and from a file."""
    params = {"max_epochs": 3, "checkpoint": tmp_path, "callbacks": [Ends()]}
    Ends.is_due = True
    with pytest.raises(RuntimeError, match="the power fails"):
        make(Keeps(), **params).fit(ROWS, Y)
    clf = make(Keeps(), **params).fit(ROWS, Y)
    samples = clf.sample_ood(50)
    assert samples.min() >= -5 and samples.max() <= -3
    save(clf, tmp_path / "file")
    own = {"callbacks": None, "checkpoint": None, "ood_source": Keeps()}
    twin = load(tmp_path / "file", device="cuda", **own)
    np.testing.assert_array_equal(twin.sample_ood(50), samples)


class FromTheCPU(OODSource):
    """Draws where a user without a GPU in mind would."""

    def sample(self, n):
        return torch.full((n, 64), 5.0)


def test_a_source_that_draws_on_the_cpu(gpus):
    """Check that its samples go to the GPU, alone and in a mixture."""
    for source in (FromTheCPU(), [FromTheCPU(), "noise"]):
        clf = make(source).fit(ROWS, Y)
        assert next(clf.net_.module_.parameters()).is_cuda
        assert (clf.sample_ood(3) == 5).any()


def test_search_and_open_set(gpus):
    """Check a search with a scorer, and a classifier of its best estimator."""
    auroc = make_ood_scorer(X_ood=ROWS + 50)
    search = GridSearchCV(make("noise"), {"beta": [0.1, 1.0]}, scoring=auroc, cv=2)
    search.fit(ROWS, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    open_set = OpenSetClassifier(search.best_estimator_, target_tpr=0.8, random_state=0)
    assert set(open_set.fit(ROWS, Y).predict(ROWS + 50)) <= {-1, 0, 1, 2}


def test_several_threads(gpus):
    """Check that fits in threads, one of which has another current GPU, are alike."""

    def probabilities(index):
        torch.cuda.set_device(index % 2)
        return make("noise", "cuda:0").fit(ROWS, Y).predict_proba(ROWS)

    with ThreadPoolExecutor(2) as pool:
        first, *others = pool.map(probabilities, range(3))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_pickle_of_a_gpu_that_is_not_there(gpus, monkeypatch):
    """Check that a classifier of cuda:1 goes to cuda:0 on a machine with one GPU."""
    data = pickle.dumps(make("noise", "cuda:1").fit(ROWS, Y))
    monkeypatch.setattr(gpus, "n", 1)
    with pytest.warns(UserWarning, match=r"cuda:1, which is not there: .* cuda:0"):
        clf = pickle.loads(data)
    assert np.isfinite(clf.predict_proba(ROWS)).all()


@pytest.mark.parametrize("source", ["noise", "explicit", OriginalGAN(max_epochs=2)])
def test_little_memory(source, gpus):
    """Check that data which do not fit on the GPU are copied batch by batch."""
    uploaded = []
    for free in (2**30, 100):
        gpus.free, gpus.uploaded = free, 0
        clf = make(source).fit(ROWS, Y, **extra(source, ROWS))
        uploaded.append(gpus.uploaded)
        assert np.isfinite(clf.predict_proba(ROWS)).all()
    assert uploaded[1] - uploaded[0] > 0.9 * ROWS.nbytes  # twice, without orders


def test_auto_where_the_gpu_does_not_work(gpus, monkeypatch):
    """Check that nobody who said "auto" is told to say "auto"."""
    monkeypatch.setattr(gpus, "n", 0)
    with pytest.raises(ValueError, match="does not work: use device='cpu'"):
        make(None, "auto").fit(ROWS, Y)
    with pytest.raises(ValueError, match="Use device='auto'"):
        make(None, "cuda").fit(ROWS, Y)
