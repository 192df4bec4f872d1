# SPDX-License-Identifier: BSD-3-Clause
"""Other libraries around our estimators, as the page docs/guide/friends.rst says.

``make test-friends`` installs the libraries and runs these tests.
"""

from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, load, save

pytestmark = [
    pytest.mark.friends,
    # What these libraries warn of themselves is theirs to mend.
    pytest.mark.filterwarnings("default"),
]

X, Y = make_blobs(150, centers=[[0, 3], [3, -2], [-3, -2]], random_state=0)
X = np.c_[X, np.random.default_rng(0).normal(size=(150, 2))]
TRAIN, TEST, Y_TRAIN, Y_TEST = X[:100], X[100:], Y[:100], Y[100:]
# The same, with few rows of class 2.
FEW = np.r_[np.flatnonzero(Y_TRAIN < 2), np.flatnonzero(Y_TRAIN == 2)[:8]]
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
    """Return a fitted classifier."""
    return fast().fit(TRAIN, Y_TRAIN)


def test_imbalanced_learn_pipeline():
    """Check that a sampler in a pipeline makes the rows that it makes alone."""
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline

    sampler = RandomOverSampler(random_state=0)
    X_even, y_even = sampler.fit_resample(TRAIN[FEW], Y_TRAIN[FEW])
    assert len(set(np.bincount(y_even))) == 1
    pipe = make_pipeline(sampler, fast()).fit(TRAIN[FEW], Y_TRAIN[FEW])
    expected = fast().fit(X_even, y_even).predict_proba(TEST)
    assert_array_equal(pipe.predict_proba(TEST), expected)


def test_imbalanced_learn_smote():
    """Check that SMOTE in a pipeline, in a detector, still accepts what is known."""
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline

    pipe = make_pipeline(SMOTE(k_neighbors=3, random_state=0), fast())
    detector = OODDetector(pipe, target_tpr=0.9, random_state=0)
    detector.fit(TRAIN[FEW], Y_TRAIN[FEW])
    assert (detector.predict(TEST) == 1).mean() > 0.75
    # Only real rows calibrate: the sampler is a part of what is fitted.
    assert detector.n_calibration_ < len(FEW) // 3


def test_imbalanced_learn_bagging():
    """Check an ensemble of ours, each on as many rows of every class."""
    from imblearn.ensemble import BalancedBaggingClassifier

    bagged = BalancedBaggingClassifier(fast(), n_estimators=2, random_state=0)
    bagged.fit(TRAIN[FEW], Y_TRAIN[FEW])
    for (sampler, clf), rows in zip(
        bagged.estimators_, bagged.estimators_samples_, strict=True
    ):
        even = FEW[rows][sampler.sample_indices_]
        assert len(set(np.bincount(Y_TRAIN[even]))) == 1
        alone = clone(clf).fit(TRAIN[even], Y_TRAIN[even])
        assert_array_equal(clf.predict_proba(TEST), alone.predict_proba(TEST))
    assert bagged.score(TEST, Y_TEST) > 0.9


def test_optuna():
    """Check that a study finds the rate that learns."""
    import optuna

    def objective(trial):
        lr = trial.suggest_categorical("lr", [1e-6, 0.02])
        return fast(lr=lr).fit(TRAIN, Y_TRAIN).score(TEST, Y_TEST)

    sampler = optuna.samplers.GridSampler({"lr": [1e-6, 0.02]})
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective)
    assert study.best_params == {"lr": 0.02}


def test_optuna_pruning():
    """Check that a trial that does not learn is pruned, after a partial_fit."""
    import optuna

    def objective(trial):
        lr = trial.suggest_categorical("lr", [1e-6, 0.02])
        clf = fast(lr=lr, max_epochs=2, lr_schedule=None)
        for step in range(4):
            clf.partial_fit(TRAIN, Y_TRAIN, classes=[0, 1, 2])
            trial.report(clf.score(TEST, Y_TEST), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return clf.score(TEST, Y_TEST)

    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.ThresholdPruner(lower=0.6, n_warmup_steps=1),
    )
    for lr in (0.02, 1e-6):
        study.enqueue_trial({"lr": lr})
    study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]


