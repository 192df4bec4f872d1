# SPDX-License-Identifier: BSD-3-Clause
"""Tests of classifiers made of networks that were trained elsewhere."""

import pickle
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import mobilenet_v3_small
from torchvision.transforms import v2

from confident_clf import (
    ConfidentClassifier,
    OODDetector,
    OpenSetClassifier,
    dumps,
    loads,
)

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32).reshape(-1, 1, 8, 8)
X, Y = DIGITS[LABELS < 4][:300], LABELS[LABELS < 4][:300]
UNKNOWN = DIGITS[LABELS >= 4][:50]
NAMES = np.array(["two", "zero", "one", "three"])  # not sorted
FITTED = ["auto", "react", "knn", "mahalanobis", "rmd", "vim", ["knn", "energy"]]
OTHERS = ["msp", "odin", "energy", "max_logit", "entropy", "margin", "gen"]

from_trained = ConfidentClassifier.from_trained


def make_network():
    """Return a convolutional network with BatchNorm and Dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 64, 16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 4),
    )


@pytest.fixture(scope="module")
def network():
    """Return a network that plain torch has trained, partly frozen, in mixed modes."""
    torch.manual_seed(0)
    network = make_network()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(torch.tensor(X)), torch.tensor(Y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    network[0].requires_grad_(False)
    network.eval()[4:].train()
    return network


def results(network, x=X):
    """Return logits and features of a network by plain torch."""
    copy = deepcopy(network).eval()
    with torch.no_grad():
        x = torch.tensor(x)
        return copy(x).double().numpy(), copy[:-1](x).double().numpy()


def by_batches(size=64):
    """Return a DataLoader of the digits, shuffled."""
    return DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), size, True)


def test_energy_and_probabilities(network):
    """Check them against the network itself, without any sample to fit on."""
    clf = from_trained(network, classes=4, method="energy")
    logits, _ = results(network)
    np.testing.assert_allclose(
        clf.ood_score(X), -logsumexp(logits, axis=1), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(clf.predict(X), logits.argmax(axis=1))
    assert clf.score(X, Y) > 0.9 and clf.n_epochs_ == 0


def test_knn_against_scikit_learn(network):
    """Check the score of features that a DataLoader gave, batch by batch."""
    clf = from_trained(network, classes=4, method="knn").fit_method(by_batches())
    _, features = results(network)
    features = normalize(features)
    k = clf.method_.n_neighbors_
    search = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(features)
    _, unknown = results(network, UNKNOWN)
    expected = search.kneighbors(normalize(unknown))[0][:, -1]
    np.testing.assert_allclose(clf.ood_score(UNKNOWN), expected, atol=1e-4)


@pytest.mark.parametrize("method", [*FITTED, *OTHERS], ids=str)
def test_batches_give_what_arrays_give(network, method):
    """Check every score, fitted on a Dataset and on an array."""
    data = TensorDataset(torch.tensor(X), torch.tensor(Y))
    of_array = from_trained(network, classes=4, method=method).fit_method(X, Y)
    of_data = from_trained(network, classes=4, method=method).fit_method(data)
    score = of_array.ood_score(UNKNOWN)
    np.testing.assert_allclose(of_data.ood_score(UNKNOWN), score, rtol=1e-9)
    assert np.ptp(score) > 0 and np.isfinite(score).all()
    assert of_data.input_shape_ == (1, 8, 8)


def test_the_network_stays_as_it_is(network):
    """Check weights, statistics, modes, flags and hooks, and torch's random state."""
    before = deepcopy(network)
    random = torch.get_rng_state()
    clf = from_trained(network, classes=4, method="vim").fit_method(by_batches())
    clf.ood_score(X, method="odin")
    clf.set_params(max_epochs=1, random_state=0).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in before.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    for was, part in zip(before.modules(), network.modules(), strict=True):
        assert was.training == part.training and not part._forward_hooks
    for was, weight in zip(before.parameters(), network.parameters(), strict=True):
        assert was.requires_grad == weight.requires_grad
        assert weight.device == was.device and weight.grad is None


def test_the_classifier_does_not_see_later_training(network):
    """Check that it has a copy."""
    network = deepcopy(network)
    clf = from_trained(network, classes=4, method="energy")
    before = clf.ood_score(X)
    with torch.no_grad():
        network[-1].weight.mul_(2)
    np.testing.assert_array_equal(clf.ood_score(X), before)


