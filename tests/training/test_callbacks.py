# SPDX-License-Identifier: BSD-3-Clause
"""Tests of skorch's callbacks: each works, or is refused by name before training."""

import io
import json
import threading
from copy import deepcopy
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    ParamMapper,
    PassthroughScoring,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
)

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, OODDetector

X, Y = make_blobs(120, centers=3, random_state=0)
NAMES = np.array(["a", "b", "c"])[Y]
ROWS = X.astype(np.float32), NAMES
DIGITS = load_digits()
IMAGES = DIGITS.images[:120, None].astype(np.float32) / 16, NAMES


def fit(*callbacks, data=ROWS, ood_source=None, **params):
    """Return a classifier fitted with callbacks."""
    defaults = {"max_epochs": 3, "method": "msp", "random_state": 0}
    clf = ConfidentClassifier(
        ood_source=ood_source, callbacks=list(callbacks), **{**defaults, **params}
    )
    return clf.fit(*data)


class Writer:
    """Stands in for a SummaryWriter: it keeps what is logged and cannot be copied."""

    def __init__(self):
        self.rows, self.closed, self.lock = [], False, threading.Lock()

    def add_scalar(self, tag, scalar_value, global_step):
        self.rows.append((tag, scalar_value, global_step))

    def close(self):
        self.closed = True


class Tracker:
    """Stands in for a run of a tracker, or an experiment; it can be copied."""

    def __init__(self, directory="."):
        self.logged, self.watched, self.dir = [], [], directory

    def log(self, figures):
        self.logged.append(figures)

    def log_scalar(self, name, value, step=None):
        self.logged.append((name, value, step))

    def watch(self, module):
        self.watched.append(module)


class Weights(Callback):
    """Keep a copy of the weights after every epoch, and before the first."""

    def __init__(self):
        self.seen = []  # not a parameter: scikit-learn's clone would fail

    def on_train_begin(self, net, **kwargs):
        self.on_epoch_end(net)

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(deepcopy(net.module_.state_dict()))


def weights_of(clf):
    """Return what `Weights` has seen in a fit."""
    return dict(clf.net_.callbacks_)["Weights"].seen


def same(one, other):
    """Return which tensors of two state dicts are equal."""
    return [torch.equal(one[name], other[name]) for name in one]


# Scores


@pytest.mark.parametrize(
    "regime",
    [{}, {"ood_source": "joint"}, {"ood_source": "noise", "ood_target": "reject"}],
    ids=["none", "joint", "reject"],
)
@pytest.mark.parametrize("data", [ROWS, IMAGES], ids=["rows", "images"])
@pytest.mark.parametrize(
    "scoring", ["accuracy", "neg_log_loss", "f1_macro", "roc_auc_ovr"]
)
def test_scores_by_name(scoring, data, regime):
    """Check the last score of training samples against scikit-learn's scorer."""
    score = EpochScoring(scoring, on_train=True, use_caching=False)
    clf = fit(score, data=data, device="cpu", **regime)
    # The net has numbers for labels, as its callbacks do.
    clf_of_numbers = clone(clf).set_params(callbacks=None).fit(data[0], Y)
    expected = get_scorer(scoring)(clf_of_numbers, data[0], Y)
    assert clf.history_[-1, scoring] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [EpochScoring, BatchScoring])
@pytest.mark.parametrize("ood_source", [None, "joint"])
def test_scores_from_the_training_pass(kind, ood_source):
    """Check the share of right answers, counted from the logits of every batch."""

    class Count(Callback):
        def __init__(self):
            self.right = []

        def on_batch_end(self, net, batch, y_pred, training, **kwargs):
            self.right += (y_pred.argmax(dim=1) == batch[1]).tolist()

    score = kind("accuracy", on_train=True, lower_is_better=False)
    clf = fit(Count(), score, ood_source=ood_source, max_epochs=2)
    right = dict(clf.net_.callbacks_)["Count"].right
    by_epoch = np.reshape(right, (2, 120)).mean(axis=1)
    np.testing.assert_allclose(clf.history_[:, "accuracy"], by_epoch)


