# SPDX-License-Identifier: BSD-3-Clause
"""Tests of to_torch and to_onnx: onnxruntime must say what the estimator says."""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf._export import _logit_functions as of_logits
from confident_clf._networks._head import outputs_and_features
from confident_clf.export import to_onnx, to_torch
from confident_clf.scores import (
    GEN,
    KNN,
    LOGIT_SCORES,
    ODIN,
    OODScore,
    rarity,
    score_logits,
)

RANDOM = np.random.RandomState(0)


@pytest.fixture(scope="module")
def digits():
    """Return known digits to fit on, to calibrate with, and others of all classes."""
    X, y = load_digits(return_X_y=True)
    known = np.flatnonzero(y < 5)
    fit, calibrate = known[:400], known[400:600]
    others = np.setdiff1d(np.arange(len(y)), known[:600])[:300]
    noise = RANDOM.uniform(0, 16, (50, 64))
    return X[fit], y[fit], X[calibrate], y[calibrate], np.vstack([X[others], noise])


@pytest.fixture(scope="module", params=["uniform", "reject"])
def clf(request, digits):
    """Return a classifier of digits in [0, 1], without and with a reject logit."""
    X, y, *_ = digits
    return ConfidentClassifier(
        device="cpu",
        image_shape=(1, 8, 8),
        ood_source="noise",
        ood_target=request.param,
        max_epochs=3,
        random_state=0,
    ).fit(X / 16, y)


def run_onnx(estimator, X):
    """Return the outputs of onnxruntime, by name."""
    file = io.BytesIO()
    to_onnx(estimator, file)
    session = onnxruntime.InferenceSession(file.getvalue())
    dtype = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(uint8)": "u1"}
    X = np.asarray(X, dtype[session.get_inputs()[0].type])
    names = [output.name for output in session.get_outputs()]
    # Batches of other sizes than the example of the export.
    parts = [session.run(None, {"X": part}) for part in (X[:1], X[1:8], X[8:])]
    return {n: np.concatenate(p) for n, *p in zip(names, *parts, strict=True)}


def run_torch(estimator, X):
    """Return the outputs of the torch module, by name."""
    x = torch.as_tensor(X)
    return {name: out.numpy() for name, out in to_torch(estimator)(x).items()}


def assert_close(found, expected, tolerance=1e-5):
    """Check numbers to 1e-5, relative where they are large."""
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def assert_same_decisions(found, detector, X):
    """Check all outputs against the methods of a detector."""
    decisions = detector.decide(X)
    np.testing.assert_array_equal(found["label"], decisions.label)
    np.testing.assert_array_equal(found["accepted"], decisions.accepted)
    assert_close(found["p_value"], decisions.p_value)
    assert_close(found["ood_score"], decisions.ood_score)
    assert found["accepted"].dtype == bool
    assert 0 < decisions.accepted.mean() < 1


@pytest.mark.parametrize("name", LOGIT_SCORES)
@pytest.mark.parametrize("rejects", [False, True])
def test_functions_of_logits(name, rejects):
    """Check every score of logits, to 12 digits also where probabilities round to 1."""
    logits = np.vstack([RANDOM.normal(0, s, (20, 5)) for s in (0, 1, 10, 40)])
    found = of_logits.named(name, rejects)(torch.tensor(logits)).numpy()
    expected = score_logits(logits, name, rejects=rejects)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


METHODS = ["react", "knn", "mahalanobis", "rmd", "vim", GEN(gamma=0.5, n_top=3), "auto"]


def test_every_score_in_torch(clf, digits):
    """Check the torch module of every score against ood_score."""
    X, y, *_, new = digits
    for method in [*LOGIT_SCORES, *METHODS, ["msp", KNN(n_neighbors=3)]]:
        clf.set_params(method=method).fit_method(X / 16, y)
        found = run_torch(clf, new / 16)
        # Whitening enlarges the rounding of features, which depends on the processor.
        tolerance = 6e-5 if method in ("mahalanobis", "rmd") else 1e-5
        assert_close(found["ood_score"], clf.ood_score(new / 16), tolerance)


@pytest.mark.parametrize(
    "method",
    [
        ["react", "vim"],
        pytest.param(["entropy", "gen", "knn", "msp"], marks=pytest.mark.slow),
    ],
)
def test_onnx_of_a_classifier(digits, method):
    """Check onnxruntime against all methods of a classifier of rows that rejects."""
    X, y, *_, new = digits
    clf = ConfidentClassifier(
        device="cpu",
        ood_source="noise",
        ood_target="reject",
        method=method,
        max_epochs=3,
        random_state=0,
    ).fit(X / 16, y)
    found = run_onnx(clf, new / 16)
    assert list(found) == ["label", "probabilities", "ood_score"]
    np.testing.assert_array_equal(found["label"], clf.predict(new / 16))
    assert_close(found["probabilities"], clf.predict_proba(new / 16))
    assert_close(found["ood_score"], clf.ood_score(new / 16))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mahalanobis", "rmd"])