def test_skops_is_refused(fitted, tmp_path):
    """Check that skops cannot write a network, and that our file holds the pipeline."""
    import skops.io

    with pytest.raises(RuntimeError, match="Tensor"):
        skops.io.dumps(fitted)
    pipe = make_pipeline(StandardScaler(), fast()).fit(TRAIN, Y_TRAIN)
    save(pipe, tmp_path / "pipe.safetensors")
    loaded = load(tmp_path / "pipe.safetensors")
    assert_array_equal(loaded.predict_proba(TEST), pipe.predict_proba(TEST))


def test_shap(fitted):
    """Check that values of features add up to the probability, and where they are."""
    import shap

    explainer = shap.Explainer(
        fitted.predict_proba, shap.maskers.Independent(TRAIN, 50), seed=0
    )
    found = explainer(TEST[:10])
    total = found.base_values + found.values.sum(axis=1)
    assert_allclose(total, fitted.predict_proba(TEST[:10]), atol=1e-6)
    size = np.abs(found.values).mean(axis=(0, 2))
    assert size[:2].min() > 2 * size[2:].max()


def test_shap_of_a_score(fitted):
    """Check that a column with a wrong unit explains why a row is unknown."""
    import shap

    clf = fast(method="mahalanobis").fit(TRAIN, Y_TRAIN)
    wrong = TEST[:5].copy()
    wrong[:, 3] *= 1000
    explainer = shap.Explainer(
        clf.ood_score, shap.maskers.Independent(TRAIN, 50), seed=0
    )
    found = explainer(wrong)
    assert (found.values.argmax(axis=1) == 3).all()


def test_shap_of_the_network(fitted):
    """Check that gradients of the network add up to differences of logits."""
    import shap

    background = torch.as_tensor(TRAIN, dtype=torch.float32)
    explainer = shap.GradientExplainer(fitted.net_.module_, background)
    values = explainer.shap_values(
        torch.as_tensor(TEST[:5], dtype=torch.float32), rseed=0, nsamples=2000
    )
    logits = fitted.decision_function
    expected = logits(TEST[:5]) - logits(TRAIN).mean(axis=0)
    assert_allclose(values.sum(axis=1), expected, atol=0.2)


def test_mapie(fitted):
    """Check that conformal sets of classes hold the class as often as asked for."""
    from mapie.classification import SplitConformalClassifier

    X_more, y_more = make_blobs(
        1200, centers=[[0, 1], [1, -1], [-1, -1]], random_state=1
    )
    clf = fast().fit(X_more[:200], y_more[:200])
    conformal = SplitConformalClassifier(clf, confidence_level=0.9, prefit=True)
    conformal.conformalize(X_more[200:700], y_more[200:700])
    _, sets = conformal.predict_set(X_more[700:])
    held = sets[np.arange(500), y_more[700:], 0]
    assert 0.86 < held.mean() < 0.95


def test_dask_ml_parallel_post_fit(fitted):
    """Check that blocks of a Dask array get the labels of the array as a whole."""
    import dask.array as da
    from dask_ml.wrappers import ParallelPostFit

    blocks = da.from_array(TEST.astype(np.float32), chunks=(20, 4))
    wrapped = ParallelPostFit(fitted)
    assert_array_equal(wrapped.predict(blocks).compute(), fitted.predict(TEST))


def test_dask_ml_incremental():
    """Check that blocks go to partial_fit one after the other."""
    import dask.array as da
    from dask_ml.wrappers import Incremental

    clf = fast(lr_schedule=None)
    wrapped = Incremental(clf, shuffle_blocks=False)
    wrapped.fit(
        da.from_array(TRAIN, chunks=(50, 4)),
        da.from_array(Y_TRAIN, chunks=50),
        classes=[0, 1, 2],
    )
    expected = fast(lr_schedule=None)
    for part in (slice(50), slice(50, 100)):
        expected.partial_fit(TRAIN[part], Y_TRAIN[part], classes=[0, 1, 2])
    assert_array_equal(
        wrapped.estimator_.predict_proba(TEST), expected.predict_proba(TEST)
    )


