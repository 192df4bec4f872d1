# SPDX-License-Identifier: BSD-3-Clause
"""Tests of OpenSetClassifier, and of both wrappers over all kinds of classifiers."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks, get_tags
from skorch import NeuralNetClassifier
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.metrics import accepted_accuracy, auroc_scorer
from confident_clf.model_selection import OODKFold

X, Y = make_blobs(300, centers=[[-3, 0], [3, 0], [0, 5]], random_state=0)
X = X.astype(np.float32)
NAMES = np.array(["cat", "dog", "cow"])[Y]
BETWEEN = np.array([[0, 1.7]], dtype=np.float32)  # as far from one class as another


class Net(nn.Sequential):
    """Three logits of two features."""

    def __init__(self):
        super().__init__(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))


def skorch_net():
    """Return a classifier of skorch's own."""
    return NeuralNetClassifier(
        Net,
        criterion=nn.CrossEntropyLoss,
        max_epochs=10,
        lr=0.1,
        verbose=0,
        train_split=None,
    )


CLASSIFIERS = {
    "confident": ConfidentClassifier(
        ood_source="noise", lr=0.01, max_epochs=5, random_state=0
    ),
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(50, max_depth=5, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": CalibratedClassifierCV(LinearSVC(), ensemble=False),
    "skorch": skorch_net(),
}


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_over_every_classifier(name, per_class):
    """Check both wrappers: what the detector accepts gets the class, nothing else."""
    torch.manual_seed(0)
    clf = CLASSIFIERS[name]
    choices = {"cv": 0.4, "per_class": per_class, "target_tpr": 0.9, "random_state": 0}
    open_set = OpenSetClassifier(clf, **choices).fit(X, Y)
    torch.manual_seed(0)
    detector = OODDetector(clf, **choices).fit(X, Y)
    assert_allclose(open_set.threshold_, detector.threshold_)
    accepted = detector.predict(X) == 1
    classes = open_set.estimator_.predict(X)
    assert_array_equal(open_set.predict(X), np.where(accepted, classes, -1))
    assert_array_equal(open_set.predict_proba(X), open_set.estimator_.predict_proba(X))
    assert_array_equal(open_set.classes_, [0, 1, 2])
    assert 0.8 < accepted.mean() < 1
    assert accepted_accuracy(Y, open_set.predict(X)) > 0.97
    assert_array_equal(open_set.predict(BETWEEN), [-1])
    assert_array_equal(open_set.ood_score(X), detector.ood_score(X))
    assert open_set.ood_score(BETWEEN) > np.median(open_set.ood_score(X))


def test_frozen_skorch_net():
    """Check that a net trained before is wrapped as it is, images too."""
    torch.manual_seed(0)
    images = X.reshape(-1, 1, 2, 1)

    class Flat(Net):
        def forward(self, x):
            return super().forward(x.flatten(1))

    net = skorch_net().set_params(module=Flat).fit(images, Y)
    open_set = OpenSetClassifier(FrozenEstimator(net), target_tpr=0.9).fit(images)
    predicted = open_set.predict(images)
    assert_array_equal(predicted[predicted != -1], net.predict(images)[predicted != -1])
    assert 270 <= np.sum(predicted != -1) < 280


def check_dtype(labels, unknown_label, expected):
    """Check the labels and the type of predictions with one unknown."""
    open_set = OpenSetClassifier(
        LogisticRegression(), unknown_label=unknown_label, random_state=0
    ).fit(X, labels)
    unsure, *_, sure = np.argsort(open_set.score_samples(X))
    predicted = open_set.predict(X[[sure, unsure]])
    assert predicted.dtype == expected
    assert predicted[0] == np.asarray(labels)[sure]
    return predicted[1]


def test_types_of_labels():
    """Check that labels of every type can be mixed with an unknown."""
    assert check_dtype(Y, -1, int) == -1
    assert check_dtype(Y, 0.5, float) == 0.5
    assert np.isnan(check_dtype(Y, np.nan, float))
    assert check_dtype(Y.astype(np.uint8), -1, int) == -1
    assert check_dtype(Y == 1, 2, int) == 2
    assert check_dtype(NAMES, "unknown", "<U7") == "unknown"
    assert check_dtype(NAMES, "?", "<U3") == "?"
    assert check_dtype(NAMES.astype(object), "unknown", object) == "unknown"
    assert check_dtype(pd.Series(NAMES), "unknown", object) == "unknown"
    assert check_dtype(pd.Series(Y), -1, int) == -1


class CannotFit(LogisticRegression):
    """Classifier that must not be fitted."""

    def fit(self, X, y):
        """Raise an error that no test expects."""
        raise AssertionError("fit was called")


@pytest.mark.parametrize(
    "labels, unknown_label, message",
    [
        (Y, 2, r"unknown_label=2 is a label in y.*\[0, 1, 2\].*Pass another"),
        (Y - 1, -1, r"unknown_label=-1 is a label in y.*\[-1, 0, 1\]"),
        (NAMES, "cow", r"unknown_label='cow' is a label in y.*'cat', 'cow', 'dog'"),
        (
            NAMES,
            -1,
            r"unknown_label=-1 is a number.*such as 'c.*Pass a string as unknown_label",
        ),
        (NAMES.astype(object), -1, "the labels are strings, such as"),
        (Y, "unknown", r"unknown_label='unknown' is a string.*a number"),
        (Y, [-1], r"The 'unknown_label' parameter of OpenSetClassifier must be"),
    ],
)
def test_unknown_label_refused(labels, unknown_label, message):
    """Check that a label that cannot mean unknown is refused before fitting."""
    open_set = OpenSetClassifier(CannotFit(), unknown_label=unknown_label)
    with pytest.raises(ValueError, match=message):
        open_set.fit(X, labels)
    frozen = FrozenEstimator(LogisticRegression().fit(X, labels))
    with pytest.raises(ValueError, match=message):
        open_set.set_params(estimator=frozen).fit(X)


@pytest.mark.parametrize("estimator", [GaussianMixture(3), LinearRegression()])
def test_takes_a_classifier(estimator):
    """Check that what predicts no classes is refused."""
    with pytest.raises(
        TypeError, match=r"needs a classifier; \w+ is not a classifier.*OODDetector"
    ):
        OpenSetClassifier(estimator).fit(X, Y)


def test_too_few_rows():
    """Check that the numbers of the detector's errors come through."""
    with pytest.raises(ValueError, match=r"at least 19 calibration rows; there are 10"):
        OpenSetClassifier(CannotFit()).fit(X[:50], Y[:50])
    with pytest.raises(ValueError, match=r"at least 19 .* of every class"):
        OpenSetClassifier(CannotFit(), per_class=True, cv=0.1).fit(X, Y)


def test_rows_set_aside_may_be_labelled_unknown():
    """Check that OOD rows may have the label of the answer to them."""
    y = np.where(Y == 2, -1, Y)
    clf = ConfidentClassifier(
        ood_source="explicit", ood_label=-1, lr=0.01, max_epochs=20, random_state=0
    )
    pipe = make_pipeline(StandardScaler(), clf)
    open_set = OpenSetClassifier(pipe, cv=0.4, random_state=0).fit(X, y)
    assert_array_equal(open_set.classes_, [0, 1])
    # Of 120 rows held out some 40 are OOD.
    assert 60 < open_set.detector_.n_calibration_ < 100
    assert open_set.score(X, y) > 0.9


def test_score_is_open_set_accuracy():
    """Check that an unknown sample is right if it gets no class."""
    open_set = OpenSetClassifier(LogisticRegression(), random_state=0).fit(X, Y)
    X_all, y_all = np.r_[X, np.repeat(BETWEEN, 60, axis=0)], np.r_[Y, [-1] * 60]
    n_right = np.sum(open_set.predict(X) == Y)
    assert_allclose(open_set.score(X_all, y_all), (n_right + 60) / 360)


def test_share_that_gets_a_class():
    """Check that new samples of the classes get one as often as promised."""
    shares = []
    for seed in range(60):
        X_all, y_all = make_blobs(1000, centers=3, cluster_std=2.0, random_state=seed)
        open_set = OpenSetClassifier(
            LogisticRegression(), target_tpr=0.8, random_state=seed
        )
        open_set.fit(X_all[:250], y_all[:250])
        shares.append(np.mean(open_set.predict(X_all[250:]) != -1))
    error = np.std(shares) / np.sqrt(len(shares))
    assert 0.8 - 3 * error < np.mean(shares) < 0.8 + 1 / 51 + 3 * error


@pytest.mark.parametrize("method", ["energy", "margin"])
def test_method(method):
    """Check that the score to detect by is passed on."""
    choices = {"method": method, "random_state": 0}
    open_set = OpenSetClassifier(LogisticRegression(), **choices).fit(X, Y)
    detector = OODDetector(LogisticRegression(), **choices).fit(X, Y)
    assert_array_equal(open_set.score_samples(X), detector.score_samples(X))


def test_without_probabilities():
    """Check that there is no predict_proba over a classifier without one."""
    open_set = OpenSetClassifier(LinearSVC())
    assert not hasattr(open_set, "predict_proba")
    open_set.fit(X, Y)
    assert not hasattr(open_set, "predict_proba")
    assert_array_equal(open_set.predict(BETWEEN), [-1])
    assert hasattr(OpenSetClassifier(LogisticRegression()), "predict_proba")


def test_search():
    """Check that a search scores by labels, unknown ones in the test parts only."""
    y = np.where(Y == 2, -1, Y)
    open_set = OpenSetClassifier(LogisticRegression(), unknown_label=-9, cv=5)
    grid = {"estimator__C": [1e-3, 1.0], "target_tpr": [0.8, 0.9]}
    scoring = {"auroc": auroc_scorer, "accepted": accepted}
    search = GridSearchCV(open_set, grid, scoring=scoring, refit=False, cv=OODKFold(3))
    search.fit(X, y)
    scores = search.cv_results_["mean_test_accepted"]
    assert (scores > 0.5).all()
    assert np.isfinite(search.cv_results_["mean_test_auroc"]).all()


def accepted(estimator, X, y):
    """Return the accuracy on rows that get a class."""
    return accepted_accuracy(y, estimator.predict(X), unknown_label=-9)


def test_not_fitted():
    """Check that every method asks for fit first."""
    open_set = OpenSetClassifier(LogisticRegression())
    for name in ("predict", "predict_proba", "score_samples", "ood_score"):
        with pytest.raises(NotFittedError):
            getattr(open_set, name)(X)
    with pytest.raises(NotFittedError):
        OpenSetClassifier(FrozenEstimator(LogisticRegression())).fit(X, Y)


def test_refused_fit_changes_nothing():
    """Check that a fit that raises leaves the earlier fit as it was."""
    frame = pd.DataFrame(X, columns=["a", "b"])
    open_set = OpenSetClassifier(LogisticRegression(), random_state=0).fit(frame, Y)
    before = dict(vars(open_set))
    for data in [(X[:9], Y[:9]), (np.where(X > 2, np.nan, X), Y), (X, Y - 1)]:
        with pytest.raises(ValueError, match=r"\w"):
            open_set.fit(*data)
    assert vars(open_set) == before
    assert_array_equal(open_set.feature_names_in_, ["a", "b"])
    assert not hasattr(open_set.fit(X, Y), "feature_names_in_")
    assert open_set.n_features_in_ == 2


def test_pickle_and_clone():
    """Check that a fitted one survives pickling, and a clone is not fitted."""
    open_set = OpenSetClassifier(
        LogisticRegression(), unknown_label="?", random_state=0
    )
    open_set.fit(X, NAMES)
    again = pickle.loads(pickle.dumps(open_set))
    assert_array_equal(again.predict(X), open_set.predict(X))
    assert clone(open_set).get_params()["unknown_label"] == "?"
    assert not hasattr(clone(open_set), "detector_")


def test_tags():
    """Check that labels are required unless the classifier is fitted."""
    assert get_tags(OpenSetClassifier(LogisticRegression())).target_tags.required
    frozen = FrozenEstimator(LogisticRegression().fit(X, Y))
    assert not get_tags(OpenSetClassifier(frozen)).target_tags.required


# These hold where samples are refused too. Others ask that predict be the largest
# column of predict_proba, and run over a classifier that is sure of everything; or fit
# on random labels, of which some class may never be predicted (tests/test_common.py).
CHECKS = [
    "check_dict_unchanged",
    "check_estimators_pickle",
    "check_estimators_dtypes",
    "check_f_contiguous_array_estimator",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_readonly_memmap_input",
]


@pytest.mark.parametrize(
    "estimator",
    [
        OpenSetClassifier(LogisticRegression(), unknown_label=-9),
        OpenSetClassifier(LogisticRegression(), unknown_label=-9, per_class=True),
        OODDetector(LogisticRegression(), per_class=True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learn_checks_with_refusals(name, estimator):
    """Check that what scikit-learn asks of predictions holds of refusals too."""
    estimator = clone(estimator).set_params(target_tpr=0.5, cv=3)
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


def test_ensembles_that_learn_the_ood_label():
    """Check that a class which means unknown too is found after fit."""
    X, y = make_blobs(200, centers=3, random_state=0)
    member = ConfidentClassifier(ood_source=None, ood_label=-1, max_epochs=1)
    clf = OpenSetClassifier(VotingClassifier([("a", member)], voting="soft"))
    with pytest.raises(ValueError, match="unknown_label=-1 is a label"):
        clf.fit(X, y - 1)
    assert not hasattr(clf, "detector_")