def test_onnx_of_whitened_features(clf, digits, method):
    """Check that these two alone differ by what rounding of the features does.

    Whitening enlarges it up to 3000 times. The estimator's own scores differ as much
    from those of the same network in float64.
    """
    X, y, *_, new = digits
    clf.set_params(method=method).fit_method(X / 16, y)
    expected = clf.ood_score(new / 16)
    assert_close(run_onnx(clf, new / 16)["ood_score"], expected, 1e-4)
    module = to_torch(clf)
    network = deepcopy(module.network).double()
    images = torch.tensor(new / 16).reshape(-1, 1, 8, 8)
    exact = module.score(*outputs_and_features(network, images)).detach().numpy()
    assert_close(expected, exact, 1e-4)


def test_onnx_of_a_detector(digits):
    """Check one threshold for all, the default score, and values that are not finite.

    NaN and infinity are not accepted, where an estimator would raise an error.
    """
    X, y, *_, new = digits
    clf = ConfidentClassifier(
        device="cpu", image_shape=(1, 8, 8), max_epochs=3, random_state=0
    )
    detector = OODDetector(clf, target_tpr=0.9, random_state=0).fit(X / 16, y)
    broken = X[:3] / 16
    broken[0, 5], broken[1, 5], broken[2, 5] = np.nan, np.inf, -np.inf
    found = run_onnx(detector, np.vstack([broken, new / 16]))
    assert found["accepted"][:3].tolist() == [False] * 3
    assert found["ood_score"][:3].tolist() == [np.inf] * 3
    assert_close(found["p_value"][:3], 1 / (1 + detector.n_calibration_))
    known = {name: values[3:] for name, values in found.items()}
    assert_same_decisions(known, detector, new / 16)


def test_onnx_of_an_open_set_pipeline(digits):
    """Check scalers, the detector's method, classes of their own rate, unknown."""
    X, y, *_, new = digits
    clf = ConfidentClassifier(
        device="cpu", ood_source=None, max_epochs=5, random_state=0
    )
    steps = make_pipeline(StandardScaler(), MinMaxScaler(clip=True), clf)
    open_set = OpenSetClassifier(
        steps,
        method="margin",
        unknown_label=99,
        target_tpr=0.8,
        per_class=True,
        cv=0.4,
        random_state=0,
    )
    open_set.fit(X * 1e3 + 1e6, y)
    found = run_onnx(open_set, new * 1e3 + 1e6)
    assert_same_decisions(found, open_set, new * 1e3 + 1e6)
    assert 99 in found["label"]


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(feature_range=(-1, 3)),
        RobustScaler(with_centering=False),
        RobustScaler(with_scaling=False),
        RobustScaler(),
        MaxAbsScaler(),
        "passthrough",
    ],
    ids=str,
)
def test_scalers(scaler):
    """Check each scaler in front of a network that is the identity."""
    X = RANDOM.normal(3, 20, (30, 2))
    network = nn.Linear(2, 2)
    nn.init.eye_(network.weight)
    nn.init.zeros_(network.bias)
    clf = ConfidentClassifier.from_trained(
        network, classes=2, input_shape=2, method="max_logit"
    )
    pipeline = Pipeline([("scale", scaler), ("clf", clf)])
    if scaler != "passthrough":
        scaler.fit(X)
    scaled = X if scaler == "passthrough" else scaler.transform(X)
    assert_close(run_torch(pipeline, X)["ood_score"], -scaled.max(axis=1))