@pytest.mark.parametrize("caches", [True, False])
def test_scores_of_held_out_samples(caches):
    """Check that the best epoch of early stopping has the score of its weights."""

    def share_right(net, X, y):
        return (net.predict(X) == y).mean()

    score = EpochScoring(share_right, lower_is_better=False, use_caching=caches)
    held = EpochScoring("accuracy", lower_is_better=False, name="valid_acc")
    none = dict.fromkeys(["f_params", "f_optimizer", "f_criterion", "f_history"])
    best = Checkpoint("valid_acc_best", **none)
    clf = fit(score, held, best, early_stopping=True, validation_fraction=0.3)
    assert clf.history_[:, "share_right"] == clf.history_[:, "valid_acc"]
    assert clf.history_[:, "event_cp"] == clf.history_[:, "valid_acc_best"]


def test_no_scoring_means_accuracy():
    """Check `EpochScoring(None)`, which takes the net's own `score`."""
    clf = fit(EpochScoring(None, on_train=True, use_caching=False))
    assert clf.history_[-1, "score"] == pytest.approx(clf.score(*ROWS))


# Files


@pytest.mark.parametrize("data", [ROWS, IMAGES], ids=["rows", "images"])
@pytest.mark.parametrize("ood_source", [None, "joint"])
def test_checkpoint(data, ood_source, tmp_path):
    """Check the files, by name and content, and that the best weights come back."""
    best = Checkpoint(
        monitor="train_loss_best",
        f_params="params_{last_epoch[epoch]}.pt",
        dirname=str(tmp_path),
        load_best=True,
    )
    clf = fit(best, Weights(), data=data, ood_source=ood_source)
    epochs = np.flatnonzero(clf.history_[:, "train_loss_best"]) + 1
    names = {path.name for path in tmp_path.glob("params*")}
    assert names == {f"params_{epoch}.pt" for epoch in epochs}
    saved = torch.load(tmp_path / f"params_{epochs[-1]}.pt", weights_only=True)
    assert all(same(saved, weights_of(clf)[epochs[-1]]))
    assert all(same(saved, clf.net_.module_.state_dict()))
    assert len(json.loads((tmp_path / "history.json").read_text())) == epochs[-1]


@pytest.mark.parametrize("data", [ROWS, IMAGES], ids=["rows", "images"])
def test_checkpoint_in_other_forms(data, tmp_path):
    """Check safetensors, a pickle of the net, and a buffer that the user holds."""
    buffer, only = io.BytesIO(), {"f_optimizer": None, "f_history": None}
    where = {"dirname": str(tmp_path), "monitor": None, **only}
    clf = fit(
        ("tensors", Checkpoint(use_safetensors=True, f_criterion=None, **where)),
        (
            "net",
            Checkpoint(f_pickle="net.pkl", f_params=None, f_criterion=None, **where),
        ),
        ("buffer", Checkpoint(None, f_params=buffer, f_criterion=None, **only)),
        data=data,
        max_epochs=1,
        device="cpu",
    )
    state = clf.net_.module_.state_dict()
    assert all(same(load_file(tmp_path / "params.pt"), state))
    buffer.seek(0)
    assert all(same(torch.load(buffer, weights_only=True), state))
    assert (tmp_path / "net.pkl").stat().st_size > 0


@pytest.mark.parametrize("ood_source", [None, "joint"])
def test_the_end_of_a_fit_can_be_the_start_of_another(ood_source, tmp_path):
    """Check weights, history and learning rates after LoadInitState."""
    end = TrainEndCheckpoint(dirname=str(tmp_path))
    first = fit(end, ood_source=ood_source)
    again = fit(
        end, LoadInitState(end), Weights(), ood_source=ood_source, random_state=1
    )
    before, *_, after = weights_of(again)
    assert all(same(before, first.net_.module_.state_dict()))
    assert again.n_epochs_ == 6
    # A rate that stayed where one_cycle ended, at 1e-8, would move nothing.
    assert min((after[name] - before[name]).abs().max() for name in after) > 1e-4


