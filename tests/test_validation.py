# SPDX-License-Identifier: BSD-3-Clause
"""Tests of samples to validate on: given to fit, or held back by classes or groups."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
)
from confident_clf._validation import hold_back

X, Y = make_blobs(240, centers=3, cluster_std=2.0, random_state=0)
X = (X / 5).astype(np.float32)
TRAIN, NEW = (X[:180], Y[:180]), (X[180:], Y[180:])
VAL = {"X_val": NEW[0], "y_val": NEW[1]}


def fast(**params):
    """Return a classifier that is fitted in a fraction of a second."""
    defaults = {"ood_source": None, "method": "msp", "max_epochs": 8, "lr": 0.01}
    return ConfidentClassifier(**{**defaults, "random_state": 0, **params})


class Rows(Callback):
    """Keep the rows that are trained and validated on."""

    def __init__(self):
        self.train, self.valid = [], []

    def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
        for kept, dataset in ((self.train, dataset_train), (self.valid, dataset_valid)):
            kept[:] = [] if dataset is None else dataset.X.tolist()


def rows_of(clf):
    """Return the rows that were trained on and validated on."""
    rows = dict(clf.net_.callbacks_)["Rows"]
    return rows.train, rows.valid


# Samples that are given


@pytest.mark.parametrize("ood_source", [None, "joint", "noise"])
def test_the_loss_on_given_samples(ood_source):
    """Check the last "valid_loss" by scikit-learn, and that all of X is trained on."""
    clf = fast(ood_source=ood_source, callbacks=[Rows()], ood_target="uniform")
    clf.fit(*TRAIN, **VAL)
    expected = log_loss(NEW[1], clf.predict_proba(NEW[0]))
    assert clf.history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-5)
    train, valid = rows_of(clf)
    assert sorted(train) == sorted(TRAIN[0].tolist())
    assert sorted(valid) == sorted(NEW[0].tolist())


def test_given_samples_do_not_change_a_fit():
    """Check that without early stopping they are looked at only, to the bit."""
    plain, watched = fast().fit(*TRAIN), fast().fit(*TRAIN, **VAL)
    assert (plain.predict_proba(X) == watched.predict_proba(X)).all()


def test_early_stopping_on_given_samples():
    """Check that it goes back to the epoch with the smallest loss there."""
    clf = fast(early_stopping=True, n_iter_no_change=3, max_epochs=60, lr=0.05)
    clf.fit(*TRAIN, **VAL)
    losses = clf.history_[:, "valid_loss"]
    assert len(losses) < 60
    expected = log_loss(NEW[1], clf.predict_proba(NEW[0]))
    assert min(losses) == pytest.approx(expected, rel=1e-5)


def test_callbacks_use_given_samples():
    """Check a score by name, skorch's early stopping and a file's epoch."""
    score = EpochScoring("accuracy", lower_is_better=False)
    stop = EarlyStopping("accuracy", lower_is_better=False, patience=3)
    files = dict.fromkeys(["f_params", "f_optimizer", "f_criterion", "f_history"])
    best = Checkpoint(**files)
    clf = fast(callbacks=[score, best, stop], max_epochs=30).fit(*TRAIN, **VAL)
    accuracy = accuracy_score(NEW[1], clf.predict(NEW[0]))
    assert clf.history_[-1, "accuracy"] == pytest.approx(accuracy)
    assert clf.history_[:, "event_cp"] == clf.history_[:, "valid_loss_best"]
    assert clf.n_epochs_ < 30


def test_given_images():
    """Check pixels of uint8, and an image of another shape."""
    images, y = load_digits(return_X_y=True)
    images = (images[:120].reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    clf = fast(max_epochs=1).fit(
        images[:90], y[:90], X_val=images[90:], y_val=y[90:120]
    )
    expected = log_loss(y[90:120], clf.predict_proba(images[90:]), labels=clf.classes_)
    assert clf.history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match=r"X_val has samples of shape \(1, 7, 8\)"):
        clf.fit(images[:90], y[:90], X_val=images[90:, :, 1:], y_val=y[90:120])


def test_labels_of_given_samples():
    """Check strings and the label of OOD rows, which are left out."""
    names = np.array(["a", "b", "c", "unknown"])[NEW[1]]
    names[:5] = "unknown"
    clf = fast(ood_label="unknown", callbacks=[Rows()])
    clf.fit(TRAIN[0], np.array(["a", "b", "c"])[TRAIN[1]], X_val=NEW[0], y_val=names)
    assert len(rows_of(clf)[1]) == len(NEW[0]) - 5


def test_a_second_fit_validates_too():
    """Check a warm start, and that fit does not keep the samples of the first."""
    clf = fast(warm_start=True, max_epochs=2).fit(*TRAIN, **VAL)
    clf.fit(*TRAIN, X_val=NEW[0][:9], y_val=NEW[1][:9])
    expected = log_loss(NEW[1][:9], clf.predict_proba(NEW[0][:9]), labels=[0, 1, 2])
    assert clf.history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-5)
    assert "valid_loss" not in clf.fit(*TRAIN).history_[-1]


def test_a_checkpoint_is_of_its_validation_samples(tmp_path):
    """Check that other samples to validate on are another fit."""
    clf = fast(checkpoint=tmp_path, early_stopping=True).fit(*TRAIN, **VAL)
    clone(clf).fit(*TRAIN, **VAL)
    with pytest.raises(ValueError, match="X_val"):
        clf.fit(*TRAIN, X_val=NEW[0][::-1], y_val=NEW[1][::-1])


REFUSED = {
    "no labels": ({"X_val": NEW[0]}, "go together: y_val is missing"),
    "no samples": ({"y_val": NEW[1]}, "go together: X_val is missing"),
    "fewer labels": ({"X_val": NEW[0], "y_val": NEW[1][1:]}, r"\[60, 59\]"),
    "other labels": ({**VAL, "y_val": NEW[1] + 1}, r"y_val has labels \[3\] that are"),
    "missing labels": ({**VAL, "y_val": [None] * 60}, "60 of 60 labels are missing"),
    "other features": ({**VAL, "X_val": NEW[0][:, :1]}, r"X_val has samples of shape"),
    "NaN": ({**VAL, "X_val": NEW[0] * np.nan}, "Input X_val contains NaN"),
    "no rows": ({"X_val": NEW[0][:0], "y_val": []}, "minimum of 1 is required"),
    "dates": ({**VAL, "X_val": np.full((60, 2), np.datetime64(0, "D"))}, "X_val holds"),
    "groups in vain": ({"groups": Y[:180]}, "early_stopping is False"),
    "groups and samples": ({**VAL, "groups": Y[:180]}, "but X_val is given"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    """Check the message, and that nothing was fitted."""
    params, message = REFUSED[what]
    clf = fast()
    with pytest.raises(ValueError, match=message):
        clf.fit(*TRAIN, **params)
    assert not hasattr(clf, "net_") and not hasattr(clf, "classes_")


def test_only_ood_rows_to_validate_on():
    """Check the error where all samples have the label of OOD rows."""
    with pytest.raises(ValueError, match="X_val has no sample of a class"):
        fast(ood_label=-1).fit(*TRAIN, X_val=NEW[0], y_val=np.full(60, -1))


def test_columns_of_given_samples():
    """Check the error for the columns of a table in another order."""
    train, new = (pd.DataFrame(rows, columns=["a", "b"]) for rows in (TRAIN[0], NEW[0]))
    fast(max_epochs=1).fit(train, TRAIN[1], X_val=new, y_val=NEW[1])
    with pytest.raises(ValueError, match=r"X_val has the columns \['b', 'a'\]"):
        fast().fit(train, TRAIN[1], X_val=new[["b", "a"]], y_val=NEW[1])


# In other estimators


@pytest.mark.parametrize(
    "estimator",
    [
        OODDetector(fast(max_epochs=2), random_state=0),
        OODDetector(fast(max_epochs=2), cv=3),
        OpenSetClassifier(fast(max_epochs=2), random_state=0),
        ConfidentClassifierCV(
            fast(max_epochs=4, ood_source="noise"), betas=[0.1, 1], random_state=0
        ),
    ],
    ids=["share", "folds", "open set", "search"],
)
@pytest.mark.parametrize("as_many", [False, True])
def test_given_samples_are_never_split(estimator, as_many):
    """Check them whole, also if they are as many as the training rows.

    The search leaves classes out, and their samples with them.
    """
    rows = np.arange(180) % 60 if as_many else np.arange(60)
    val = {"X_val": NEW[0][rows], "y_val": NEW[1][rows]}
    fitted = clone(estimator).fit(*TRAIN, **val)
    clf = getattr(fitted, "estimator_", None) or fitted.best_estimator_
    expected = log_loss(val["y_val"], clf.predict_proba(val["X_val"]))
    assert clf.history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_given_samples_in_a_pipeline():
    """Check that they are scaled if the pipeline is told to, and bypass it if not."""
    far = TRAIN[0] * 100 + 7
    val = {"X_val": NEW[0] * 100 + 7, "y_val": NEW[1]}
    with sklearn.config_context(enable_metadata_routing=True):
        clf = fast().set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("clf", clf)]
        pipe = Pipeline(steps, transform_input=["X_val"]).fit(far, TRAIN[1], **val)
        expected = log_loss(NEW[1], pipe.predict_proba(val["X_val"]))
    assert pipe[-1].history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-4)
    scaled = StandardScaler().fit(far).transform(val["X_val"])
    pipe = make_pipeline(StandardScaler(), fast())
    pipe.fit(
        far,
        TRAIN[1],
        confidentclassifier__X_val=scaled,
        confidentclassifier__y_val=NEW[1],
    )
    assert pipe[-1].history_[-1, "valid_loss"] == pytest.approx(expected, rel=1e-4)


def test_given_samples_in_a_search():
    """Check that scikit-learn's search passes them on, as they are not as many."""
    search = GridSearchCV(fast(), {"lr": [0.01, 0.02]}, cv=2).fit(*TRAIN, **VAL)
    assert "valid_loss" in search.best_estimator_.history_[-1]


