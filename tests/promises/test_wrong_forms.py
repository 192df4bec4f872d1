# SPDX-License-Identifier: BSD-3-Clause
"""Samples in a wrong form: the error says what they look like, and what to pass."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.mixture import GaussianMixture

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.modules import MLP
from confident_clf.scores import KNN

RNG = np.random.default_rng(0)
Y = np.arange(12) % 2
fast = partial(ConfidentClassifier, max_epochs=1, ood_source="noise", random_state=0)
FIT_IMAGES = RNG.random((12, 3, 8, 10)).astype(np.float32)
FIT_GREY = RNG.random((12, 1, 8, 10)).astype(np.float32)
ON_IMAGES = fast(MLP).fit(FIT_IMAGES, Y)
ON_GREY = fast(MLP).fit(FIT_GREY, Y)
ON_ROWS = fast().fit(RNG.random((12, 80)), Y)


def images(*shape):
    """Return pixels of a shape."""
    return RNG.random(shape).astype(np.float32)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("shape", [(28, 28, 3), (28, 28, 1), (8, 16, 4), (9, 30, 2)])
def test_channels_last(shape, kind):
    """Check that the default network refuses them, and that the remedy works."""
    X = (images(12, *shape) * 255).astype(kind)
    message = rf"\(12, {shape[0]}, .*channels last.*pass X.transpose\(0, 3, 1, 2\)"
    with pytest.raises(ValueError, match=message):
        fast().fit(X, Y)
    assert fast(ood_source=None).fit(X.transpose(0, 3, 1, 2), Y).predict(
        X.transpose(0, 3, 1, 2)
    ).shape == (12,)


@pytest.mark.parametrize("as_kind", [np.asarray, torch.tensor, np.ndarray.tolist])
def test_channels_last_in_any_container(as_kind):
    """Check lists and tensors too."""
    with pytest.raises(ValueError, match="looks like channels last"):
        fast().fit(as_kind(images(12, 8, 9, 3)), Y)


@pytest.mark.parametrize(
    ("shape", "module"),
    [((32, 32, 16), None), ((9, 9, 8), None), ((8, 9, 3), MLP), ((16, 16, 16), None)],
)
def test_channels_that_may_be_last(shape, module):
    """Check a warning where it may be meant so, and none where nothing tells."""
    clf = fast(module, ood_source=None)
    if len(set(shape)) == 1:
        clf.fit(images(12, *shape), Y)
        return
    with pytest.warns(UserWarning, match=f"channels last.*{shape[0]} channels of"):
        clf.fit(images(12, *shape), Y)


@pytest.mark.parametrize(
    "shape", [(3, 8, 9), (1, 28, 28), (12, 8, 16), (3, 8, 8), (8, 8, 8), (4, 9, 8)]
)
def test_channels_first_are_quiet(shape):
    """Check that ordinary images are taken without a word."""
    assert fast(ood_source=None).fit(images(12, *shape), Y).input_shape_ == shape


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((8, 8, 1), "Pass image_shape=(1, 8, 8)."),
        ((8, 9, 3), "Pass image_shape=(3, 8, 9), and X.reshape(-1, 8, 9, 3)"),
        ((8, -1, 3), "Pass image_shape=(3, 8, 9), and X.reshape(-1, 8, 9, 3)"),
    ],
)
def test_image_shape_with_channels_last(shape, remedy):
    """Check that the shape of flat images is read in the order of the channels."""
    n_features = 64 if shape[-1] == 1 else 216
    with pytest.raises(ValueError, match=re.escape(remedy)):
        fast(image_shape=shape).fit(images(12, n_features), Y)


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((3, 32, 32), [0], "One image needs an axis for the samples: X[None]"),
        ((32, 30, 3), [0], "One image (height, width, channels) is X.transpose(2, 0"),
        ((12, 28, 28), Y, "Grey images need a channel axis: X[:, None]"),
        ((12, 6, 100), Y, "as rows they are X.reshape(len(X), -1)"),
        ((12, 2, 3, 4, 5), Y, "volumes (n, channels, depth"),
    ],
    ids=["one", "one, channels last", "grey", "signals", "volumes"],
)
def test_a_missing_axis(shape, labels, message):
    """Check three and five dimensions, which only a user's network may take."""
    with pytest.raises(ValueError, match=re.escape(message)):
        fast().fit(images(*shape), labels)


@pytest.mark.parametrize("method", ["predict", "ood_score", "predict_proba"])
@pytest.mark.parametrize(
    ("clf", "shape", "remedy"),
    [
        (ON_IMAGES, (3, 8, 10), "X[None]"),
        (ON_IMAGES, (8, 10, 3), "X.transpose(2, 0, 1)[None]"),
        (ON_IMAGES, (5, 8, 10, 3), "X.transpose(0, 3, 1, 2)"),
        (ON_IMAGES, (5, 240), "X.reshape(-1, 3, 8, 10)"),
        (ON_GREY, (8, 10), "X[None, None]"),
        (ON_GREY, (5, 8, 10), "X[:, None]"),
        (ON_GREY, (5, 8, 10, 1), "X.transpose(0, 3, 1, 2)"),
        (ON_ROWS, (5, 1, 8, 10), "X.reshape(len(X), -1)"),
        (ON_ROWS, (5, 8, 10), "X.reshape(len(X), -1)"),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else "",
)
def test_remedies_when_predicting(clf, shape, remedy, method):
    """Check that the remedy is named, and that it is one."""
    X = images(*shape)
    with pytest.raises(ValueError, match=re.escape(f"Pass {remedy}, if")):
        getattr(clf, method)(X)
    assert np.isfinite(clf.ood_score(eval(remedy))).all()


def test_no_remedy_where_there_is_none():
    """Check that nothing is proposed for images of another size."""
    with pytest.raises(ValueError, match=r"the shape of the samples in fit\.$"):
        ON_IMAGES.predict(images(5, 3, 9, 9))


@pytest.mark.parametrize(
    ("estimator", "possible", "not_possible"),
    [
        (RandomForestClassifier(2), ["msp", "entropy"], ["energy", "max_logit"]),
        (RidgeClassifier(), ["energy", "max_logit"], ["msp", "entropy", "gen"]),
        (LogisticRegression(), ["energy", "msp"], []),
        (GaussianMixture(), ["method=None"], ["energy", "msp"]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("method", ["knn", "odin", KNN(n_neighbors=2), "nonsense"])
def test_scores_that_an_estimator_has(estimator, possible, not_possible, method):
    """Check that only scores are proposed that the estimator can compute."""
    X = RNG.normal(size=(60, 2))
    labels = np.arange(60) % 2
    with pytest.raises(ValueError, match=r"is not a score|must be") as error:
        OODDetector(estimator, method=method).fit(X, labels)
    if method == "nonsense":
        return
    assert all(name in str(error.value) for name in possible)
    assert not any(repr(name) in str(error.value) for name in not_possible)
    for name in set(possible) - {"method=None"}:
        OODDetector(estimator, method=name, target_tpr=0.5).fit(X, labels)
