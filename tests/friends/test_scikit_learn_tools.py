# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tools around our estimators, as the page docs/guide/friends.rst says.

Tools that other files test are named on that page only.
"""

from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import make_blobs
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFromModel,
    SequentialFeatureSelector,
)
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    balanced_accuracy_score,
    roc_auc_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import estimator_html_repr

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.metrics import auroc

# Two features that tell three classes apart, and two of noise.
X, Y = make_blobs(120, centers=[[0, 3], [3, -2], [-3, -2]], random_state=0)
X = np.c_[X, np.random.default_rng(0).normal(size=(120, 2))]
TRAIN, TEST, Y_TRAIN, Y_TEST = X[:80], X[80:], Y[:80], Y[80:]
BINARY = (Y_TRAIN > 0).astype(int), (Y_TEST > 0).astype(int)
fast = partial(
    ConfidentClassifier,
    hidden=(16,),
    ood_source=None,
    method="msp",
    lr=0.02,
    max_epochs=10,
    random_state=0,
)


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted classifier of three classes."""
    return fast().fit(TRAIN, Y_TRAIN)


@pytest.fixture(scope="module")
def fitted_binary():
    """Return a fitted classifier of two classes."""
    return fast().fit(TRAIN, BINARY[0])


def coefficients(clf):
    """Return the weights of a linear head, as ``coef_`` of a linear model has them."""
    return clf.net_.module_.head.weight.detach().numpy()


def test_randomized_search():
    """Check that points of a random search are fitted as they would be alone."""
    search = RandomizedSearchCV(
        fast(), {"lr": [0.01, 0.02, 0.03]}, n_iter=2, cv=2, random_state=0
    ).fit(TRAIN, Y_TRAIN)
    alone = fast(**search.best_params_).fit(TRAIN, Y_TRAIN)
    assert_array_equal(search.predict_proba(TEST), alone.predict_proba(TEST))


@pytest.mark.parametrize("resource", ["n_samples", "max_epochs"])
def test_halving_search(resource):
    """Check that halving finds the rate that learns, over rows and over epochs."""
    limits = {} if resource == "n_samples" else {"max_resources": 8}
    search = HalvingGridSearchCV(
        fast(),
        {"lr": [1e-6, 0.03]},
        cv=2,
        factor=2,
        resource=resource,
        min_resources=20 if resource == "n_samples" else 4,
        random_state=0,
        **limits,
    ).fit(TRAIN, Y_TRAIN)
    assert search.best_params_["lr"] == 0.03
    assert search.n_iterations_ == 2


def test_nested_cross_validation():
    """Check a search inside of cross-validation."""
    search = GridSearchCV(fast(), {"hidden": [(8,), (16,)]}, cv=2)
    scores = cross_val_score(search, TRAIN, Y_TRAIN, cv=2)
    assert (scores > 0.9).all()


def test_learning_curve():
    """Check that the last point of the curve is the score of a plain fit."""
    sizes, _, scores = learning_curve(
        fast(), X, Y, train_sizes=[20, 80], cv=[(np.arange(80), np.arange(80, 120))]
    )
    assert sizes.tolist() == [20, 80]
    assert scores[1, 0] == fast().fit(TRAIN, Y_TRAIN).score(TEST, Y_TEST)


def test_learning_curve_display():
    """Check that the display draws a curve over the sizes."""
    display = LearningCurveDisplay.from_estimator(
        fast(), X, Y, train_sizes=[0.5, 1.0], cv=2
    )
    assert_array_equal(display.lines_[0].get_xdata(), [30, 60])


def test_validation_curve():
    """Check that the curve over epochs has the scores of plain fits."""
    split = [(np.arange(80), np.arange(80, 120))]
    _, scores = validation_curve(
        fast(), X, Y, param_name="max_epochs", param_range=[1, 5], cv=split
    )
    expected = [
        fast(max_epochs=n).fit(TRAIN, Y_TRAIN).score(TEST, Y_TEST) for n in (1, 5)
    ]
    assert scores[:, 0].tolist() == expected


