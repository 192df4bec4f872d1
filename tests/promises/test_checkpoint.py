# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``ConfidentClassifier(checkpoint=...)``: what a killed fit leaves behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf._training._checkpoints import (
    MAGIC,
    Checkpoints,
    from_bytes,
    to_bytes,
)
from confident_clf._training._net import JointNet
from confident_clf.modules import MLP
from confident_clf.sources import NoiseOOD, OODSource

X, Y = load_digits(return_X_y=True)
X, X_OOD, Y = X[Y < 5][:300] / 16, X[Y >= 5][:90] / 16, Y[Y < 5][:300]
# In the setting of the paper.
fast = partial(
    ConfidentClassifier, ood_source="joint", method="msp", max_epochs=5, random_state=0
)

# What a killed process runs: everything random in it, and a line for each fit's end.
SCRIPT = """
import sys, numpy as np, torch
torch.set_num_threads(1)
from sklearn.datasets import load_digits
from confident_clf import ConfidentClassifier
X, y = load_digits(return_X_y=True)
print("begun", flush=True)
clf = ConfidentClassifier(
    ood_source=["joint", "gan", "noise", "features"], max_epochs=8, early_stopping=True,
    random_state=7, checkpoint=sys.argv[1],
).fit(X / 16, y)
np.savez(
    sys.argv[2], clf.decision_function(X / 16), clf.sample_ood(50),
    clf.history_[:, "train_loss"],
    *(p.numpy() for p in clf.net_.module_.state_dict().values()),
    *(p.numpy() for p in clf.net_.source_.state_dict().values()),
)
"""


def start(folder, result):
    """Start the script in a process of its own; return it once it is about to fit."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(result)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def finish(process):
    """Wait for a process to end well."""
    with process.stdout:
        assert process.wait() == 0


@pytest.mark.slow
def test_killed_and_resumed_is_bit_equal(tmp_path, request):
    """Check weights, source, history and samples after kill -9 at random moments.

    The moments are drawn from the time that the whole fit took, so that they fall into
    the source's own training, into epochs, and into the writing of files. A fit that
    ended before its moment came was not killed: the next moments come earlier.
    """
    process = start(tmp_path / "whole", tmp_path / "whole.npz")
    began = time.perf_counter()
    finish(process)
    duration = time.perf_counter() - began
    whole = dict(np.load(tmp_path / "whole.npz"))
    n_left = request.config.getoption("--kills")
    while n_left:
        folder, result = tmp_path / f"killed{n_left}", tmp_path / "resumed.npz"
        for _ in range(min(n_left, 2)):
            process = start(folder, result)
            time.sleep(random.uniform(0, 0.6 * duration))
            process.kill()
            with process.stdout:
                killed = process.wait() == -signal.SIGKILL
            n_left -= killed
            duration *= 1 if killed else 0.7
        finish(start(folder, result))
        resumed = dict(np.load(result))
        assert resumed.keys() == whole.keys()
        for name, array in whole.items():
            np.testing.assert_array_equal(resumed[name], array)
        shutil.rmtree(folder)


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that lets a fit end once it has written a given epoch."""

    def stop_after(clf, n_epochs, *data, **rows):
        save = Checkpoints.save

        def save_and_stop(self, n, state):
            save(self, n, state)
            if n == n_epochs:
                raise Stopped

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", save_and_stop)
            with pytest.raises(Stopped):
                clf.fit(*data, **rows)

    return stop_after


class Noisy(nn.Module):
    """Draws from all generators there are: dropout, NumPy, Python; has statistics."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 16),
            nn.BatchNorm1d(16),
            nn.Dropout(),
            nn.Linear(16, n_classes),
        )

    def forward(self, x):
        if self.training:
            x = x + 0.01 * (random.random() + np.random.normal())
        return self.layers(x)


class Counting(OODSource):
    """A user's source with what a checkpoint can hold: numbers, tensors, a network."""

    def prepare(self, x, x_ood, device):
        self.scale = nn.Linear(1, 1)
        self.n_calls_, self.history_, self.sum_ = 0, [], torch.zeros(())
        self.shape = x.shape[1:]

    def sample(self, n):
        self.n_calls_ += 1
        self.sum_ = self.sum_ + torch.rand(())
        return torch.full((n, *self.shape), self.sum_.item() / self.n_calls_)