def test_pixels_and_names():
    """Check uint8 images (n, C, H, W), labels that are text, and a search."""
    X = RANDOM.randint(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    y = np.repeat(["cat", "dog", "eel"], 20)
    X[y == "dog"] //= 2
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    clf = ConfidentClassifier(
        network,
        ood_target="uniform",
        method="energy",
        max_epochs=1,
        random_state=0,
        device="cpu",
    )
    search = GridSearchCV(clf, {"beta": [0.1]}, cv=2).fit(X, y)
    open_set = OpenSetClassifier(
        FrozenEstimator(search), target_tpr=0.7, unknown_label="?"
    ).fit(X[::2], y[::2])
    file = io.BytesIO()
    to_onnx(open_set, file)
    session = onnxruntime.InferenceSession(file.getvalue())
    about = session.get_modelmeta().custom_metadata_map
    names = [*json.loads(about["classes"]), "?"]
    assert names == ["cat", "dog", "eel", "?"]
    label, _, score, _, p_value = session.run(None, {"X": X[1::2]})
    np.testing.assert_array_equal(np.array(names)[label], open_set.predict(X[1::2]))
    assert_close(score, open_set.ood_score(X[1::2]))
    assert_close(p_value, open_set.detector_.p_value(X[1::2]))


def test_rarity_of_equal_references():
    """Check the rarity where there is nothing to interpolate between."""
    from confident_clf._export._score_modules import _rarity_module

    for reference in ([2.0, 2.0], [5.0], [1.0, 2.0, 2.0, 7.0]):
        scores = np.array([0.0, 1.5, 2.0, 4.0, 9.0])
        found = _rarity_module(np.array(reference))(torch.tensor(scores), None)
        np.testing.assert_allclose(found.numpy(), rarity(scores, reference))


def test_the_estimator_stays_as_it_is(clf, digits):
    """Check that the module has weights of its own, and takes no graph."""
    *_, new = digits
    clf.set_params(method="msp")
    before = clf.predict_proba(new / 16)
    module = to_torch(clf)
    for weight in module.network.parameters():
        weight += 1
    np.testing.assert_array_equal(clf.predict_proba(new / 16), before)
    assert not module.training
    assert all(weight.requires_grad for weight in clf.net_.module_.parameters())


@pytest.mark.parametrize("clf", ["uniform"], indirect=True)
def test_threads(clf, digits):
    """Check that threads that share a module get the features of their own samples."""
    X, y, *_, new = digits
    clf.set_params(method="knn").fit_method(X / 16, y)
    module, x = to_torch(clf), torch.tensor(new / 16)
    parts = [x[i::4] for i in range(4)] * 10
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(lambda part: module(part)["ood_score"], parts))
    for part, score in zip(parts, found, strict=True):
        assert_close(score, clf.ood_score(part))


class Norm(OODScore):
    """A score that a user wrote."""

    def ood_score(self, network, X):
        return (network(X) ** 2).sum(axis=1)


class Own(ConfidentClassifier):
    """A classifier with a predict of its own."""

    def predict(self, X):
        return super().predict(X)[::-1]


def test_refused_by_name(tmp_path, digits):
    """Check that what cannot be exported is named, and that nothing is written."""
    X, y, *_ = digits
    path = tmp_path / "model.onnx"
    clf = ConfidentClassifier(device="cpu", max_epochs=1, random_state=0).fit(X / 16, y)

    def fitted(method):
        return clf.set_params(method=method).fit_method(X / 16, y)

    for method, words in [
        ("odin", r"ODIN\(\).*gradients"),
        (["msp", ODIN()], r"ODIN\(\).*gradients"),
        (["msp", LocalOutlierFactor()], "LocalOutlierFactor is code of scikit-learn"),
        (Norm(), r"Norm\(\).*not part of the library"),
    ]:
        with pytest.raises(TypeError, match=words):
            to_onnx(fitted(method), path)
    fitted("msp")
    with pytest.raises(TypeError, match="'pca' of the pipeline, PCA"):
        to_onnx(make_pipeline(PCA().fit(X), clf), path)
    with pytest.raises(TypeError, match=r"LogisticRegression cannot.*skl2onnx"):
        to_onnx(OODDetector(LogisticRegression(max_iter=9999)).fit(X, y), path)
    own = Own(max_epochs=1, random_state=0).fit(X / 16, y)
    with pytest.raises(TypeError, match="Own cannot be exported: it has a predict"):
        to_onnx(own, path)
    network = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"samples of any shape.*input_shape"):
        to_onnx(ConfidentClassifier.from_trained(network, classes=2), path)
    with pytest.raises(TypeError, match="A path or a binary file"):
        to_onnx(clf, 5)
    assert not list(tmp_path.iterdir())


class Branching(nn.Linear):
    """A network that asks for the values of its input."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


def test_a_network_that_torch_cannot_write(tmp_path):
    """Check that the error names the network, and that nothing is written."""
    clf = ConfidentClassifier.from_trained(
        Branching(4, 2), classes=2, input_shape=4, method="msp"
    )
    with pytest.raises(ValueError, match=r"module=Branching.*torch.where"):
        to_onnx(clf, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx(clf, monkeypatch):
    """Check the error where onnx is missing; to_torch does without."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    clf.set_params(method="msp")
    to_torch(clf)
    with pytest.raises(ImportError, match=r"pip install 'confident_clf\[onnx\]'"):
        to_onnx(clf, "never.onnx")