def test_permutation_test_score():
    """Check that true labels score above shuffled ones: p is 1 / (n + 1)."""
    score, shuffled, p = permutation_test_score(
        fast(), X, Y, cv=2, n_permutations=4, random_state=0
    )
    assert score > shuffled.max() and p == 1 / 5


def test_stacking():
    """Check that the final estimator gets out-of-fold probabilities."""
    members = [("ours", fast()), ("forest", RandomForestClassifier(10, random_state=0))]
    stack = StackingClassifier(members, LogisticRegression(), cv=2)
    stack.fit(TRAIN, Y_TRAIN)
    ours, forest = stack.estimators_
    inputs = np.c_[ours.predict_proba(TEST), forest.predict_proba(TEST)]
    expected = stack.final_estimator_.predict_proba(inputs)
    assert_array_equal(stack.predict_proba(TEST), expected)
    assert stack.score(TEST, Y_TEST) > 0.9


def test_hard_voting():
    """Check that most of the votes decide, and that a detector needs more."""
    ensemble = VotingClassifier([(str(s), fast(random_state=s)) for s in range(3)])
    ensemble.fit(TRAIN, Y_TRAIN)
    votes = np.stack([clf.predict(TEST) for clf in ensemble.estimators_])
    counts = np.stack([(votes == label).sum(axis=0) for label in range(3)])
    assert_array_equal(ensemble.predict(TEST), counts.argmax(axis=0))
    with pytest.raises((TypeError, ValueError, AttributeError), match="predict_proba"):
        OODDetector(ensemble).fit(X, Y)


def test_ada_boost():
    """Check the weights of members and rows by the formulas of SAMME."""
    noisy = np.where(np.random.default_rng(0).random(80) < 0.2, 0, Y_TRAIN)
    boosted = AdaBoostClassifier(fast(max_epochs=5), n_estimators=3, random_state=0)
    boosted.fit(TRAIN, noisy)
    assert len(boosted.estimators_) == 3
    errors = boosted.estimator_errors_
    assert_allclose(boosted.estimator_weights_, np.log(1 / errors - 1) + np.log(2))
    wrong = boosted.estimators_[0].predict(TRAIN) != noisy
    assert_allclose(errors[0], wrong.mean())
    weights = np.where(wrong, np.exp(boosted.estimator_weights_[0]), 1.0)
    second = clone(boosted.estimators_[1])
    second.fit(TRAIN, noisy, sample_weight=weights / weights.sum())
    given = boosted.estimators_[1].predict_proba(TEST)
    assert_allclose(given, second.predict_proba(TEST), rtol=1e-5)
    unweighted = clone(second).fit(TRAIN, noisy).predict_proba(TEST)
    assert np.abs(given - unweighted).max() > 0.01


def test_one_vs_rest():
    """Check one classifier for each class, and probabilities in proportion."""
    wrapped = OneVsRestClassifier(fast()).fit(TRAIN, Y_TRAIN)
    p = np.c_[*(clf.predict_proba(TEST)[:, 1] for clf in wrapped.estimators_)]
    assert_allclose(wrapped.predict_proba(TEST), p / p.sum(axis=1, keepdims=True))
    assert wrapped.score(TEST, Y_TEST) > 0.9


def test_one_vs_one():
    """Check one classifier for each pair of classes, on the rows of that pair."""
    wrapped = OneVsOneClassifier(fast()).fit(TRAIN, Y_TRAIN)
    for clf, pair in zip(wrapped.estimators_, [(0, 1), (0, 2), (1, 2)], strict=True):
        rows = np.isin(Y_TRAIN, pair)
        alone = fast().fit(TRAIN[rows], Y_TRAIN[rows])
        assert_array_equal(clf.predict_proba(TEST), alone.predict_proba(TEST))
    assert wrapped.score(TEST, Y_TEST) > 0.9


def test_output_code():
    """Check classifiers of the bits of a code."""
    wrapped = OutputCodeClassifier(fast(), code_size=2, random_state=1)
    assert wrapped.fit(TRAIN, Y_TRAIN).score(TEST, Y_TEST) > 0.9