# Rows that are held back


def test_a_class_of_one_row_is_trained_on():
    """Check a hundred draws of rows with three rare classes."""
    y = np.repeat([0, 1, 2, 3, 4], [30, 30, 1, 1, 2])
    for seed in range(100):
        np.random.seed(seed)
        train, valid = hold_back(y, 0.3)
        assert sorted([*train, *valid]) == list(range(64))
        assert set(y[train]) == set(y)
        assert len(valid) in (19, 20) and not np.isin(y[valid], [2, 3]).any()


def test_early_stopping_knows_a_class_of_one_row():
    """Check the classes of a fit that was refused before."""
    y = np.r_[TRAIN[1][:-1], 9]
    clf = fast(early_stopping=True, callbacks=[Rows()]).fit(TRAIN[0], y)
    assert clf.classes_.tolist() == [0, 1, 2, 9]
    assert TRAIN[0][-1].tolist() in rows_of(clf)[0]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_large_shares_keep_every_class(fraction):
    """Check classes of two rows, of which both might be drawn."""
    y = np.repeat([0, 1, 2], [40, 2, 2])
    for seed in range(50):
        np.random.seed(seed)
        train, _ = hold_back(y, fraction)
        assert set(y[train]) == {0, 1, 2}


GROUPS = np.arange(180) % 12