def test_fit_trains_the_network_further(network):
    """Check that training begins with its weights: with a tiny rate they stay."""
    clf = from_trained(network, classes=4, method="energy", lr=1e-12, max_epochs=1)
    before = clf.predict_proba(X)
    bn = clf.net_.module_[1].running_mean.clone()
    after = clf.fit(X, Y)
    # Its convolution is frozen, but not its BatchNorm, which sees the digits.
    assert not torch.equal(after.net_.module_[1].running_mean, bn)
    np.testing.assert_allclose(after.predict_proba(X), before, atol=0.2)
    assert after.n_epochs_ == 1 and clone(clf).module is not network


@pytest.mark.parametrize("method", ["energy", "knn", "react", "vim", "gen"])
def test_classes_in_any_order(network, method):
    """Check names that are not sorted, against the numbers of the outputs."""
    by_number = from_trained(network, classes=4, method=method).fit_method(X, Y)
    by_name = from_trained(network, classes=NAMES, method=method)
    by_name.fit_method(X, NAMES[Y])
    assert by_name.classes_.tolist() == sorted(NAMES)
    np.testing.assert_array_equal(by_name.predict(X), NAMES[by_number.predict(X)])
    np.testing.assert_allclose(
        by_name.ood_score(UNKNOWN), by_number.ood_score(UNKNOWN), rtol=1e-6, atol=1e-9
    )
    assert log_loss(NAMES[Y], by_name.predict_proba(X)) == pytest.approx(
        log_loss(Y, by_number.predict_proba(X))
    )


class Returning(nn.Module):
    """A network that returns its logits in something else."""

    def __init__(self, network, pack):
        super().__init__()
        self.inside, self.pack = network, pack

    def forward(self, x):
        return self.pack(self.inside(x))


@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda z: {"logits": z, "loss": None}, None),
        (lambda z: {"scores": z}, "scores"),
        (lambda z: SimpleNamespace(logits=z, hidden_states=None), None),
        (lambda z: SimpleNamespace(scores=z), "scores"),
        (lambda z: (None, z), 1),
        (lambda z: [{"a": z}], lambda result: result[0]["a"]),
    ],
)
def test_outputs_that_hold_logits(network, pack, output):
    """Check dicts, tuples and objects; the head is found behind them."""
    plain = from_trained(network, classes=4, method="react").fit_method(X, Y)
    clf = from_trained(
        Returning(network, pack), classes=4, output=output or "logits", method="react"
    )
    clf.fit_method(X, Y)
    np.testing.assert_array_equal(clf.ood_score(X), plain.ood_score(X))


def test_a_transform_comes_before_the_network(network):
    """Check it against samples that were transformed before, and uint8 images."""
    normalize_pixels = v2.Normalize([0.3], [0.5])
    clf = from_trained(
        network, classes=4, input_shape=(1, 8, 8), transform=normalize_pixels
    )
    plain = from_trained(network, classes=4, input_shape=(1, 8, 8))
    pixels = np.rint(X * 255).astype(np.uint8)
    expected = plain.predict_proba((pixels / 255 - 0.3) / 0.5)
    np.testing.assert_allclose(clf.predict_proba(pixels), expected, atol=1e-5)
    np.testing.assert_allclose(clf.predict_proba(pixels / 255), expected, atol=1e-5)