def test_self_training():
    """Check that rows without a label get one, most of them the right one."""
    few = np.where(np.arange(80) % 4, -1, Y_TRAIN)
    trained = SelfTrainingClassifier(fast(max_epochs=40), threshold=0.8).fit(TRAIN, few)
    was_labelled = (trained.labeled_iter_ > 0) & (few == -1)
    right = trained.transduction_[was_labelled] == Y_TRAIN[was_labelled]
    assert was_labelled.sum() > 30 and right.mean() > 0.95


def test_classifier_chain():
    """Check that the second classifier sees the first label too."""
    labels = np.c_[Y_TRAIN == 0, Y_TRAIN == 1].astype(int)
    chain = ClassifierChain(fast(), order=[0, 1]).fit(TRAIN, labels)
    assert [clf.n_features_in_ for clf in chain.estimators_] == [4, 5]
    assert (chain.predict(TEST) == np.c_[Y_TEST == 0, Y_TEST == 1]).mean() > 0.9


def test_permutation_importance(fitted):
    """Check that the columns of noise matter least."""
    found = permutation_importance(fitted, TEST, Y_TEST, n_repeats=3, random_state=0)
    assert found.importances_mean[:2].min() > found.importances_mean[2:].max() + 0.1


def test_partial_dependence(fitted):
    """Check against the mean prediction with one column set to each value."""
    found = partial_dependence(fitted, TEST, [0], grid_resolution=5)
    expected = []
    for value in found["grid_values"][0]:
        changed = TEST.copy()
        changed[:, 0] = value
        expected.append(fitted.predict_proba(changed).mean(axis=0))
    assert_allclose(found["average"], np.transpose(expected), rtol=1e-6)


def test_partial_dependence_display(fitted):
    """Check that a curve of each of two columns is drawn."""
    display = PartialDependenceDisplay.from_estimator(
        fitted, TEST, [0, 1], target=2, grid_resolution=5
    )
    assert display.lines_.shape == (1, 2)


def test_decision_boundary_display(fitted_binary):
    """Check that the surface is the probability at the points of the grid."""
    clf = fast().fit(TRAIN[:, :2], BINARY[0])
    display = DecisionBoundaryDisplay.from_estimator(
        clf, TRAIN[:, :2], grid_resolution=5, response_method="predict_proba"
    )
    grid = np.c_[display.xx0.ravel(), display.xx1.ravel()]
    assert_allclose(display.response.ravel(), clf.predict_proba(grid)[:, 1])


def test_displays_of_metrics(fitted, fitted_binary):
    """Check the numbers behind curves of scikit-learn's own displays."""
    roc = RocCurveDisplay.from_estimator(fitted_binary, TEST, BINARY[1])
    p = fitted_binary.predict_proba(TEST)[:, 1]
    assert np.ravel(roc.roc_auc)[0] == roc_auc_score(BINARY[1], p)
    calibration = CalibrationDisplay.from_estimator(fitted_binary, TEST, BINARY[1])
    assert_array_equal(calibration.y_prob, p)
    confusion = ConfusionMatrixDisplay.from_estimator(fitted, TEST, Y_TEST)
    right = np.trace(confusion.confusion_matrix)
    assert right / len(Y_TEST) == fitted.score(TEST, Y_TEST)


@pytest.mark.parametrize("selector", [SelectFromModel, RFE, RFECV])
def test_selection_by_coefficients_is_refused(selector):
    """Check that a network without coef_ is refused by name."""
    with pytest.raises((ValueError, AttributeError), match=r"coef_|importance_getter"):
        selector(fast(max_epochs=1)).fit(TRAIN, Y_TRAIN).get_support()


@pytest.mark.parametrize(
    "selector",
    [
        partial(SelectFromModel, max_features=2, threshold=-np.inf),
        partial(RFE, n_features_to_select=2),
        partial(RFECV, min_features_to_select=2, cv=2),
    ],
    ids=["SelectFromModel", "RFE", "RFECV"],
)
def test_selection_by_a_function(selector):
    """Check that the columns that tell classes apart are kept, by a function."""
    linear = fast(hidden=(), max_epochs=30)
    chosen = selector(linear, importance_getter=coefficients).fit(TRAIN, Y_TRAIN)
    assert chosen.get_support()[:2].all()


