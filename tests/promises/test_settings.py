# SPDX-License-Identifier: BSD-3-Clause
"""Tests that settings of the user's process change no result, and are given back."""

import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
    load,
    save,
)
from confident_clf.metrics import auroc

X, Y = load_digits(return_X_y=True)
X, X_OOD, Y = X[Y < 4][:160] / 16, X[Y > 8][:40] / 16, Y[Y < 4][:160]
IMAGES = (X * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
FAR = np.r_[X[:5] * 1e4, X[:5], -1e5 * X[:5]]
fast = partial(ConfidentClassifier, max_epochs=2, random_state=0, device="cpu")


@contextmanager
def default_dtype():
    """Make float64 torch's default dtype."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    """Let torch make new tensors on a device without memory."""
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


@contextmanager
def no_grad():
    """Switch gradients off."""
    with torch.no_grad():
        yield
        assert not torch.is_grad_enabled()


@contextmanager
def inference_mode():
    """Compute in inference mode."""
    with torch.inference_mode():
        yield
        assert torch.is_inference_mode_enabled()


@contextmanager
def autocast():
    """Compute in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")


@contextmanager
def raise_on_underflow():
    """Let NumPy raise on every floating-point error."""
    with np.errstate(all="raise"):
        yield
        assert set(np.geterr().values()) == {"raise"}


@contextmanager
def deterministic():
    """Let torch refuse algorithms that are not deterministic."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def no_stdout():
    """Take the standard output away, as a Windows service does."""
    with redirect_stdout(None):
        yield


SETTINGS = [
    default_dtype,
    default_device,
    no_grad,
    inference_mode,
    autocast,
    raise_on_underflow,
    deterministic,
    no_stdout,
]


def outputs(clf, X):
    """Return everything that a classifier computes from samples."""
    scores = [clf.ood_score(X, method=m) for m in ("msp", "odin", "gen", "energy")]
    return [
        clf.predict(X),
        clf.predict_proba(X),
        clf.decision_function(X),
        clf.score_samples(X),
        *scores,
    ]


def fit_rows(**params):
    """Fit on rows, with given parameters."""
    clf = fast(**params)
    rows = {"X_ood": X_OOD} if params.get("ood_source") == "explicit" else {}
    clf.fit(X, Y, **rows)
    samples = [] if clf.net_.source is None else [clf.sample_ood(6)]
    return outputs(clf, X) + samples


def fit_images(**params):
    """Fit on uint8 images."""
    clf = fast(max_epochs=1, **params).fit(IMAGES, Y)
    return [*outputs(clf, IMAGES), clf.sample_ood(3)]


def go_on(**params):
    """Continue by partial_fit and by a warm start."""
    clf = fast(**params).partial_fit(X, Y, classes=range(4)).partial_fit(X, Y)
    return outputs(clf.set_params(warm_start=True).fit(X, Y), X)


def stop_early():
    """Hold rows back and stop early, in bfloat16."""
    clf = fast(early_stopping=True, max_epochs=4, precision="bfloat16")
    return outputs(clf.fit(X, Y), X)


def feature_score(method):
    """Fit a score of features, then another by fit_method."""
    clf = fast(method=method, ood_source=None).fit(X, Y)
    first = clf.ood_score(FAR)
    second = clf.set_params(method="knn").fit_method(X, Y).ood_score(FAR)
    return [first, second, clf.predict_proba(FAR)]


def detect():
    """Fit detectors around a classifier, with ODIN and per class, and a frozen one."""
    odin = OODDetector(fast(), method="odin", random_state=0).fit(X, Y)
    per_class = OODDetector(
        fast(lr=0.03, ood_source="joint", method="msp"),
        cv=3,
        per_class=True,
        target_tpr=0.7,
        random_state=0,
    ).fit(X, Y)
    frozen = OODDetector(FrozenEstimator(odin.estimator_)).fit(X, Y)
    detectors = [odin, per_class, frozen]
    return [a for d in detectors for a in (d.predict(FAR), d.p_value(FAR))]


def open_set():
    """Predict classes or unknown, also by a classifier without a network."""
    ours = OpenSetClassifier(fast(ood_source="noise"), random_state=0).fit(X, Y)
    other = OpenSetClassifier(
        LogisticRegression(), method="energy", random_state=0
    ).fit(X[:, :4], Y)
    gen = OODDetector(LogisticRegression(), method="gen", random_state=0)
    gen.fit(X[:, :4], Y)
    far = FAR[:, :4]
    return [
        ours.predict(FAR),
        ours.predict_proba(FAR),
        other.predict(far),
        other.ood_score(far),
        gen.predict(far),
    ]


def search():
    """Choose beta."""
    cv = ConfidentClassifierCV(fast(ood_source="noise"), betas=[0.1, 1])
    cv = clone(cv).set_params(random_state=0).fit(X, Y)
    return [cv.predict_proba(FAR), cv.cv_results_["mean_test_score"]]


def to_file_and_back(folder):
    """Save, load, and score by the loaded classifier."""
    clf = fast(ood_source=["joint", "noise"], method="vim").fit(X, Y)
    save(clf, folder / "clf")
    loaded = load(folder / "clf")
    return [*outputs(loaded, FAR), loaded.sample_ood(3)]


CALLS = {
    "cross entropy": partial(fit_rows, ood_source=None),
    "joint": fit_rows,
    "gan": partial(fit_rows, ood_source="gan"),
    "noise, reject": partial(fit_rows, ood_source="noise", ood_target="reject"),
    "explicit": partial(fit_rows, ood_source="explicit"),
    "features": partial(fit_rows, ood_source="features"),
    "mixture": partial(fit_rows, ood_source=["joint", "features", "noise"]),
    "images": partial(fit_images, augment="flip_crop"),
    "going on": go_on,
    "early stopping": stop_early,
    "mahalanobis": partial(feature_score, "mahalanobis"),
    "rmd": partial(feature_score, "rmd"),
    "vim": partial(feature_score, "vim"),
    "react": partial(feature_score, "react"),
    "detectors": detect,
    "open set": open_set,
    "beta search": search,
}


@pytest.fixture(scope="module")
def expected():
    """Return the results under the usual settings, each computed once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = CALLS[name]()
        return known[name]

    return of


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CALLS)
def test_results_do_not_depend_on_settings(name, setting, expected):
    """Check every result to the bit, and that the setting is there afterwards."""
    plain = expected(name)
    with setting():
        results = CALLS[name]()
    for result, other in zip(results, plain, strict=True):
        np.testing.assert_array_equal(result, other)


