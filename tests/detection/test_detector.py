# SPDX-License-Identifier: BSD-3-Clause
"""Tests of OODDetector."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags

from confident_clf import OODDetector
from confident_clf._detection._confidence import id_confidence
from confident_clf._detection._conformal import n_calibration_needed
from confident_clf.metrics import make_ood_scorer

X, Y = make_blobs(100, centers=3, cluster_std=2.0, random_state=0)
TARGETS = [0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]


class FirstFeature(ClassifierMixin, BaseEstimator):
    """Classifier whose confidence is the first feature, and that shows what fit got."""

    def fit(self, X, y=None, X_ood=None, sample_weight=None):
        """Set the rows labelled -1 aside."""
        self.classes_ = np.setdiff1d(y, [-1])
        self.seen_ = [None if a is None else len(a) for a in (X, X_ood, sample_weight)]
        return self

    def score_samples(self, X):
        """Return the first feature."""
        return np.asarray(X)[:, 0]


class TwoClasses(FirstFeature):
    """The same, but aware of a second class that may not be in the data."""

    def fit(self, X, y=None):
        """Set the classes."""
        self.classes_ = np.array([0, 1])
        return self


class CannotFit(BaseEstimator):
    """Estimator that must not be fitted."""

    def fit(self, X, y=None):
        """Raise an error that no test expects."""
        raise AssertionError("fit was called")

    def score_samples(self, X):
        """Raise an error that no test expects."""
        raise AssertionError("score_samples was called")


def calibrated(scores, target_tpr=0.95):
    """Return a detector calibrated on these scores."""
    estimator = FrozenEstimator(FirstFeature().fit(None, [0, 1]))
    return OODDetector(estimator, target_tpr=target_tpr).fit(column(scores))


def column(scores):
    """Return samples with these scores."""
    return np.asarray(scores, dtype=np.float64).reshape(-1, 1)


def test_threshold_by_hand():
    """Check the threshold of 19 scores: the smallest at 0.95, the second at 0.9."""
    scores = np.arange(19, 0, -1)
    thresholds = [calibrated(scores, target).threshold_ for target in (0.95, 0.9)]
    assert_allclose(thresholds, [1, 2])
    detector = calibrated(scores, 0.5)
    assert_allclose(detector.threshold_, 10)
    assert_array_equal(detector.predict(column([9, 10, 11])), [-1, 1, 1])
    assert_allclose(detector.calibration_scores_, np.arange(1, 20))
    assert detector.n_calibration_ == 19


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("target_tpr", TARGETS)
def test_guarantee_for_every_n(target_tpr, ties):
    """Check that of any n + 1 scores, each tested against the others, enough pass.

    The scores of calibration and new samples come in any order with the same
    probability. So the probability to accept is the share that passes, and it must be
    `target_tpr` at least whatever the scores; without ties it is the next multiple of
    1 / (n + 1).
    """
    rng = np.random.default_rng(0)
    needed = n_calibration_needed(target_tpr)
    for n in range(needed, needed + 60, 7):
        pool = rng.integers(4, size=n + 1) if ties else rng.permutation(n + 1)
        accepted = 0
        for score in np.unique(pool):
            others = np.delete(pool, np.argmax(pool == score))
            passes = calibrated(others, target_tpr).predict(column([score]))[0] == 1
            accepted += passes * np.sum(pool == score)
        least = np.ceil(round(target_tpr * (n + 1), 9))
        assert accepted >= least if ties else accepted == least


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_are_valid(ties):
    """Check that of any n + 1 scores at most a share alpha has a p-value of alpha."""
    rng = np.random.default_rng(0)
    for n in range(1, 40):
        pool = rng.integers(4, size=n + 1) if ties else rng.permutation(n + 1)
        p_values = np.array(
            [
                calibrated(np.delete(pool, i), 0.05).p_value(column([pool[i]]))[0]
                for i in range(n + 1)
            ]
        )
        # The p-values are multiples of 1 / (n + 1), so these are all alphas there are.
        not_above = np.sum(p_values <= np.sort(p_values)[:, None] + 1e-12, axis=1)
        assert (not_above / (n + 1) <= np.sort(p_values) + 1e-12).all()


@pytest.mark.parametrize("target_tpr", TARGETS)
@pytest.mark.parametrize("seed", range(5))
def test_predict_decision_function_and_p_value_agree(seed, target_tpr):
    """Check that the three ways to decide are one, at ties and borders too."""
    rng = np.random.default_rng(seed)
    n = rng.integers(n_calibration_needed(target_tpr), 200)
    detector = calibrated(rng.normal(size=n).round(1), target_tpr)
    new = column(np.r_[detector.calibration_scores_, rng.normal(size=50)])
    accepted = detector.predict(new) == 1
    assert_array_equal(accepted, detector.decision_function(new) >= 0)
    assert_array_equal(accepted, detector.score_samples(new) >= detector.threshold_)
    # 1 - 0.9 < 0.1 in floats.
    assert_array_equal(accepted, detector.p_value(new) > 1 - target_tpr + 1e-12)


def test_p_value_by_hand():
    """Check that the p-value counts the scores that are not higher."""
    detector = calibrated([1, 2, 2, 3], 0.5)
    p_values = detector.p_value(column([0, 1, 2, 2.5, 9]))
    assert_allclose(p_values, [0.2, 0.4, 0.8, 0.8, 1.0])


def test_held_out_share_keeps_the_guarantee():
    """Check the share accepted where a class is rare and its scores are low.

    Had the two calibration rows been stratified, none would have been of the rare
    class, and 4/15 of new samples accepted instead of 1/3. Draws that hold out all rows
    of the rare class are another test's: they give no guarantee for it.
    """
    rng = np.random.default_rng(0)

    def draw(n):
        rare = rng.random(n) < 0.2
        return column(rng.random(n) - rare), rare.astype(int)

    draws = np.random.RandomState(0)
    detector = OODDetector(TwoClasses(), target_tpr=1 / 3, cv=0.1, random_state=draws)
    shares = []
    for _ in range(2000):
        X_train, y_train = draw(20)
        state = draws.get_state()
        train, _ = next(
            ShuffleSplit(1, test_size=0.1, random_state=draws).split(X_train)
        )
        draws.set_state(state)
        if len(np.unique(y_train[train])) == len(np.unique(y_train)):
            detector.fit(X_train, y_train)
            shares.append(np.mean(detector.predict(draw(100)[0]) == 1))
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 1 / 3) < 4 * error < 0.03


def test_rows_below_the_threshold():
    """Check that less than the threshold is rejected, rounding errors are not."""
    for scale in (1e300, 1.0, -1.0, -1e-20):
        detector = calibrated([scale, 9e300, 9e300], 0.75)
        less = [scale - abs(scale) * share for share in (1e-8, 1e-10, 0)]
        assert_array_equal(detector.predict(column(less)), [-1, 1, 1])
    tiny = np.nextafter(0.0, 1.0)
    detector = calibrated([tiny, 1.0, 2.0], 0.75)
    assert_array_equal(detector.predict(column([0.0, tiny])), [-1, 1])


# The labels are random, so nothing makes shuffled rows less certain.
@pytest.mark.filterwarnings("ignore:The confidence of LogisticRegression")
def test_rows_alone_as_in_a_batch():
    """Check that a row like those at the threshold is accepted in any batch.

    Of rows of few kinds many are equal to the one at the threshold, and the last digit
    of a matrix product depends on the number of rows.
    """
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(6, 7))[rng.integers(6, size=200)]
        clf = LogisticRegression().fit(rows, rng.integers(3, size=200))
        detector = OODDetector(FrozenEstimator(clf), target_tpr=0.9).fit(rows)
        alone = [detector.predict(row[np.newaxis])[0] for row in rows]
        assert_array_equal(alone, detector.predict(rows))
        assert np.mean(np.equal(alone, 1)) >= 0.9


def test_infinite_scores():
    """Check that scores of -inf are rejected, and make no threshold."""
    detector = calibrated([-np.inf, 1.0, 2.0], 0.5)
    decision = detector.decision_function(column([-np.inf, 1]))
    assert_allclose(decision, [-np.inf, 0], atol=1e-8)
    assert_array_equal(detector.predict(column([-np.inf, np.inf])), [-1, 1])
    with pytest.raises(ValueError, match=r"Too many confidences .* -inf .*=0.75"):
        calibrated([-np.inf, 1.0, 2.0], 0.75)


def test_held_out_share():
    """Check that a float cv holds out one share and does not fit on it again."""
    detector = OODDetector(LogisticRegression(), random_state=3).fit(X, Y)
    split = ShuffleSplit(1, test_size=0.2, random_state=3)
    train, held_out = next(split.split(X))
    clf = LogisticRegression().fit(X[train], Y[train])
    assert_array_equal(detector.estimator_.coef_, clf.coef_)
    expected = np.sort(id_confidence(clf, X[held_out]))
    assert_allclose(detector.calibration_scores_, expected)
    assert detector.n_calibration_ == 20
    assert detector.threshold_ == detector.calibration_scores_[0]


@pytest.mark.parametrize("kind", ["int", "splitter", "iterable"])
def test_folds(kind):
    """Check that folds pool scores of rows held out, and fit on all rows at the end."""
    splitter = StratifiedKFold(4)
    cv = {"int": 4, "splitter": splitter, "iterable": list(splitter.split(X, Y))}[kind]
    clf = LogisticRegression()
    detector = OODDetector(clf, cv=cv, target_tpr=0.9).fit(X, Y)
    proba = cross_val_predict(clf, X, Y, cv=splitter, method="predict_proba")
    expected = np.sort(proba.max(axis=1) - 1)
    assert_allclose(detector.calibration_scores_, expected)
    assert_allclose(detector.threshold_, expected[9])  # 101 - 91 = 10th smallest
    assert_array_equal(detector.estimator_.coef_, clf.fit(X, Y).coef_)


def test_folds_without_labels():
    """Check that densities are cross-fitted without labels, None being 5 folds."""
    density = KernelDensity()
    for cv in (5, None):
        detector = OODDetector(density, cv=cv).fit(X)
        expected = [
            clone(density).fit(X[train]).score_samples(X[held_out])
            for train, held_out in KFold(5).split(X)
        ]
        assert_allclose(detector.calibration_scores_, np.sort(np.ravel(expected)))


def test_frozen():
    """Check that a frozen estimator stays as it is, and that all rows calibrate."""
    clf = LogisticRegression().fit(X[:50], Y[:50])
    frozen = FrozenEstimator(clf)
    detector = OODDetector(frozen).fit(X[50:])
    assert detector.estimator_ is frozen
    expected = np.sort(clf.predict_proba(X[50:]).max(axis=1) - 1)
    assert_allclose(detector.calibration_scores_, expected)
    with_labels = OODDetector(frozen).fit(X[50:], Y[50:])
    assert with_labels.threshold_ == detector.threshold_


def test_frozen_refuses_foreign_labels():
    """Check that OOD rows are not taken to calibrate a frozen estimator."""
    detector = OODDetector(FrozenEstimator(LogisticRegression().fit(X, Y)))
    y = np.where(np.arange(100) < 7, -1, Y)
    with pytest.raises(ValueError, match=r"7 of 100 rows have a label .* Drop these"):
        detector.fit(X, y)


def test_frozen_refuses_fit_params():
    """Check that parameters that could have no effect are refused by name."""
    detector = OODDetector(FrozenEstimator(LogisticRegression().fit(X, Y)))
    with pytest.raises(ValueError, match="fit got X_ood, but a FrozenEstimator"):
        detector.fit(X, Y, X_ood=X)


def test_frozen_but_not_fitted():
    """Check that freezing is not enough."""
    with pytest.raises(NotFittedError):
        OODDetector(FrozenEstimator(LogisticRegression())).fit(X, Y)


@pytest.mark.parametrize("cv", [0.4, 5])
def test_rows_set_aside_do_not_calibrate(cv):
    """Check that rows the estimator itself took for OOD are left out."""
    y = np.where(np.arange(100) % 2, -1, Y)
    detector = OODDetector(FirstFeature(), cv=cv, target_tpr=0.9, random_state=0)
    detector.fit(X, y)
    if cv == 5:
        expected = X[y != -1, 0]
    else:
        _, held_out = next(ShuffleSplit(1, test_size=cv, random_state=0).split(X))
        expected = X[held_out, 0][y[held_out] != -1]
    assert_allclose(detector.calibration_scores_, np.sort(expected))
    assert_array_equal(detector.classes_, [0, 1, 2])


def test_too_few_rows_after_setting_aside():
    """Check that rows set aside do not count as calibration rows."""
    y = np.where(np.arange(100) % 10, -1, 0)
    with pytest.raises(ValueError, match=r"at least 19 calibration rows; there are 10"):
        OODDetector(FirstFeature(), cv=KFold(5)).fit(X, y)


@pytest.mark.parametrize(
    "cv, n, message",
    [
        (0.2, 90, r"at least 19 calibration .* are 18\. Fit on at least 95 in-d"),
        (3, 18, r"at least 19 calibration .* are 18\. Fit on at least 19 in-d"),
    ],
)
def test_too_few_rows(cv, n, message):
    """Check that too few rows are refused before fitting, with how many it takes."""
    with pytest.raises(ValueError, match=rf"target_tpr=0.95 takes {message}"):
        OODDetector(CannotFit(), cv=cv).fit(X[:n])


def test_too_few_rows_frozen():
    """Check that too few rows are refused before a frozen estimator scores them."""
    estimator = CannotFit()
    estimator.fitted_ = True
    message = r"at least 19 calibration rows; there are 18\. Fit on at least 19 in-d"
    with pytest.raises(ValueError, match=message):
        OODDetector(FrozenEstimator(estimator)).fit(X[:18])


@pytest.mark.parametrize("n, cv", [(95, 0.2), (19, 5)])
def test_just_enough_rows(n, cv):
    """Check that the number of rows named by the error is accepted."""
    detector = OODDetector(KernelDensity(), cv=cv).fit(X[:n])
    assert detector.n_calibration_ == 19


@pytest.mark.parametrize("method", ["energy", "entropy", "margin", "max_logit", "msp"])
def test_method(method):
    """Check that the score to detect by is used to calibrate and to predict."""
    detector = OODDetector(LogisticRegression(), method=method, random_state=0)
    detector.fit(X, Y)
    confidence = id_confidence(detector.estimator_, X, method)
    assert_array_equal(detector.score_samples(X), confidence)
    assert_array_equal(detector.ood_score(X), -confidence)
    _, held_out = next(ShuffleSplit(1, test_size=0.2, random_state=0).split(X))
    assert_allclose(detector.calibration_scores_, np.sort(confidence[held_out]))


def test_another_method_waits_for_fit():
    """Check that scores are compared with a threshold of their own kind."""
    detector = OODDetector(LogisticRegression(), method="energy", random_state=0)
    expected = detector.fit(X, Y).p_value(X)
    detector.set_params(method="msp")
    assert_array_equal(detector.p_value(X), expected)
    alone = OODDetector(LogisticRegression(), method="msp", random_state=0)
    assert_array_equal(detector.fit(X, Y).p_value(X), alone.fit(X, Y).p_value(X))


def test_method_refused_before_fit():
    """Check that an unknown or impossible method is refused before fitting."""
    with pytest.raises(ValueError, match="'method' parameter of OODDetector must be"):
        OODDetector(CannotFit(), method="mps").fit(X, Y)
    with pytest.raises(TypeError, match=r"'energy' needs a classifier .* CannotFit is"):
        OODDetector(CannotFit(), method="energy").fit(X, Y)
    with pytest.raises(TypeError, match="StandardScaler gives no confidence"):
        OODDetector(StandardScaler()).fit(X, Y)


@pytest.mark.parametrize("method", [None, "max_logit"])
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}),
        make_pipeline(StandardScaler(), SVC()),
    ],
)
def test_composed_classifiers(estimator, method):
    """Check that pipelines and searches are calibrated like any classifier."""
    detector = OODDetector(estimator, method=method, random_state=0).fit(X, Y)
    far_between = X.mean(axis=0, keepdims=True)
    assert detector.score_samples(far_between) < np.median(detector.score_samples(X))
    assert_array_equal(detector.classes_, [0, 1, 2])
    assert np.mean(detector.predict(X) == 1) >= 0.9


@pytest.mark.parametrize("estimator", [GaussianMixture(3), IsolationForest()])
def test_label_free_estimators(estimator):
    """Check that densities and outlier detectors need no labels."""
    estimator.set_params(random_state=0)
    detector = OODDetector(estimator, random_state=0).fit(X)
    assert_array_equal(detector.predict([[100.0, -100.0]]), [-1])
    assert_array_equal(detector.predict(X[Y == 0].mean(axis=0, keepdims=True)), [1])
    assert not hasattr(detector, "classes_")
    assert not get_tags(detector).target_tags.required


def test_labels_are_required_by_classifiers():
    """Check that the tag says whether fit takes no y."""
    assert get_tags(OODDetector(LogisticRegression())).target_tags.required
    frozen = FrozenEstimator(LogisticRegression().fit(X, Y))
    assert not get_tags(OODDetector(frozen)).target_tags.required


@pytest.mark.parametrize("n_ood", [7, 100])
def test_fit_params(n_ood):
    """Check that parameters of fit reach the estimator: X_ood whole, weights split."""
    detector = OODDetector(FirstFeature(), random_state=0)
    detector.fit(X, Y, X_ood=X[:n_ood], sample_weight=np.ones(100))
    assert detector.estimator_.seen_ == [80, n_ood, 80]
    detector.set_params(cv=4).fit(X, Y, X_ood=X[:n_ood], sample_weight=np.ones(100))
    assert detector.estimator_.seen_ == [100, n_ood, 100]


def test_fit_params_of_pipeline():
    """Check that X_ood for a step of a pipeline is not split either."""
    pipeline = make_pipeline(StandardScaler(), FirstFeature())
    detector = OODDetector(pipeline, random_state=0).fit(X, Y, firstfeature__X_ood=X)
    assert detector.estimator_[-1].seen_ == [80, 100, None]


def test_metadata_routing():
    """Check that parameters are routed to fit and split where they are asked for."""
    groups = np.arange(100) % 5
    with config_context(enable_metadata_routing=True):
        estimator = FirstFeature().set_fit_request(X_ood=True, sample_weight=False)
        detector = OODDetector(estimator, random_state=0).fit(X, Y, X_ood=X)
        assert detector.estimator_.seen_ == [80, 100, None]
        with pytest.raises(TypeError, match="sample_weight"):
            detector.fit(X, Y, sample_weight=np.ones(100))
        cv = GroupSplit()
        detector = OODDetector(estimator, cv=cv).fit(X, Y, groups=groups, X_ood=X)
        assert_allclose(detector.calibration_scores_, np.sort(X[groups == 0, 0]))


class GroupSplit(KFold):
    """Splitter that holds out the first group."""

    __metadata_request__split = {"groups": True}

    def split(self, X, y=None, groups=None):
        """Yield one split."""
        yield np.flatnonzero(groups), np.flatnonzero(groups == 0)


REFUSED = {
    "too few rows": ({}, (X[:9], Y[:9])),
    "too few rows of another width": ({}, (X[:9, :1], Y[:9])),
    "NaN": ({}, (np.where(X > X.max() - 1, np.nan, X), Y)),
    "no labels": ({}, (X, None)),
    "labels of another length": ({}, (X, Y[:-1])),
    "method": ({"method": "mps"}, (X, Y)),
    "target": ({"target_tpr": 1.0}, (X, Y)),
    "share": ({"cv": 1.5}, (X, Y)),
    "infinite threshold": (
        {"estimator": KernelDensity(kernel="tophat", bandwidth=1e-9)},
        (X[:, :1], Y),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_fit_changes_nothing(case):
    """Check that a fit that raises leaves the earlier fit as it was."""
    params, data = REFUSED[case]
    names = pd.DataFrame(X, columns=["a", "b"])
    detector = OODDetector(LogisticRegression(), random_state=0).fit(names, Y)
    before = {**vars(detector), **params}
    with pytest.raises(ValueError, match=r"\w"):
        detector.set_params(**params).fit(*data)
    assert vars(detector).keys() == before.keys()
    assert all(vars(detector)[name] is before[name] for name in before)


def test_data_frames():
    """Check that names of features are taken over, and forgotten by the next fit."""
    frame = pd.DataFrame(X, columns=["a", "b"])
    detector = OODDetector(LogisticRegression(), random_state=0)
    detector.fit(frame, pd.Series(Y))
    assert_array_equal(detector.feature_names_in_, ["a", "b"])
    with pytest.raises(ValueError, match="feature names should match"):
        detector.predict(frame[["b", "a"]])
    expected = detector.decision_function(frame)
    detector.fit(X, Y)
    assert_array_equal(detector.decision_function(X), expected)
    assert not hasattr(detector, "feature_names_in_")
    assert detector.n_features_in_ == 2


def test_columns_are_for_the_estimator_to_check():
    """Check that columns are no trouble which the estimator itself ignores."""
    frame = pd.DataFrame(X, columns=["a", "b"])
    columns = make_column_transformer(("passthrough", ["a", "b"]))
    pipeline = make_pipeline(columns, LogisticRegression())
    detector = OODDetector(pipeline, random_state=0).fit(frame, Y)
    more = frame.assign(c=1.0)[["c", "b", "a"]]
    assert_array_equal(detector.predict(more), detector.predict(frame))


def test_set_output():
    """Check that transform gives the paper's label as a named feature."""
    detector = OODDetector(GaussianMixture(random_state=0), random_state=0).fit(X)
    X_new = np.r_[X, [[99.0, 99.0]]]
    labels = detector.transform(X_new)
    assert labels.shape == (101, 1)
    assert labels.dtype == np.float64
    assert_array_equal(labels[:, 0], detector.predict(X_new) == 1)
    assert labels[-1] == 0.0
    frame = detector.set_output(transform="pandas").transform(X_new)
    assert list(frame.columns) == ["ooddetector0"]
    assert_array_equal(frame, labels)