def test_sequential_selection():
    """Check that forward selection finds the columns that tell classes apart."""
    chosen = SequentialFeatureSelector(
        fast(max_epochs=5), n_features_to_select=2, cv=2
    ).fit(TRAIN, Y_TRAIN)
    assert chosen.get_support().tolist() == [True, True, False, False]


def test_tuned_threshold():
    """Check that the threshold on the probability is the best one for the scorer."""
    half = [(np.arange(40), np.arange(40, 80))]
    tuned = TunedThresholdClassifierCV(
        fast(max_epochs=3),
        scoring="balanced_accuracy",
        cv=half,
        refit=True,
        store_cv_results=True,
    ).fit(TRAIN, BINARY[0])
    p = fast(max_epochs=3).fit(TRAIN[:40], BINARY[0][:40]).predict_proba(TRAIN[40:])
    scores = [
        balanced_accuracy_score(BINARY[0][40:], p[:, 1] >= threshold)
        for threshold in tuned.cv_results_["thresholds"]
    ]
    assert_allclose(tuned.cv_results_["scores"], scores)
    assert_allclose(tuned.best_score_, max(scores))
    p = fast(max_epochs=3).fit(TRAIN, BINARY[0]).predict_proba(TEST)[:, 1]
    assert_array_equal(tuned.predict(TEST), p >= tuned.best_threshold_)


def test_fixed_threshold(fitted_binary):
    """Check that a threshold on the probability decides."""
    fixed = FixedThresholdClassifier(
        clone(fitted_binary), threshold=0.9, response_method="predict_proba"
    ).fit(TRAIN, BINARY[0])
    expected = fitted_binary.predict_proba(TEST)[:, 1] >= 0.9
    assert_array_equal(fixed.predict(TEST), expected)


def test_dummy_classifier():
    """Check that a detector over a constant guess cannot tell anything apart."""
    detector = OODDetector(DummyClassifier(), target_tpr=0.8, random_state=0).fit(
        TRAIN, Y_TRAIN
    )
    scores = [detector.score_samples(Z) for Z in (TEST, TEST + 100)]
    assert auroc(np.repeat([1, 0], 40), np.concatenate(scores)) == 0.5


def test_set_output_polars():
    """Check that a detector gives tables of polars, with its column's name."""
    detector = OODDetector(fast(), target_tpr=0.9, random_state=0)
    table = detector.set_output(transform="polars").fit(TRAIN, Y_TRAIN).transform(TEST)
    assert isinstance(table, pl.DataFrame)
    assert_array_equal(table["ooddetector0"], detector.predict(TEST) == 1)


def test_set_output_of_a_scaler():
    """Check that names of columns go through a scaler to the classifier."""
    frame = pd.DataFrame(TRAIN, columns=list("abcd"))
    pipe = make_pipeline(StandardScaler(), fast()).set_output(transform="pandas")
    pipe.fit(frame, Y_TRAIN)
    assert pipe[-1].feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize(
    "estimator", [fast(), OODDetector(fast()), OpenSetClassifier(fast())]
)
def test_html(estimator):
    """Check the diagram of an estimator, and that it shows changed parameters."""
    page = estimator_html_repr(make_pipeline(StandardScaler(), estimator))
    assert type(estimator).__name__ in page and "max_epochs" in page


def test_threads_of_joblib():
    """Check that jobs in threads give the bits of one job."""
    alone = cross_val_score(fast(), TRAIN, Y_TRAIN, cv=2, scoring="neg_log_loss")
    with joblib.parallel_config("threading", n_jobs=2):
        scores = cross_val_score(fast(), TRAIN, Y_TRAIN, cv=2, scoring="neg_log_loss")
    assert_array_equal(scores, alone)


def test_cached_steps(tmp_path):
    """Check that steps from a cache give the same predictions."""
    pipe = make_pipeline(StandardScaler(), fast(), memory=str(tmp_path))
    first = pipe.fit(TRAIN, Y_TRAIN).predict_proba(TEST)
    assert_array_equal(pipe.fit(TRAIN, Y_TRAIN).predict_proba(TEST), first)
    assert list(tmp_path.rglob("output.pkl"))