@pytest.mark.parametrize("groups", [GROUPS, GROUPS.astype(str), GROUPS.tolist()])
def test_groups_are_held_back_whole(groups):
    """Check that no group is on both sides, and the share of groups."""
    clf = fast(early_stopping=True, validation_fraction=0.25, callbacks=[Rows()])
    train, valid = rows_of(clf.fit(*TRAIN, groups=groups))
    of_row = dict(zip(map(tuple, TRAIN[0].tolist()), groups, strict=True))
    sides = [{of_row[tuple(row)] for row in rows} for rows in (train, valid)]
    assert not sides[0] & sides[1]
    assert [len(side) for side in sides] == [9, 3]


def test_groups_leave_every_class_in_training():
    """Check classes that are in one group only: the whole group is trained on."""
    y, groups = np.repeat([0, 1, 0, 1, 2, 0], 10), np.repeat([0, 1, 2, 3, 4, 4], 10)
    held_back = set()
    for seed in range(50):
        np.random.seed(seed)
        train, valid = hold_back(y, 0.2, groups)
        assert set(y[train]) == {0, 1, 2}
        assert not set(groups[train]) & set(groups[valid])
        held_back |= set(groups[valid])
    assert held_back == {0, 1, 2, 3}


def test_groups_of_rows_that_are_not_ood():
    """Check that groups are those of the rows that are left."""
    y = np.where(np.arange(180) % 5 == 0, -1, TRAIN[1])
    clf = fast(early_stopping=True, ood_label=-1, callbacks=[Rows()])
    train, valid = rows_of(clf.fit(TRAIN[0], y, groups=GROUPS))
    assert len(train) + len(valid) == np.sum(y != -1)
    of_row = dict(zip(map(tuple, TRAIN[0].tolist()), GROUPS, strict=True))
    sides = [{of_row[tuple(row)] for row in rows} for rows in (train, valid)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(180), "none of the 1 groups"),
        (TRAIN[1], "none of the 3 groups, because the others would lack a class"),
        (GROUPS[1:], "inconsistent numbers of samples"),
        (np.c_[GROUPS, GROUPS], "1d array"),
    ],
)
def test_groups_that_cannot_be_held_back(groups, message):
    """Check one group, a group for each class, and wrong shapes."""
    with pytest.raises(ValueError, match=message):
        fast(early_stopping=True).fit(*TRAIN, groups=groups)


def test_groups_by_metadata_routing():
    """Check a search by groups whose classifiers hold groups back, too."""
    with sklearn.config_context(enable_metadata_routing=True):
        clf = fast(early_stopping=True, max_epochs=2).set_fit_request(groups=True)
        detector = OODDetector(clf, cv=GroupKFold(3), target_tpr=0.5)
        detector.fit(*TRAIN, groups=GROUPS)
    assert detector.n_calibration_ == 180


def test_what_fit_takes_is_not_changed():
    """Check arrays that cannot be written to."""
    given = [array.copy() for array in (*TRAIN, *NEW, GROUPS)]
    for array in given:
        array.flags.writeable = False
    x, y, x_val, y_val, groups = given
    fast(max_epochs=1).fit(x, y, X_val=x_val, y_val=y_val)
    fast(max_epochs=1, early_stopping=True).fit(x, y, groups=groups)
    assert (x == TRAIN[0]).all() and (groups == GROUPS).all()