class TwoHeads(nn.Module):
    """A network that calls a second head after the one that makes the logits."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(5, 6), nn.Linear(6, 3)
        self.auxiliary = nn.Linear(2, 3)

    def forward(self, x):
        logits = self.fc(self.body(x))
        self.auxiliary(x[:, :2])
        return logits


def test_the_head_can_be_named():
    """Check which features are used, and that scores of the head find it."""
    rows = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    network, labels = TwoHeads(), np.arange(50) % 3
    found = from_trained(network, classes=3, method="knn").fit_method(rows, labels)
    named = from_trained(network, classes=3, method="knn", head="fc")
    named.fit_method(rows, labels)
    assert found.method_.directions_.shape == (50, 2)
    expected = normalize(network.body(torch.tensor(rows)).detach().numpy())
    np.testing.assert_allclose(named.method_.directions_, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"must end with a torch.nn.Linear"):
        found.set_params(method="vim").fit_method(rows, labels)
    named.set_params(method="vim").fit_method(rows, labels)
    assert named.ood_score(rows).shape == (50,)


def test_detectors_take_it(network):
    """Check the true positive rate of a detector, and the classes of an open set."""
    clf = from_trained(network, classes=4, method="knn").fit_method(X[:150], Y[:150])
    frozen = FrozenEstimator(clf)
    detector = OODDetector(frozen, target_tpr=0.9).fit(X[150:], Y[150:])
    assert 0.9 <= (detector.predict(X[150:]) == 1).mean() <= 0.92
    noise = np.random.default_rng(0).random((50, 1, 8, 8)).astype(np.float32)
    assert (detector.predict(noise) == -1).mean() > 0.7
    open_set = OpenSetClassifier(frozen, target_tpr=0.9).fit(X[150:], Y[150:])
    assert set(open_set.predict(np.concatenate([X, noise]))) == {-1, 0, 1, 2, 3}


@pytest.mark.parametrize("method", ["auto", "vim", "energy"])
@pytest.mark.parametrize("fitted", [True, False])
def test_files_and_pickles(network, method, fitted):
    """Check that both give the same bits; a file needs the network, by any name."""
    clf = from_trained(network, classes=NAMES, input_shape=(1, 8, 8), method=method)
    if fitted:
        clf.fit_method(X, NAMES[Y])
    fresh = from_trained(make_network(), classes=NAMES)
    loaded = loads(dumps(clf), module=fresh.module)
    for other in (loaded, pickle.loads(pickle.dumps(clf)), deepcopy(clf)):
        np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
        if fitted or method == "energy":
            np.testing.assert_array_equal(other.ood_score(X), clf.ood_score(X))
        else:
            with pytest.raises(ValueError, match=r"not given any\. Call set_params"):
                other.ood_score(X)


def test_a_frozen_network(network):
    """Check a network without a weight to train, and its file."""
    network = deepcopy(network).requires_grad_(False)
    clf = from_trained(network, classes=4, method="knn").fit_method(X, Y)
    loaded = loads(dumps(clf), module=lambda shape, n_classes: network)
    np.testing.assert_array_equal(loaded.ood_score(X), clf.ood_score(X))
    with pytest.raises(ValueError, match=r"no weights to train.*Leave one layer free"):
        clf.fit(X, Y)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(network, dtype):
    """Check that a network of other floats computes in float32, and keeps its own."""
    network = deepcopy(network).to(dtype)
    clf = from_trained(network, classes=4, method="energy")
    expected, _ = results(deepcopy(network).float())
    np.testing.assert_allclose(clf.decision_function(X), expected, atol=1e-4)
    assert network[0].weight.dtype == dtype


def test_images_of_several_sizes():
    """Check a network that takes any size, before it sees samples to fit on."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    clf = from_trained(network, classes=4, method="msp")
    assert clf.ood_score(X).shape == clf.ood_score(np.pad(X, 3)[3:-3, 3:-3]).shape
    with pytest.raises(ValueError, match=r"shape of a sample is not known"):
        dumps(clf)
    clf.fit_method(X, Y)
    with pytest.raises(ValueError, match=r"is expecting \(1, 8, 8\)"):
        clf.ood_score(X[:, :, :7])


def test_samples_have_the_units_of_fit_method(network):
    """Check that images in other units are warned of, as after fit."""
    clf = from_trained(network, classes=4, method="knn").fit_method(by_batches())
    assert clf._format.pixels.high == 1.0
    with pytest.warns(UserWarning, match=r"in other units|other units"):
        clf.predict(X * 16)


def test_batches_may_differ_in_brightness(network):
    """Check that the units are those of all batches, without a warning on the way."""
    dark_first = np.concatenate([X[:60] / 50, X[60:120]])
    data = TensorDataset(torch.tensor(dark_first), torch.tensor(Y[:120]))
    clf = from_trained(network, classes=4, method="knn")
    clf.fit_method(DataLoader(data, 20))
    assert clf._format.pixels.high == 1.0
    clf.predict(X)