def test_dtypes():
    """Check that decisions are ints and scores float64, of float32 data too."""
    detector = OODDetector(LogisticRegression(), random_state=0)
    detector.fit(X.astype(np.float32), Y)
    new = X[:3].astype(np.float32)
    assert detector.predict(new).dtype.kind == "i"
    for name in ("decision_function", "score_samples", "ood_score", "p_value"):
        assert getattr(detector, name)(new).dtype == np.float64
    assert type(detector.threshold_) is float


def test_images():
    """Check that samples may have more than two dimensions."""
    images = np.arange(20.0)[:, None, None, None] * np.ones((1, 3, 2, 2))
    detector = OODDetector(Brightness(), cv=0.95, random_state=0).fit(images)
    assert_array_equal(detector.predict(images[:1] - 50), [-1])


class Brightness(BaseEstimator):
    """Density of images: the brighter, the likelier."""

    def fit(self, X, y=None):
        """Do nothing."""
        self.is_fitted_ = True
        return self

    def score_samples(self, X):
        """Return the mean pixel."""
        return X.mean(axis=(1, 2, 3))


def test_sparse():
    """Check that sparse data go through where the estimator takes them."""
    detector = OODDetector(LogisticRegression(), random_state=0)
    dense = detector.fit(X, Y).decision_function(X)
    sparse = detector.fit(csr_array(X), Y).decision_function(csr_array(X))
    assert_allclose(sparse, dense, atol=1e-6)
    assert get_tags(detector).input_tags == get_tags(LogisticRegression()).input_tags