class Every(Callback):
    """A user's callback that has learnt something."""

    def on_train_begin(self, net, **kwargs):
        self.losses_ = []

    def on_epoch_end(self, net, **kwargs):
        self.losses_.append(net.history[-1, "train_loss"])


VARIANTS = {
    "joint": {},
    "cross entropy": {"ood_source": None},
    "original GAN": {"ood_source": "gan"},
    "explicit": {"ood_source": "explicit"},
    "noise": {"ood_source": "noise", "lr_schedule": None},
    "features": {"ood_source": "features", "lr_schedule": "step"},
    "early stopping": {"early_stopping": True, "lr": 0.3, "n_iter_no_change": 2},
    "images": {"image_shape": (1, 8, 8), "augment": "flip_crop", "max_epochs": 3},
    "all generators": {"module": Noisy, "ood_source": None},
    "a user's source": {"ood_source": Counting()},
    "a callback": {"callbacks": [Every()], "ood_source": None},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_resumed_is_bit_equal(name, tmp_path, stop_after):
    """Check outputs, history, callbacks and samples of fits that ended early."""
    params = VARIANTS[name]
    rows = {"X_ood": X_OOD} if name == "explicit" else {}
    whole = fast(**params).fit(X, Y, **rows)
    stop_after(fast(**params, checkpoint=tmp_path), 2, X, Y, **rows)
    samples = None if whole.net_.source is None else whole.sample_ood(9)
    resumed = fast(**params, checkpoint=tmp_path).fit(X, Y, **rows)
    for clf in (resumed, fast(**params, checkpoint=tmp_path).fit(X, Y, **rows)):
        np.testing.assert_array_equal(
            clf.decision_function(X), whole.decision_function(X)
        )
        assert _figures(clf) == _figures(whole)
        if samples is not None:
            np.testing.assert_array_equal(clf.sample_ood(9), samples)
        for callback, other in zip(
            clf.net_.callbacks_, whole.net_.callbacks_, strict=True
        ):
            assert getattr(callback[1], "losses_", 0) == getattr(other[1], "losses_", 0)


def _figures(clf):
    """Return the history without the durations."""
    return [{k: v for k, v in row.items() if k != "dur"} for row in clf.history_]


def test_the_source_is_not_trained_again(tmp_path, stop_after, monkeypatch):
    """Check that the original GAN, trained first, comes from the checkpoint."""
    params = {"ood_source": "gan", "checkpoint": tmp_path}
    stop_after(fast(**params), 0, X, Y)
    monkeypatch.setattr(
        "confident_clf.sources.OriginalGAN.prepare", lambda *args: 1 / 0
    )
    assert fast(**params).fit(X, Y).n_epochs_ == 5


def test_a_finished_fit_is_not_repeated(tmp_path, monkeypatch):
    """Check that the same call returns the same result, without a step."""
    clf = fast(checkpoint=tmp_path).fit(X, Y)
    monkeypatch.setattr(JointNet, "train_step", lambda *args: 1 / 0)
    again = fast(checkpoint=tmp_path).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_without_random_state(tmp_path, stop_after):
    """Check that the seed is that of the checkpoint, for the rows held back too."""
    params = {"random_state": None, "early_stopping": True, "checkpoint": tmp_path}
    seeds = []
    stop_after(fast(**params), 1, X, Y)
    seeds.append(from_bytes((tmp_path / "epoch-00000001.ckpt").read_bytes())["seed"])
    before = fast(**params).fit(X, Y)
    seeds.append(from_bytes((tmp_path / "epoch-00000005.ckpt").read_bytes())["seed"])
    assert seeds[0] == seeds[1]
    params = {"random_state": None, "early_stopping": True}
    assert (
        before.history_[0]["train_loss"]
        != fast(**params).fit(X, Y).history_[0]["train_loss"]
    )


def test_global_generators_are_left_alone(tmp_path, stop_after):
    """Check the global random states after resuming."""
    stop_after(fast(checkpoint=tmp_path), 2, X, Y)
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    fast(checkpoint=tmp_path).fit(X, Y)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected


def other_class(input_shape, n_classes):
    """Return a network, by another name than MLP."""
    return MLP(input_shape, n_classes)


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({"lr": 0.1}, (X, Y), "lr was 0.002, is 0.1"),
        ({"random_state": 1}, (X, Y), "random_state was"),
        ({"max_epochs": 6}, (X, Y), "max_epochs was 5, is 6"),
        ({"module": other_class}, (X, Y), r"module was None, is .*other_class"),
        ({"module": partial(MLP, hidden=(9,))}, (X, Y), r"partial\[.*MLP.*9"),
        ({"ood_source": NoiseOOD(enlarge=2)}, (X, Y), "NoiseOOD.*enlarge: 2"),
        ({}, (X[:-1], Y[:-1]), r"X was float32 \(300, 64\) .* is float32 \(299, 64\)"),
        ({}, (X + 1e-6, Y), "X was float32"),
        ({}, (X, Y[::-1]), "y was int64"),
        ({}, (X, np.array([*"abcde"])[Y]), r"classes was .* is \['a', 'b'"),
    ],
)
def test_of_another_fit(change, data, message, tmp_path, stop_after):
    """Check that the error says what differs, and what to do; files are left alone."""
    stop_after(fast(checkpoint=tmp_path), 1, X, Y)
    files = sorted(os.listdir(tmp_path))
    with pytest.raises(ValueError, match=f"(?s){message}.*another folder, or delete"):
        fast(**{"checkpoint": tmp_path, **change}).fit(*data)
    assert sorted(os.listdir(tmp_path)) == files