def test_rows_of_a_table():
    """Check names of columns, and rows that are images."""
    table = pd.DataFrame(X.reshape(300, 64)[:, :5], columns=list("abcde"))
    network = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
    clf = from_trained(network, classes=4, input_shape=5).fit_method(table, Y)
    assert clf.feature_names_in_.tolist() == list("abcde")
    with pytest.raises(ValueError, match=r"feature names should match"):
        clf.predict(table[list("edcba")])
    flat = from_trained(make_network(), classes=4, image_shape=(1, 8, 8), method="knn")
    assert flat.fit_method(X.reshape(300, 64), Y).ood_score(X[:3].reshape(3, 64)).size


def test_a_torchvision_network():
    """Check a deep network with BatchNorm on uint8 images, and its file."""
    torch.manual_seed(0)
    network = mobilenet_v3_small(num_classes=3).eval()
    images = np.random.default_rng(0).integers(256, size=(12, 3, 32, 32), dtype="u1")
    data = TensorDataset(torch.from_numpy(images), torch.arange(12) % 3)
    clf = from_trained(network, classes=3, method=["react", "knn"])
    clf.fit_method(DataLoader(data, 8))
    expected = clf.ood_score(images[:2])
    loaded = loads(dumps(clf), module=partial(mobilenet_of, mobilenet_v3_small))
    np.testing.assert_array_equal(loaded.ood_score(images[:2]), expected)


def mobilenet_of(make, input_shape, n_classes):
    """Return a network of torchvision for some classes."""
    return make(num_classes=n_classes)


def test_what_does_not_fit(network):
    """Check what errors say before anything is computed."""
    with pytest.raises(TypeError, match=r"must be a trained torch.nn.Module; got <"):
        from_trained(make_network, classes=4)
    with pytest.raises(ValueError, match=r"\(n, 5\), one for each class; for 4 samp"):
        from_trained(network, classes=5, input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"5 samples|\(n, 5\)"):
        from_trained(network, classes=5).fit_method(X, Y)
    for classes in (1, [1, 1], ["a"]):
        with pytest.raises(ValueError, match=r"classes must be two different labels"):
            from_trained(network, classes=classes)
    with pytest.raises(ValueError, match=r"'fc' is not a torch.nn.Linear.*'4', '7'"):
        from_trained(network, classes=4, head="fc")
    with pytest.raises(ValueError, match=r"failed on a batch of shape \(4, 2, 8, 8\)"):
        from_trained(network, classes=4, input_shape=(2, 8, 8))
    with pytest.raises(ValueError, match=r"input_shape=\(0,\) must be the shape of"):
        from_trained(network, classes=4, input_shape=(0,))
    with pytest.raises(ValueError, match=r"it returned dict\. Say where the logits"):
        packed = Returning(network, lambda z: {"logits": z})
        from_trained(packed, classes=4).fit_method(X, Y)
    with pytest.raises(ValueError, match=r"dict with the keys \['a'\]"):
        packed = Returning(network, lambda z: {"a": z})
        from_trained(packed, classes=4, output="logits", input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"weights"):
        from_trained(nn.Identity(), classes=4)
    with pytest.raises(NotFittedError):
        ConfidentClassifier(network).fit_method(X, Y)


def test_what_fit_method_does_not_take(network):
    """Check what it says, and that a refused call leaves the classifier as it was."""
    clf = from_trained(network, classes=4, method="knn")
    before = vars(clf).copy()
    with pytest.raises(ValueError, match=r"y is missing: pass the labels of X"):
        clf.fit_method(X)
    with pytest.raises(ValueError, match=r"DataLoader, which brings its own labels"):
        clf.fit_method(by_batches(), Y)
    with pytest.raises(ValueError, match=r"yields list, but it must yield pairs"):
        clf.fit_method(DataLoader(TensorDataset(torch.tensor(X)), 8))
    with pytest.raises(ValueError, match=r"labels \[4, 5\] that are not among the"):
        clf.fit_method(X, Y + 2)
    with pytest.raises(ValueError, match=r"contains NaN"):
        clf.fit_method(np.full_like(X, np.nan), Y)
    with pytest.raises(ValueError, match=r"is read one batch at a time\. Pass fit_m"):
        clf.set_params(method=["knn", "odin"]).fit_method(by_batches())
    clf.set_params(method="knn")
    assert vars(clf) == before
    clf.set_params(ood_label=3).fit_method(by_batches())
    assert len(clf.method_.directions_) == (Y != 3).sum()
