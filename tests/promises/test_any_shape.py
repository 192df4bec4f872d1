# SPDX-License-Identifier: BSD-3-Clause
"""Signals and volumes: samples of any shape, with a network of the user's."""

import pickle
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import DataConversionWarning
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
    load,
    make_ood_scorer,
    save,
)
from confident_clf.model_selection import LeaveClassesOut
from confident_clf.modules import MLP, MLPDiscriminator, MLPGenerator
from confident_clf.sources import JointGAN, NoiseOOD, OriginalGAN


class SignalNet(nn.Sequential):
    """A user's network for signals (n, channels, time)."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            nn.Conv1d(input_shape[0], 8, 5, padding=2),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(4),
            nn.Flatten(),
            nn.Linear(32, n_classes),
        )


class VolumeNet(nn.Sequential):
    """A user's network for volumes (n, channels, depth, height, width)."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            nn.Conv3d(input_shape[0], 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(2),
            nn.Flatten(),
            nn.Linear(64, n_classes),
        )


def signals(n, seed=0):
    """Return noisy waves (n, 2, 48) of 2, 5 or 11 periods, and how many."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    periods = np.array([2, 5, 11])[y, None]
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    time = np.linspace(0, 2 * np.pi, 48)
    waves = np.stack([np.sin(periods * time + phase), np.cos(periods * time)], axis=1)
    return waves + 0.1 * rng.normal(size=waves.shape), periods[:, 0]


def volumes(n, seed=0):
    """Return uint8 volumes (n, 1, 5, 6, 7), bright at the top, bottom or nowhere."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.integers(0, 100, (n, 1, 5, 6, 7), dtype=np.uint8)
    X[y == 0, :, :2] += 150
    X[y == 1, :, -2:] += 150
    return X, np.array(["top", "bottom", "none"])[y]


KINDS = {"signals": (signals, SignalNet), "volumes": (volumes, VolumeNet)}
GAN = {"generator": MLPGenerator, "discriminator": MLPDiscriminator, "latent_dim": 8}
SOURCES = {
    "none": {"ood_source": None},
    "auto": {"ood_source": "auto"},
    "explicit": {"ood_source": "explicit"},
    "noise": {"ood_source": "noise"},
    "features": {"ood_source": "features"},
    "mixture": {"ood_source": ["noise", "features", ("explicit", 2)]},
    "joint": {"ood_source": "joint", **GAN},
    "gan": {"ood_source": "gan", **GAN},
    "joint + noise": {"ood_source": ["joint", "noise"], **GAN},
}


def fitted(kind, source, n=150, **params):
    """Return data and a classifier fitted on them."""
    make, module = KINDS[kind]
    X, y = make(n)
    params = {"max_epochs": 15, "lr": 0.01, "random_state": 0, **params}
    clf = ConfidentClassifier(module, **{**SOURCES[source], **params})
    uses_rows = source in ("explicit", "mixture")
    X_ood = np.flip(make(60, seed=1)[0], axis=-1).copy() if uses_rows else None
    return X, y, clf.fit(X, y, X_ood=X_ood)


# Fifteen epochs of so few samples are enough for the classifier, not for every GAN.
@pytest.mark.filterwarnings("ignore:The GAN did not converge")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_source(kind, source):
    """Check what is learnt, samples, scores, and that batches change nothing."""
    X, _, clf = fitted(kind, source)
    X_test, y_test = KINDS[kind][0](90, seed=2)
    assert clf.score(X_test, y_test) > 0.9
    assert clf.input_shape_ == X.shape[1:]
    assert clf.n_features_in_ == X.shape[1]
    scores = clf.ood_score(X_test)
    assert scores.shape == (90,)
    np.testing.assert_array_equal(clf.ood_score(X_test[7:8]), scores[7:8])
    np.testing.assert_array_equal(clf.ood_score(X_test[::-1]), scores[::-1])
    if source == "features":
        assert clf.sample_ood(4).ndim == 2
    elif source != "none":
        samples = clf.sample_ood(4)
        assert samples.shape == (4, *X.shape[1:])
        assert samples.dtype == (np.uint8 if kind == "volumes" else np.float32)