@pytest.mark.parametrize("setting", SETTINGS)
def test_files_do_not_depend_on_settings(setting, tmp_path):
    """Check what a file written and read under a setting predicts."""
    plain = to_file_and_back(tmp_path)
    with setting():
        results = to_file_and_back(tmp_path)
    for result, other in zip(results, plain, strict=True):
        np.testing.assert_array_equal(result, other)


def test_metrics_do_not_depend_on_numpy_settings():
    """Check AUROC of scores so small that their differences underflow."""
    y, scores = [1, 1, 0, 0], [4e-310, 3e-310, 2e-310, 1e-310]
    with np.errstate(all="raise"):
        assert auroc(y, scores) == 1.0


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_come_back_after_an_error(setting):
    """Check that a refused call gives the settings back, too."""
    clf = fast()
    with setting(), pytest.raises(ValueError, match="at least two classes"):
        clf.fit(X, np.zeros(len(X)))


@pytest.mark.parametrize("before", [False, True])
def test_convolutions_are_deterministic(before):
    """Check that cuDNN is told so during a fit, and that the setting comes back."""
    from torch.backends import cudnn

    class Seen(Callback):
        def on_batch_end(self, net, **kwargs):
            self.seen = cudnn.deterministic

    cudnn.deterministic = before
    try:
        clf = fast(callbacks=[Seen()]).fit(X, Y)
        assert dict(clf.net_.callbacks_)["Seen"].seen
        assert cudnn.deterministic is before
    finally:
        cudnn.deterministic = False


def test_the_dtype_of_one_thread_is_kept_for_another():
    """Check that the last thread that leaves gives the default dtype back."""
    from confident_clf.utils._guard import settings

    torch.set_default_dtype(torch.float64)
    try:
        first, second = settings(), settings()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float32
        second.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
def test_without_assertions():
    """Check a fit and a file under ``python -O``, with warnings as errors.

    With ``-OO``, which removes docstrings, skorch itself cannot be imported.
    """
    code = """
import os, tempfile, numpy as np
from confident_clf import ConfidentClassifier, OODDetector, load, save
X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
clf = ConfidentClassifier(max_epochs=1, method="knn")
detector = OODDetector(clf, target_tpr=0.8).fit(X, y)
with tempfile.TemporaryDirectory() as folder:
    save(detector, os.path.join(folder, "f"))
    loaded = load(os.path.join(folder, "f"))
print(bool((loaded.predict(X) == detector.predict(X)).all()))
"""
    output = subprocess.run(
        [sys.executable, "-O", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout.strip() == "True"