def test_mlflow(fitted, tmp_path):
    """Check that a model that mlflow pickled predicts the same."""
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        fitted, tmp_path / "model", serialization_format="cloudpickle"
    )
    loaded = mlflow.sklearn.load_model(tmp_path / "model")
    assert_array_equal(loaded.predict_proba(TEST), fitted.predict_proba(TEST))


def test_cleanlab():
    """Check that wrong labels are found, from out-of-fold probabilities."""
    from cleanlab.filter import find_label_issues

    wrong = np.random.default_rng(0).choice(len(Y), 10, replace=False)
    noisy = Y.copy()
    noisy[wrong] = (noisy[wrong] + 1) % 3
    p = cross_val_predict(fast(), X, noisy, cv=3, method="predict_proba")
    found = np.flatnonzero(find_label_issues(noisy, p))
    assert len(set(found) & set(wrong)) >= 9
    assert len(found) <= 15


def test_cleanlab_clean_learning():
    """Check which labels it takes for wrong, and that it predicts the true ones."""
    from cleanlab.classification import CleanLearning

    noisy = np.where(np.random.default_rng(0).random(150) < 0.1, 0, Y)
    clean = CleanLearning(fast(), cv_n_folds=3, seed=0).fit(X, noisy)
    found = clean.get_label_issues()["is_label_issue"]
    assert (found == (noisy != Y)).mean() > 0.97 > (noisy == Y).mean()
    assert (clean.predict(X) == Y).mean() > 0.95


def test_skrub():
    """Check a table of text and numbers, without a step by hand."""
    from skrub import tabular_pipeline

    names = np.array(["low", "middle", "high"])
    frame = pd.DataFrame({"number": X[:, 2], "name": names[Y]})
    pipe = tabular_pipeline(fast(max_epochs=30)).fit(frame[:100], Y_TRAIN)
    assert pipe.score(frame[100:], Y_TEST) > 0.95


def test_category_encoders():
    """Check an encoder of categories before ours."""
    from category_encoders import OrdinalEncoder

    frame = pd.DataFrame({"number": X[:, 2], "name": np.array(list("abc"))[Y]})
    pipe = make_pipeline(OrdinalEncoder(), StandardScaler(), fast(max_epochs=40))
    assert pipe.fit(frame[:100], Y_TRAIN).score(frame[100:], Y_TEST) > 0.95


def test_skl2onnx_is_refused(fitted):
    """Check that the converter of scikit-learn does not know ours."""
    from skl2onnx import to_onnx
    from skl2onnx.common.exceptions import MissingShapeCalculator

    with pytest.raises(MissingShapeCalculator, match="ConfidentClassifier"):
        to_onnx(fitted, TEST[:1].astype(np.float32))


@pytest.mark.parametrize(
    "library", ["lightgbm.LGBMClassifier", "xgboost.XGBClassifier"]
)
def test_boosted_trees(library):
    """Check that a detector over trees scores by the largest probability."""
    module, name = library.split(".")
    trees = getattr(import_module(module), name)(n_estimators=10, random_state=0)
    detector = OODDetector(trees, target_tpr=0.9, random_state=0).fit(X, Y)
    largest = detector.estimator_.predict_proba(TEST).max(axis=1)
    assert_allclose(detector.ood_score(TEST), 1 - largest, atol=1e-6)
    assert np.ptp(largest) > 0.1


def test_skorch_net():
    """Check that a detector over a net of skorch scores by the largest probability."""
    from skorch import NeuralNetClassifier

    layers = nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1)
    net = NeuralNetClassifier(
        nn.Sequential(*layers), classes=[0, 1, 2], max_epochs=10, lr=0.1, verbose=0
    )
    rows = X.astype(np.float32)
    detector = OODDetector(net, target_tpr=0.9, random_state=0).fit(rows, Y)
    largest = detector.estimator_.predict_proba(rows).max(axis=1)
    assert_allclose(detector.ood_score(rows), 1 - largest, atol=1e-6)
    assert np.ptp(largest) > 0.1