# Logs


def test_tensorboard_writes_to_the_users_writer():
    """Check the losses in a writer that cannot be copied, and that it is closed."""
    writer = Writer()
    clf = fit(TensorBoard(writer), ood_source="joint")
    losses = [value for tag, value, _ in writer.rows if tag == "generator_loss"]
    assert losses == clf.history_[:, "generator_loss"]
    assert writer.closed


@pytest.mark.parametrize("stopping", [False, True])
def test_trackers_get_the_figures(stopping, tmp_path):
    """Check the log of runs that could be copied, and the best weights in a file."""
    run, experiment = Tracker(tmp_path), Tracker()
    loggers = WandbLogger(run, save_model=stopping), SacredLogger(experiment)
    clf = fit(*loggers, early_stopping=stopping)
    assert [row["train_loss"] for row in run.logged] == clf.history_[:, "train_loss"]
    assert (tmp_path / "best_model.pth").exists() == stopping
    losses = [value for name, value, _ in experiment.logged if name == "train_loss"]
    assert losses == clf.history_[:, "train_loss"]


def test_mlflow_gets_figures_and_files():
    """Check metrics and the weights in a file, with a client and a run of that form."""

    class Client:
        def __init__(self):
            self.metrics, self.files, self.ended = [], {}, []

        def log_metric(self, run_id, name, value, step):
            self.metrics.append((run_id, name, value, step))

        def log_artifact(self, run_id, path):
            self.files[path.name] = path.read_bytes()

        def set_terminated(self, run_id):
            self.ended.append(run_id)

    run, client = SimpleNamespace(info=SimpleNamespace(run_id="7")), Client()
    clf = fit(MlflowLogger(run, client))
    losses = [value for _, name, value, _ in client.metrics if name == "train_loss"]
    assert losses == clf.history_[:, "train_loss"]
    saved = torch.load(io.BytesIO(client.files["params.pth"]), weights_only=True)
    assert all(same(saved, clf.net_.module_.state_dict()))
    assert client.ended == ["7"]


def test_a_logger_of_ones_own():
    """Check a run, a list's method and a writer with a lock as its attributes."""

    class Log(Callback):
        def __init__(self, run, sink, writer):
            self.run, self.sink, self.writer = run, sink, writer

        def on_epoch_end(self, net, **kwargs):
            self.run.log(len(net.history))
            self.sink(len(net.history))
            self.writer.add_scalar("n", len(net.history), 0)

    run, lines, writer = Tracker(), [], Writer()
    fit(Log(run, lines.append, writer), max_epochs=2)
    assert run.logged == lines == [value for _, value, _ in writer.rows] == [1, 2]


def test_a_sink_is_the_users():
    """Check a method of an object as the sink of EarlyStopping."""
    run = Tracker()
    stop = EarlyStopping("train_loss", patience=1, threshold=0.9, sink=run.log)
    fit(stop, verbose=2, max_epochs=9)
    assert len(run.logged) == 1 and run.logged[0].startswith("Stopping since")


@pytest.mark.parametrize("copier", [clone, deepcopy])
def test_copies_of_a_classifier_with_an_open_log(copier):
    """Check clone and deepcopy, before and after fit; the copies log there too."""
    writer = Writer()
    clf = fit(TensorBoard(writer), Weights())
    n = len(writer.rows)
    for copied in (copier(clf), copier(copier(clf))):
        copied.fit(*ROWS)
    assert len(writer.rows) == 3 * n
    assert clf.callbacks[1].seen == copied.callbacks[1].seen == []


