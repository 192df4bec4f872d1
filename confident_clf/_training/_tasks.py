# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's callbacks: a fit is a task, and each epoch is a subtask of it.

The protocol is that of ``sklearn.callback``, which came with scikit-learn 1.9. Users
set such callbacks by ``set_callbacks``; those of skorch are the parameter `callbacks`.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from confident_clf._networks._view import NetworkView
from confident_clf._training._net import JointNet, StopTraining
from confident_clf.scores._make_score import make_score
from confident_clf.utils._seeding import seeded
from confident_clf.utils._tensors import LazyTensor

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support: this scikit-learn has no callbacks."""


# What scikit-learn keeps in an estimator while it is fitted.
_OF_A_FIT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")

_running: ContextVar["EpochTasks | None"] = ContextVar("tasks", default=None)


@contextmanager
def fit_task(estimator, X, y, sample_weight):
    """Tell the estimator's callbacks of scikit-learn that a fit begins and has ended.

    scikit-learn itself calls their `setup` and, whatever happens, their `teardown`.
    """
    if not hasattr(estimator, "_skl_callbacks"):
        yield
        return
    metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
    data = {"X": X, "y": y, "metadata": metadata}
    context = estimator._init_callback_context(max_subtasks=estimator.max_epochs)
    context.call_on_fit_task_begin(estimator=estimator, **data)
    token = _running.set(EpochTasks(estimator, context, data))
    try:
        yield
    finally:
        _running.reset(token)
    context.call_on_fit_task_end(
        estimator=estimator, **data, reconstruction_attributes={}
    )


@contextmanager
def epoch_tasks(net: JointNet):
    """Let a net tell the callbacks of the running fit of every epoch."""
    tasks = _running.get()
    if tasks is None:
        yield
        return
    net.callbacks_.append(("confident_clf_tasks", tasks))
    try:
        yield
    finally:
        net.callbacks_.pop()


def copy_after_fit(estimator):
    """Return a copy of an estimator in `fit` that is not being fitted."""
    twin = copy(estimator)
    for name in _OF_A_FIT:
        vars(twin).pop(name, None)
    return twin


class EpochTasks(Callback):
    """Tells scikit-learn's callbacks of an estimator when an epoch begins and ends."""

    def __init__(self, estimator, context, data: dict):
        self.estimator = estimator
        self.context = context
        self.data = data

    def __deepcopy__(self, memo):
        """Share it: it belongs to one fit."""
        return self

    def on_epoch_begin(self, net, **kwargs):
        """Begin the task of an epoch."""
        self.task = self.context.subcontext("epoch")
        self.task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        """End the task of an epoch; stop the fit if a callback asks for that."""
        stops = self.task.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=partial(self._learned, net, dataset_train),
        )
        if stops:
            raise StopTraining

    def _learned(self, net: JointNet, data) -> dict:
        """Return the attributes of a classifier whose fit ends here."""
        twin = net.copy()
        twin.callbacks_ = [pair for pair in twin.callbacks_ if pair[1] is not self]
        view = NetworkView(twin, len(self.estimator.classes_))
        X = data.X.rows if isinstance(data.X, LazyTensor) else data.X.cpu().numpy()
        score = clone(make_score(self.estimator.method))
        with seeded(0, torch.device(net.device)):
            score.fit(view, X, np.asarray(data.y.cpu()))
        return {"net_": twin, "method_": score}