def test_lime(fitted):
    """Check that a row is explained by the columns that tell classes apart."""
    from lime.lime_tabular import LimeTabularExplainer

    explainer = LimeTabularExplainer(TRAIN, discretize_continuous=False, random_state=0)
    label = fitted.predict(TEST[:1])[0]
    found = explainer.explain_instance(TEST[0], fitted.predict_proba, labels=[label])
    size = [abs(value) for _, value in sorted(found.as_map()[label])]
    assert min(size[:2]) > 2 * max(size[2:])


def test_fairlearn():
    """Check that both ways to even out two groups narrow the gap between them."""
    from fairlearn.metrics import demographic_parity_difference
    from fairlearn.postprocessing import ThresholdOptimizer
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    group = (X[:, 2] > 0).astype(int)
    y = (X[:, 2] + X[:, 3] > 0).astype(int)
    clf = fast().fit(X, y)
    weighted = ExponentiatedGradient(fast(), DemographicParity(), max_iter=5)
    weighted.fit(X, y, sensitive_features=group)
    moved = ThresholdOptimizer(
        estimator=clf, prefit=True, predict_method="predict_proba"
    ).fit(X, y, sensitive_features=group)
    predictions = (
        clf.predict(X),
        weighted.predict(X, random_state=0),
        moved.predict(X, sensitive_features=group, random_state=0),
    )
    plain, *others = (
        demographic_parity_difference(y, p, sensitive_features=group)
        for p in predictions
    )
    assert max(others) < plain / 2


def test_feature_engine():
    """Check an encoder of categories before ours."""
    from feature_engine.encoding import OneHotEncoder

    frame = pd.DataFrame({"number": X[:, 2], "name": np.array(list("abc"))[Y]})
    pipe = make_pipeline(OneHotEncoder(), StandardScaler(), fast(max_epochs=40))
    assert pipe.fit(frame[:100], Y_TRAIN).score(frame[100:], Y_TEST) > 0.95


def test_mlxtend(fitted):
    """Check forward selection, and the mean probabilities of fitted classifiers."""
    from mlxtend.classifier import EnsembleVoteClassifier
    from mlxtend.feature_selection import SequentialFeatureSelector

    chosen = SequentialFeatureSelector(fast(max_epochs=5), k_features=2, cv=2)
    assert chosen.fit(TRAIN, Y_TRAIN).k_feature_idx_ == (0, 1)
    members = [fitted, fast(random_state=1).fit(TRAIN, Y_TRAIN)]
    ensemble = EnsembleVoteClassifier(members, voting="soft", fit_base_estimators=False)
    p = ensemble.fit(TRAIN, Y_TRAIN).predict_proba(TEST)
    assert_allclose(p, np.mean([clf.predict_proba(TEST) for clf in members], axis=0))


def test_scikit_optimize():
    """Check that a search over a continuous range finds a rate that learns."""
    from skopt import BayesSearchCV

    space = {"lr": (1e-6, 0.1, "log-uniform")}
    search = BayesSearchCV(fast(), space, n_iter=6, cv=2, random_state=0)
    search.fit(TRAIN, Y_TRAIN)
    assert 0.005 < search.best_params_["lr"] and search.score(TEST, Y_TEST) > 0.9


def test_jupyter():
    """Check that a notebook shows a bar, which ends full, and no lines."""
    import nbformat
    from nbclient import NotebookClient

    code = """
from sklearn.datasets import load_iris
from confident_clf import ConfidentClassifier
X, y = load_iris(return_X_y=True)
clf = ConfidentClassifier(lr=0.02, max_epochs=20, random_state=0, verbose=1).fit(X, y)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client = NotebookClient(notebook, timeout=120)
    client.execute()
    (shown,) = notebook.cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    states = client.widget_state.values()
    (bar,) = (s for s in states if s["_model_name"] == "FloatProgressModel")
    assert [bar["value"], bar["max"], bar["bar_style"]] == [20, 20, "success"]
    texts = " ".join(s["value"] for s in states if s["_model_name"] == "HTMLModel")
    texts = texts.replace("\u2007", " ")  # a space as wide as a digit
    assert "epoch 20 of 20" in texts and "classifier" in texts