def test_an_open_log_in_other_estimators():
    """Check a search, a detector and the search for beta: each fit writes."""
    writer = Writer()
    clf = ConfidentClassifier(
        ood_source="noise", max_epochs=1, method="msp", callbacks=[TensorBoard(writer)]
    )
    counts = []
    for estimator in (
        GridSearchCV(clf, {"beta": [0.1]}, cv=2),
        OODDetector(clf, random_state=0),
        ConfidentClassifierCV(clf, betas=[0.1, 1.0], random_state=0),
    ):
        estimator.fit(*ROWS)
        counts.append(sum(tag == "dur" for tag, *_ in writer.rows))
    # Two folds and the whole; one share; three splits of three fits, and the whole.
    assert counts == [3, 4, 14]


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_an_open_log_goes_on(way):
    """Check that training that continues, which copies the net, logs there too."""
    writer = Writer()
    clf = fit(TensorBoard(writer), warm_start=True, max_epochs=1)
    n = len(writer.rows)
    clf.partial_fit(*ROWS) if way == "partial_fit" else clf.fit(*ROWS)
    assert len(writer.rows) == 2 * n


def test_what_a_callback_keeps_is_copied():
    """Check that lists and settings of the user's callbacks stay as they were."""
    own, mapper = Weights(), ParamMapper("*weight", fn=torch.nn.init.zeros_)
    score = EpochScoring("accuracy", on_train=True)
    before = [dict(vars(callback)) for callback in (own, mapper, score)]
    fit(own, mapper, score)
    assert [vars(callback) for callback in (own, mapper, score)] == before


def test_progress_and_time(capsys):
    """Check the number of batches on the bar, and the seconds of an epoch."""
    clf = fit(ProgressBar(), ProgressBar("count"), EpochTimer, batch_size=40)
    assert "/3 [" in capsys.readouterr().err
    assert all(seconds > 0 for seconds in clf.history_[:, "dur"])
    assert [len(batches) for batches in clf.history_[:, "batches"]] == [3, 3, 3]


# Weights and rates