@pytest.mark.parametrize("source", ["none", "explicit", "features"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_rows(kind, source):
    """Check logits and all scores against those of a network that gets rows."""
    make, module = KINDS[kind]
    X, y = make(90)
    X = X / 255 if kind == "volumes" else X
    shape = X.shape[1:]

    def of_rows(input_shape, n_classes):
        return nn.Sequential(nn.Unflatten(1, shape), module(shape, n_classes))

    X_ood = X[:30, ..., ::-1] if source == "explicit" else None
    params = {"ood_source": SOURCES[source]["ood_source"], "random_state": 0}
    samples = ConfidentClassifier(module, max_epochs=3, **params).fit(X, y, X_ood=X_ood)
    rows = ConfidentClassifier(of_rows, max_epochs=3, **params).fit(
        X.reshape(90, -1), y, X_ood=None if X_ood is None else X_ood.reshape(30, -1)
    )
    methods = ["odin", "knn", "mahalanobis", "rmd", "vim", "react", "energy", "gen"]
    X_test = make_ood(X)
    np.testing.assert_allclose(
        samples.decision_function(X_test),
        rows.decision_function(X_test.reshape(90, -1)),
        atol=1e-4,
    )
    for method in methods:
        samples.set_params(method=method).fit_method(X, y)
        rows.set_params(method=method).fit_method(X.reshape(90, -1), y)
        np.testing.assert_allclose(
            samples.ood_score(X_test),
            rows.ood_score(X_test.reshape(90, -1)),
            rtol=1e-3,
            atol=1e-3,
        )


def make_ood(X):
    """Return uniform noise of the shape and type of X."""
    noise = np.random.default_rng(3).uniform(X.min(), X.max(), X.shape)
    return noise.astype(X.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_all_else_works_too(kind, tmp_path):
    """Check decisions, files, pickles, going on, pipelines, and the search for beta."""
    X, y, clf = fitted(kind, "noise")
    make, module = KINDS[kind]
    X_test, _ = make(60, seed=2)
    detector = OODDetector(clf, random_state=0).fit(X, y)
    both = np.r_[X_test, make_ood(X_test)]
    accepted = detector.estimator_.score_samples(both) >= detector.threshold_
    np.testing.assert_array_equal(detector.predict(both) == 1, accepted)
    assert accepted[:60].mean() > 0.8 > accepted[60:].mean()
    unknown = "?" if kind == "volumes" else -1
    open_set = OpenSetClassifier(clf, unknown_label=unknown, random_state=0).fit(X, y)
    np.testing.assert_array_equal(open_set.predict(both) != unknown, accepted)
    save(clf, tmp_path / "clf")
    for copy in (
        load(tmp_path / "clf", module=module),
        pickle.loads(pickle.dumps(clf)),
    ):
        np.testing.assert_array_equal(copy.ood_score(X_test), clf.ood_score(X_test))
        np.testing.assert_array_equal(copy.sample_ood(3), clf.sample_ood(3))
    more = clf.partial_fit(X[:60], y[:60])
    assert more.n_epochs_ == 16
    pipe = make_pipeline(
        FunctionTransformer(lambda X: X),
        ConfidentClassifier(
            module, ood_source=None, early_stopping=True, max_epochs=3, random_state=0
        ),
    ).fit(X, y)
    assert pipe.predict(X_test).shape == (60,)
    search = ConfidentClassifierCV(
        ConfidentClassifier(module, ood_source="noise", max_epochs=3), betas=[0.1, 1.0]
    ).fit(X, y)
    assert search.beta_ in (0.1, 1.0)
    train, test = next(LeaveClassesOut(1, random_state=0).split(X, y))
    score = make_ood_scorer(X_ood="permuted")
    assert 0 <= score(clf.fit(X[train], y[train]), X[test], y[test]) <= 1


def test_a_checkpoint_continues(tmp_path):
    """Check that a second call returns the finished fit."""
    one, two = (
        fitted("volumes", "noise", max_epochs=2, checkpoint=tmp_path)[2]
        for _ in range(2)
    )
    X, _ = volumes(20)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_sees_samples_as_they_are(kind):
    """Check shape and range of what a network gets, in training and prediction."""
    seen = []

    class Watching(KINDS[kind][1]):
        def forward(self, x):
            seen.append((tuple(x.shape[1:]), float(x.min()), float(x.max())))
            return super().forward(x)

    X, y = KINDS[kind][0](60)
    ConfidentClassifier(Watching, ood_source=None, max_epochs=1).fit(X, y).predict(X)
    shapes, low, high = zip(*seen, strict=True)
    assert set(shapes) == {X.shape[1:]}
    X = X.astype(np.float32) / (255 if kind == "volumes" else 1)
    # To find good sizes of batches, it also gets random numbers from 0 to 1.
    assert X.max() in high and max(high) <= max(X.max(), 1)
    assert X.min() in low and min(low) == X.min()


def test_mlp_takes_any_shape():
    """Check the library's own network for rows, which flattens samples."""
    X, y = signals(120)
    clf = ConfidentClassifier(MLP, ood_source="noise", max_epochs=30, random_state=0)
    assert clf.fit(X, y).score(*signals(60, seed=1)) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_the_gan(kind):
    """Check that 0 and 1 of a user's generator are the extremes of each channel."""

    class Constant(nn.Module):
        def __init__(self, latent_dim, output_shape, value):
            super().__init__()
            self.value = nn.Parameter(torch.full(output_shape, value))

        def forward(self, z):
            return self.value.expand(len(z), *self.value.shape)

    X, _ = KINDS[kind][0](60)
    X = torch.from_numpy(X.astype(np.float32))
    X = torch.cat([X, 3 * X + 1], dim=1)
    for value, extreme in [(0.0, torch.amin), (1.0, torch.amax)]:
        source = JointGAN(partial(Constant, value=value), MLPDiscriminator)
        source.prepare(X, None, torch.device("cpu"))
        dims = [d for d in range(X.ndim) if d != 1]
        expected = extreme(X, dim=dims, keepdim=True).expand(2, *X.shape[1:])
        torch.testing.assert_close(source.sample(2), expected)


@pytest.mark.parametrize("shape", [(2, 48), (1, 5, 6, 7), (3, 9), (1, 1, 2, 40)])
@pytest.mark.parametrize("kind", ["uniform", "gaussian", "low_frequency", "constant"])
def test_noise_is_in_the_range_of_each_channel(kind, shape):
    """Check range and shape, and that all of the range is used."""
    x = torch.rand(20, *shape) - 0.5
    x[:, 0] *= 8
    source = NoiseOOD([kind])
    source.prepare(x, None, torch.device("cpu"))
    samples = source.sample(300)
    assert samples.shape == (300, *shape)
    dims = [d for d in range(x.ndim) if d != 1]
    low, high = x.amin(dims), x.amax(dims)
    assert (samples.amin(dims) >= low - 1e-5).all()
    assert (samples.amax(dims) <= high + 1e-5).all()
    assert ((samples.amax(dims) - samples.amin(dims)) > 0.8 * (high - low)).all()
    rest = samples.flatten(2)
    assert (rest == rest[:, :, :1]).all() == (kind == "constant")


@pytest.mark.parametrize("size", [(40,), (20, 30), (11, 12, 13)])
def test_covered_samples(size):
    """Check that from one side on a sample has one colour, and the rest is its own."""
    x = torch.rand(3, 2, *size)
    source = NoiseOOD(["covered"])
    source.prepare(x, None, torch.device("cpu"))
    axes = set()
    for sample in source.sample(60):
        original = max(source.rows_, key=lambda row: (row == sample).sum())
        own = (sample == original).all(dim=0)
        assert 0.15 <= own.float().mean() <= 0.65
        assert len(sample.flatten(1)[:, ~own.flatten()].unique(dim=1).T) == 1
        # It changes along one axis only.
        (axis,) = [i for i in range(len(size)) if (own != own.roll(1, dims=i)).any()]
        axes.add(axis)
    assert axes == set(range(len(size)))


@pytest.mark.parametrize("size", [(12,), (9,), (4, 5, 6), (2, 7, 3), (1, 1, 1)])
def test_patches_of_any_number_of_dimensions(size):
    """Check that a sample has the numbers of a training sample, mostly elsewhere."""
    n = int(np.prod(size))
    x = torch.arange(3 * 2 * n).float().reshape(3, 2, *size)
    source = NoiseOOD(["patch_shuffled"])
    source.prepare(x, None, torch.device("cpu"))
    moved = []
    for _ in range(30):
        (sample,) = source.sample(1)
        original = next(row for row in x if row.min() == sample.min())
        assert torch.equal(sample.flatten().sort()[0], original.flatten())
        assert torch.equal(sample[1] - sample[0], torch.full(size, float(n)))
        moved.append((sample != original).float().mean().item())
    assert n == 1 or np.mean(moved) > 0.3
    assert torch.equal(source.rows_.sort(dim=0)[0], x)


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        (signals(9)[0], {}, r"shape \(9, 2, 48\). Grey images .* a module of your own"),
        (volumes(9)[0], {}, r"\(9, 1, 5, 6, 7\).* need a module of your own"),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": "joint"},
            r"no default generator .*\(2, 48\).*Pass your own.*ood_source='noise'",
        ),
        (
            volumes(9)[0],
            {"module": VolumeNet, "ood_source": "gan"},
            "no default generator",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": ["noise", "joint"]},
            "no default generator",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": "gan", "generator": MLPGenerator},
            "no default discriminator",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": OriginalGAN(None, MLPDiscriminator)},
            "no default generator",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "image_shape": (2, 6, 8)},
            r"image_shape=\(2, 6, 8\) .* 2-D rows, but X has shape \(9, 2, 48\)",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": None, "augment": "flip"},
            r"augment='flip' is for images; samples have shape \(2, 48\)",
        ),
        (
            signals(9)[0],
            {"module": SignalNet, "ood_source": NoiseOOD(["permuted"])},
            "kinds",
        ),
        (np.zeros((9, 1, 1, 2, 2, 2)), {"module": MLP}, r"\(9, 1, 1, 2, 2, 2\)"),
        (
            np.zeros((9, 2, 0)),
            {"module": MLP},
            r"shape \(9, 2, 0\), so its samples hold",
        ),
        (np.zeros((9, 1, 0, 8)), {}, r"shape \(9, 1, 0, 8\), so its samples hold"),
        (signals(9)[0] * np.nan, {"module": SignalNet}, "NaN"),
    ],
)
def test_what_does_not_work_is_refused(X, params, message):
    """Check the error, and that nothing was fitted."""
    clf = ConfidentClassifier(**params)
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        clf.fit(X, np.arange(9) % 3)
    assert not hasattr(clf, "net_")