def test_precomputed_kernel():
    """Check that a kernel is cut in rows and columns."""
    kernel = X @ X.T
    detector = OODDetector(SVC(kernel="precomputed"), random_state=0).fit(kernel, Y)
    linear = OODDetector(SVC(kernel="linear"), random_state=0).fit(X, Y)
    assert_allclose(detector.threshold_, linear.threshold_, rtol=1e-6)


def test_column_vector_of_labels():
    """Check that labels may be a column, as some estimators allow."""
    detector = OODDetector(FirstFeature(), random_state=0)
    expected = detector.fit(X, Y).threshold_
    assert detector.fit(X, Y[:, None]).threshold_ == expected


def test_random_state():
    """Check that random_state draws the share, and nothing else does."""
    detector = OODDetector(RandomForestClassifier(5, random_state=0), random_state=1)
    first = detector.fit(X, Y).calibration_scores_
    np.random.seed(9)
    assert_array_equal(detector.fit(X, Y).calibration_scores_, first)
    other = detector.set_params(random_state=2).fit(X, Y).calibration_scores_
    assert (other != first).any()


def test_grid_search():
    """Check that a search can choose parameters of the estimator inside."""
    X, _ = make_blobs(90, centers=[[-5, 0], [5, 0]], random_state=0)
    scorer = make_ood_scorer(X_ood=np.zeros((1, 2)))  # between the blobs
    detector = OODDetector(GaussianMixture(random_state=0), cv=3)
    grid = {"estimator__n_components": [1, 2]}
    search = GridSearchCV(detector, grid, scoring=scorer, cv=3).fit(X)
    assert_array_equal(search.cv_results_["mean_test_score"], [0.0, 1.0])
    assert search.best_params_ == {"estimator__n_components": 2}


def test_inputs_unchanged():
    """Check that neither data nor estimator are changed by fit."""
    X_frozen, y_frozen = X.copy(), Y.copy()
    X_frozen.flags.writeable = y_frozen.flags.writeable = False
    clf = LogisticRegression()
    OODDetector(clf, random_state=0).fit(X_frozen, y_frozen).predict(X_frozen)
    assert not hasattr(clf, "coef_")