@pytest.mark.parametrize("data", [ROWS, IMAGES], ids=["rows", "images"])
@pytest.mark.parametrize("ood_source", [None, "joint"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_frozen_weights_stand_still(at, ood_source, data):
    """Check weights that are frozen from the first, second or third epoch on."""
    freezer = Freezer("*weight", at=at)
    params = {"weight_decay": 0.1, "max_epochs": 4}
    clf = fit(freezer, Weights(), ood_source=ood_source, data=data, **params)
    seen = weights_of(clf)
    for name in (n for n in seen[0] if n.endswith("weight")):
        moves = [not torch.equal(a[name], b[name]) for a, b in pairwise(seen)]
        assert moves == [epoch < at for epoch in range(1, 5)], name


def test_all_weights_frozen_for_an_epoch():
    """Check a classifier that rests in its second epoch, while the GAN trains."""
    rest = Freezer("*", at=2), Unfreezer("*", at=3)
    seen = weights_of(fit(*rest, Weights(), ood_source="joint"))
    assert all(same(seen[1], seen[2]))
    assert not any(same(seen[0], seen[1])) and not any(same(seen[2], seen[3]))


def test_weights_that_callbacks_set():
    """Check ParamMapper and Initializer before the first step, with a rate of 0."""
    fill = partial(torch.nn.init.constant_, val=0.5)
    zero = ParamMapper("*bias", fn=torch.nn.init.zeros_, at=2)
    clf = fit(Initializer("*", fn=fill), zero, lr=1e-30, device="cpu")
    for name, value in clf.net_.module_.state_dict().items():
        set_to = 0.0 if "bias" in name else 0.5
        np.testing.assert_allclose(value, set_to, atol=1e-20, err_msg=name)


def test_rates_of_a_scheduler():
    """Check StepLR against its closed form, and ReduceLROnPlateau by what it sees."""
    steps = LRScheduler("StepLR", step_size=2, gamma=0.1)
    clf = fit(steps, lr=0.01, max_epochs=5, lr_schedule=None)
    rates = [0.01, 0.01, 0.001, 0.001, 0.0001]
    np.testing.assert_allclose(clf.history_[:, "event_lr"], rates)
    plateau = {"monitor": lambda net: 1.0, "patience": 0, "factor": 0.5}
    clf = fit(LRScheduler("ReduceLROnPlateau", **plateau), lr=0.01, lr_schedule=None)
    np.testing.assert_allclose(clf.history_[:, "event_lr"], [0.01, 0.01, 0.005])


def test_early_stopping_of_skorch_with_held_out_samples():
    """Check that it monitors the loss of the samples that were held out."""
    stop = EarlyStopping(patience=2, threshold=0.9)
    clf = fit(stop, early_stopping=True, n_iter_no_change=99, max_epochs=9)
    assert clf.n_epochs_ == 3


# Refused


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (InputShapeSetter(), r"InputShapeSetter cannot .*module\(input_shape, n_cl"),
        (InputShapeSetter, r"InputShapeSetter cannot change the networks"),
        (LRScheduler(), "LRScheduler and lr_schedule .*Set lr_schedule=None"),
        (EpochScoring("accuracy"), "EpochScoring scores validation samples.*on_train"),
        (BatchScoring("f1_macro"), "BatchScoring scores validation samples.*X_val="),
        (PassthroughScoring("my_loss"), "PassthroughScoring scores validation"),
        (EarlyStopping(), "EarlyStopping monitors 'valid_loss'.*early_stopping=True"),
        (("mine", EarlyStopping), "EarlyStopping 'mine' monitors 'valid_loss'"),
        (Checkpoint(), "Checkpoint monitors 'valid_loss_best'.*'train_loss_best'"),
        (WandbLogger(Tracker()), "WandbLogger saves .*save_model=False"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("ood_source", [None, "joint"])
def test_refused_before_training(callback, message, ood_source):
    """Check the error, and that no other callback has been told of a training."""
    begun = []

    class Begins(Callback):
        def on_train_begin(self, net, **kwargs):
            begun.append(net)

    with pytest.raises(ValueError, match=message):
        fit(Begins(), callback, ood_source=ood_source)
    assert not begun


@pytest.mark.parametrize("monitor", ["valid_acc_best", "valid_f1", "train_acc"])
@pytest.mark.parametrize("kind", [Checkpoint, EarlyStopping])
def test_a_score_that_nothing_records(kind, monitor):
    """Check the error, and that a callback that records it mends the fit."""
    name = monitor.removesuffix("_best")
    with pytest.raises(ValueError, match=rf"{monitor}.*EpochScoring\(.*name='{name}'"):
        fit(kind(monitor), early_stopping=True)


def test_a_plateau_of_samples_that_are_not_there():
    """Check the one scheduler that monitors something; others ignore `monitor`."""
    params = {"lr_schedule": None, "max_epochs": 1}
    with pytest.raises(ValueError, match="LRScheduler monitors 'valid_loss'"):
        fit(LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), **params)
    fit(LRScheduler("StepLR", monitor="valid_loss", step_size=1), **params)


def test_what_might_work_is_not_refused():
    """Check scores with their own samples, and scores recorded by others."""

    class OnNewRows(EpochScoring):
        def get_test_data(self, *args, **kwargs):
            return X[:9].astype(np.float32), Y[:9], []

    class Records(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("valid_own", 1.0)

    new = OnNewRows("accuracy", use_caching=False)
    clf = fit(new, Records(), EarlyStopping("valid_own", patience=1))
    assert clf.history_[-1, "accuracy"] == pytest.approx(clf.score(X[:9], NAMES[:9]))
    assert clf.n_epochs_ == 2


@pytest.mark.parametrize("item", ["EarlyStopping", 3, ("stop", "EarlyStopping")])
def test_not_a_callback(item):
    """Check the error for a name instead of a callback."""
    with pytest.raises(TypeError, match="callbacks must hold callbacks of skorch"):
        fit(item)