def test_other_samples_than_in_fit_are_refused():
    """Check another length, another number of dimensions, and X_ood."""
    X, y, clf = fitted("signals", "noise", n=60, max_epochs=1)
    for other in (X[:, :, :-1], X[:, :1], X.reshape(60, -1), X[:, :, None], X[0]):
        with pytest.raises(ValueError, match=r"shape|dim|features"):
            clf.predict(other)
    explicit = ConfidentClassifier(SignalNet, ood_source="explicit")
    with pytest.raises(ValueError, match=r"X_ood has samples of shape \(2, 47\)"):
        explicit.fit(X, y, X_ood=X[:, :, 1:])


class OnlyAnArray:
    """A container that NumPy can read, and that has nothing else."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError("not a NumPy array")

    def __len__(self):
        return len(self.values)


MULTI_LABEL = {
    "container": OnlyAnArray([[0, 1], [1, 0], [1, 1]] * 40),
    "frame": pd.DataFrame([[0, 1], [1, 0], [1, 1]] * 40),
    "two labels each": np.array([[0, 1], [1, 0], [1, 1]] * 40),
    "list": [[0, 1], [1, 0], [1, 1]] * 40,
    "sparse": sparse.csr_array(np.array([[0, 1], [1, 0], [1, 1]] * 40)),
    "multi-class": np.array([[0, 7], [1, 3], [2, 5]] * 40),
    "strings": np.array([["a", "b"], ["b", "a"], ["a", "a"]] * 40),
}


@pytest.mark.parametrize("y", MULTI_LABEL.values(), ids=MULTI_LABEL)
@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y: ConfidentClassifier().fit(X, y),
        lambda X, y: ConfidentClassifier().partial_fit(X, y, classes=[0, 1]),
        lambda X, y: FITTED.partial_fit(X, y),
        lambda X, y: ConfidentClassifierCV().fit(X, y),
        lambda X, y: OpenSetClassifier(ConfidentClassifier()).fit(X, y),
        lambda X, y: OODDetector(ConfidentClassifier()).fit(X, y),
    ],
    ids=["fit", "first partial_fit", "partial_fit", "CV", "open set", "detector"],
)
def test_multi_label_is_refused_with_its_reason(fit, y):
    """Check that the error says why, and what to do instead."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    with pytest.raises(ValueError, match=r"one class.*MultiOutputClassifier"):
        fit(X, y)


def test_one_label_each_in_any_container():
    """Check that labels that NumPy can read are taken, and a single column is too."""
    y = np.arange(15) % 2
    clf = ConfidentClassifier(ood_source=None, max_epochs=1)
    for labels in (OnlyAnArray(y), list(y), tuple(map(str, y)), pd.Series(y)):
        assert len(clf.fit(ROWS, labels).classes_) == 2
    with pytest.warns(DataConversionWarning, match="column-vector"):
        clf.fit(ROWS, y[:, None])


ROWS = np.random.default_rng(0).normal(size=(15, 3))
FITTED = ConfidentClassifier(ood_source=None, max_epochs=1).fit(ROWS, np.arange(15) % 2)


def test_the_remedy_for_multi_label_works():
    """Check one classifier for each label."""
    X, y = make_multilabel_classification(80, n_classes=3, random_state=0)
    clf = ConfidentClassifier(
        ood_source="noise", lr=0.01, max_epochs=60, random_state=0
    )
    labels = MultiOutputClassifier(clf).fit(X / 10, y).predict(X / 10)
    assert (labels[:, 1] == clf.fit(X / 10, y[:, 1]).predict(X / 10)).all()
    assert (labels == y).mean() > 0.8