class Rate:
    """A user's schedule that is an object."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, progress):
        return self.factor


@pytest.mark.parametrize(
    ("make", "one", "other", "message"),
    [
        (
            lambda patience: {"callbacks": [EarlyStopping("train_loss", patience)]},
            *(1, 9, "callbacks was .*patience: 1, .* is .*patience: 9"),
        ),
        (
            lambda factor: {"lr_schedule": Rate(factor)},
            *(0.0, 1.0, r"Rate{factor: 0.0}, is .*Rate{factor: 1.0}"),
        ),
    ],
)
def test_objects_are_told_by_their_attributes(make, one, other, message, tmp_path):
    """Check that a new object with the same is the same fit, and no other is."""
    plain = partial(fast, ood_source=None, checkpoint=tmp_path)
    scores = [plain(**make(one)).fit(X, Y).decision_function(X) for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    with pytest.raises(ValueError, match=message):
        plain(**make(other)).fit(X, Y)


def test_what_does_not_matter(tmp_path, stop_after):
    """Check that a resumed fit may print, score otherwise, and lie elsewhere."""
    stop_after(fast(checkpoint=tmp_path / "a"), 2, X, Y)
    shutil.move(tmp_path / "a", tmp_path / "b")
    clf = fast(checkpoint=str(tmp_path / "b"), method="energy", ood_source="joint")
    assert clf.fit(X, Y).n_epochs_ == 5


def test_changed_code_of_a_module(tmp_path, stop_after):
    """Check the error for a checkpoint whose networks have other layers."""
    sizes = [8]

    def module(input_shape, n_classes):
        return MLP(input_shape, n_classes, hidden=sizes)

    stop_after(fast(module=module, checkpoint=tmp_path), 1, X, Y)
    sizes[0] = 9
    with pytest.raises(
        ValueError, match=r"(?s)does not fit the networks.*size mismatch"
    ):
        fast(module=module, checkpoint=tmp_path).fit(X, Y)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: content[:10], "not a checkpoint of this version"),
        (lambda content: b"", "not a checkpoint of this version"),
        (lambda content: b"PK\x03\x04" + content, "not a checkpoint of this version"),
        (lambda content: content[:-2000] + b"?" + content[-1999:], "truncated"),
        (lambda content: to_bytes([1, 2]), "not a checkpoint of a classifier"),
        (lambda content: to_bytes(Callback()), "more than tensors, numbers and text"),
    ],
)
def test_a_broken_checkpoint(spoil, reason, tmp_path, stop_after):
    """Check that it is named, and the one before it used; without one, an error."""
    whole = fast().fit(X, Y)
    stop_after(fast(checkpoint=tmp_path), 3, X, Y)
    latest, before = tmp_path / "epoch-00000003.ckpt", tmp_path / "epoch-00000002.ckpt"
    latest.write_bytes(spoil(latest.read_bytes()))
    before_content = before.read_bytes()
    with pytest.warns(UserWarning, match=rf"Not used: .*00003.ckpt: .*{reason}"):
        resumed = fast(checkpoint=tmp_path).fit(X, Y)
    np.testing.assert_array_equal(
        resumed.decision_function(X), whole.decision_function(X)
    )
    for path in tmp_path.iterdir():
        path.unlink()
    latest.write_bytes(spoil(before_content))
    with pytest.raises(ValueError, match=rf"No checkpoint can be used: .*{reason}"):
        fast(checkpoint=tmp_path).fit(X, Y)


class Bomb:
    """What a hostile file would have unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path, monkeypatch):
    """Check hostile content in torch's formats, behind a right digest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epoch-00000001.ckpt").write_bytes(to_bytes({"state": Bomb()}))
    with pytest.raises(ValueError, match="holds more than tensors"):
        fast(checkpoint=tmp_path).fit(X, Y)
    assert not (tmp_path / "exploded").exists()


def test_only_two_are_kept_and_leftovers_do_no_harm(tmp_path):
    """Check the files after a fit, and what is not a checkpoint is left alone."""
    (tmp_path / "epoch-00000001.ckpt.tmp").write_bytes(MAGIC)
    (tmp_path / "notes.txt").write_text("mine")
    fast(checkpoint=tmp_path).fit(X, Y)
    assert sorted(os.listdir(tmp_path)) == [
        "epoch-00000004.ckpt",
        "epoch-00000005.ckpt",
        "notes.txt",
    ]


def test_where_it_makes_no_sense(tmp_path):
    """Check the refusals, before any training and any file."""
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match=r"warm_start=True.*max_epochs"):
        fast(checkpoint=folder, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit is one pass"):
        fast(checkpoint=folder).partial_fit(X, Y, classes=range(5))
    with pytest.raises(ValueError, match="one class"):
        fast(checkpoint=folder).fit(X, np.zeros(len(X)))
    assert not folder.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be a folder"):
        fast(checkpoint=tmp_path / "file").fit(X, Y)


def test_what_a_checkpoint_cannot_hold(tmp_path):
    """Check the error for a callback whose state is an object."""
    callbacks = [LRScheduler()]
    with pytest.raises(TypeError, match=r"callbacks\['LRScheduler'\]\['policy_'\]"):
        fast(callbacks=callbacks, lr_schedule=None, checkpoint=tmp_path).fit(X, Y)


def test_a_search_must_not_share_a_folder(tmp_path):
    """Check that the second fit of a search is refused, not mixed with the first."""
    search = GridSearchCV(
        fast(checkpoint=tmp_path, ood_source=None), {"lr": [0.01, 0.02]}, cv=2
    )
    search.set_params(error_score="raise")
    with pytest.raises(ValueError, match=r"another fit: .*X was.*another folder"):
        search.fit(X, Y)
