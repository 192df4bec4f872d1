# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's callbacks: what they are told of a fit, and what they may do."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import (
    ConfidentClassifier,
    DivergenceError,
    OODDetector,
    dumps,
    loads,
)

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from version 1.9 on"
)
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)


class Records:
    """Keeps what it is told, and may ask to stop after some epochs."""

    def __init__(self, stop_after=None):
        self.calls, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name, context.max_subtasks))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name, context.max_subtasks))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append(("begin", context.task_name, context.task_id))
        self.data = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.calls.append(("end", context.task_name, context.task_id))
        self.fitted = fitted_estimator
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


def make(**params):
    """Return a classifier that trains briefly."""
    return ConfidentClassifier(**{"max_epochs": 3, "random_state": 0, **params})


def epochs(n):
    """Return what callbacks are told of the epochs of a fit."""
    return [(what, "epoch", i) for i in range(n) for what in ("begin", "end")]


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}], ids=str)
def test_every_task(params):
    """Check the order of the calls, the data, and that the fit is the same."""
    records, weight = Records(), np.ones(150)
    clf = make(**params).set_callbacks(records).fit(X, Y, sample_weight=weight)
    fit = [("setup", "fit", 3), ("begin", "fit", 0)]
    end = [("end", "fit", 0), ("teardown", "fit", 3)]
    assert records.calls == fit + epochs(3) + end
    assert records.data[0] is X and records.data[1] is Y
    assert records.data[2]["sample_weight"] is weight
    alone = make(**params).fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(clf.predict_proba(X), alone.predict_proba(X))
    assert vars(clf).keys() - vars(alone).keys() == {"_skl_callbacks"}
    assert [name for name, _ in clf.net_.callbacks_] == [
        name for name, _ in alone.net_.callbacks_
    ]


@pytest.mark.parametrize("method", ["auto", "knn", "msp"])
def test_the_classifier_after_each_epoch(method):
    """Check the classifiers that callbacks get, against fits of as many epochs."""

    class Keeps(Records):
        kept = []

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.kept.append(fitted_estimator)

    keeps = Keeps()
    make(lr_schedule=None, method=method).set_callbacks(keeps).fit(X, Y)
    assert len(keeps.kept) == 4  # three epochs, and the fit
    for n_epochs, found in enumerate(keeps.kept[:3], start=1):
        expected = make(lr_schedule=None, method=method, max_epochs=n_epochs).fit(X, Y)
        np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
        np.testing.assert_array_equal(found.ood_score(X), expected.ood_score(X))
        assert found.n_epochs_ == n_epochs


def test_stopping():
    """Check that a callback can end the fit, whose classifier can be used."""
    records = Records(stop_after=2)
    clf = make().set_callbacks(records).fit(X, Y)
    assert clf.n_epochs_ == 2
    assert records.calls[2:-2] == epochs(2)
    assert np.isfinite(clf.ood_score(X)).all()


def test_errors():
    """Check that callbacks are torn down, and that nothing of the fit stays."""
    records = Records()
    clf = make(lr=1e30, lr_schedule=None, ood_source=None).set_callbacks(records)
    with pytest.raises(DivergenceError) as error:
        clf.fit(X, Y)
    assert records.calls[-1] == ("teardown", "fit", 3)
    kept = [clf, *filter(None, [getattr(error.value, "classifier", None)])]
    for one in kept:
        assert (
            not {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} & vars(one).keys()
        )
    records.calls.clear()
    with pytest.raises(ValueError, match="one class"):
        make().set_callbacks(records).fit(X, np.zeros(150))
    assert [what for what, *_ in records.calls] == ["setup", "begin", "teardown"]


def test_copies():
    """Check that clones and copies share callbacks, and files do not hold them."""
    records = Records()
    clf = make().set_callbacks(records).fit(X, Y)
    for twin in (clone(clf), deepcopy(clf)):
        assert twin._skl_callbacks[0] is records
    for twin in (loads(dumps(clf)), pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(twin.predict_proba(X), clf.predict_proba(X))
    assert not hasattr(loads(dumps(clf)), "_skl_callbacks")


def test_inside_others():
    """Check a detector and a search: every fit of a clone is told."""
    records = Records()
    OODDetector(make().set_callbacks(records), cv=2).fit(X, Y)
    assert sum(call[:2] == ("begin", "fit") for call in records.calls) == 3
    records.calls.clear()
    GridSearchCV(make().set_callbacks(records), {"lr": [1e-3, 1e-2]}, cv=2).fit(X, Y)
    assert sum(call[:2] == ("begin", "fit") for call in records.calls) == 5


def test_scoring_monitor_in_a_pipeline(capsys):
    """Check scikit-learn's own callbacks, which a pipeline passes on."""
    monitor = callback.ScoringMonitor(scoring="accuracy")
    pipe = make_pipeline(StandardScaler(), make(lr_schedule=None))
    pipe.set_callbacks(callback.ProgressBar())
    pipe[-1].set_callbacks(monitor)
    pipe.fit(X, Y)
    logged = [row["accuracy"] for row in monitor.get_logs().data]
    scaled = StandardScaler().fit_transform(X)
    by_hand = [
        make(lr_schedule=None, max_epochs=n).fit(scaled, Y).score(scaled, Y)
        for n in (1, 2, 3)
    ]
    np.testing.assert_allclose(sorted(logged)[:3], sorted(by_hand))
    assert "ConfidentClassifier - fit" in capsys.readouterr().out


@pytest.mark.slow
def test_processes():
    """Check a search in two processes: the scores come back to this one."""
    monitor = callback.ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(
        make().set_callbacks(monitor), {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=2, refit=False
    )
    search.fit(X, Y)
    logs = monitor.get_logs(select="all")
    # Four fits, each with three epochs and an end.
    assert sum(len(run.data) for run in logs) == 16
