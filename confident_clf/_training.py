# SPDX-License-Identifier: BSD-3-Clause
"""How a training goes, and what is left of it when it does not end well."""

from copy import copy

from confident_clf.utils._checkpoints import Checkpoints
from confident_clf.utils._collapse import warn_of_collapse
from confident_clf.utils._compile import check_compiler
from confident_clf.utils._divergence import DivergenceError
from confident_clf.utils._fingerprint import fingerprint
from confident_clf.utils._schedules import resolve_schedule
from confident_clf.utils._tensors import as_tensor

# Parameters that the weights do not depend on, or that are looked at otherwise.
_DO_NOT_MATTER = {
    "checkpoint",
    "device",
    "method",
    "random_state",
    "verbose",
    "warm_start",
}


class TrainingMixin:
    """Train a net, from a checkpoint if there is one.

    For estimators with the parameters `max_epochs`, `lr_schedule`, `early_stopping`,
    `n_iter_no_change`, `checkpoint`, `warm_start` and `random_state`, the methods of
    SamplesMixin and PredictionMixin, and `classes_`; sets `net_` and `method_`.
    """

    def _train(self, net, X, y, X_ood, one_pass, checkpoints=None):
        """Train the net for one pass or a whole fit, and fit the score on it."""
        check_compiler(net.dynamo, net.device)
        self._check_method(net, X)
        try:
            with net.threads():
                self._train_net(net, X, y, X_ood, one_pass, checkpoints)
        except DivergenceError as error:
            if net.history:
                self.net_ = net
                self._fit_method(X, y)
                error.classifier = copy(self)
            raise
        self.net_ = net
        self._fit_method(X, y)
        if not one_pass:
            warn_of_collapse(net.history)

    def _train_net(self, net, X, y, X_ood, one_pass, checkpoints):
        """Make one pass over the data, or a whole fit."""
        if one_pass:
            return net.fit_tensors(*self._as_tensors(X, y, X_ood), epochs=1)
        plan = {
            "checkpoints": checkpoints,
            "epochs": self.max_epochs,
            "lr_schedule": resolve_schedule(self.lr_schedule),
        }
        if self.early_stopping:
            X, X_valid, y, y_valid = self._hold_back(X, y)
            plan["valid"] = self._as_tensor(X_valid), as_tensor(y_valid)
            plan["patience"] = self.n_iter_no_change
        return net.fit_tensors(*self._as_tensors(X, y, X_ood), **plan)

    def _check_checkpoint(self, one_pass=False):
        """Raise ValueError where a checkpoint makes no sense."""
        if self.checkpoint is None:
            return
        if not str(self.checkpoint):
            raise ValueError(
                "checkpoint='' names no folder. Use '.' for this one, or None."
            )
        if one_pass:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} is for fit; partial_fit is one "
                "pass over the data, with nothing to resume. Set checkpoint=None."
            )
        if self.warm_start:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} and warm_start=True both say "
                "where to go on from. Set warm_start=False and max_epochs to all "
                "epochs, or checkpoint=None."
            )

    def _check_going_on(self):
        """Raise ValueError if the training that goes on was of another kind."""
        source, target = self.net_.source, self.net_.ood_target
        is_like = _kinds(self._make_source()) == _kinds(source)
        same_target = source is None or self.ood_target == target
        for name, began, is_same in (
            ("ood_source", source, is_like),
            ("ood_target", target, same_target),
        ):
            if not is_same:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} cannot go on with a training that "
                    f"began with {began!r}. Leave it as it was, or train anew, by fit "
                    "with warm_start=False."
                )

    def _open_checkpoints(self, device, seed, **arrays):
        """Return the checkpoints of the fit that is about to begin, if it has any.

        Without a `random_state` the seed is another one each time, and not compared.
        """
        if self.checkpoint is None:
            return None
        params = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in _DO_NOT_MATTER
        }
        params["device"] = device.type
        params["random_state"] = None if self.random_state is None else seed
        params["classes"] = self.classes_
        return Checkpoints(self.checkpoint, fingerprint(params, arrays), seed)


def _kinds(source):
    """Return the classes of a source, of all those in a mixture."""
    return None if source is None else [type(leaf) for leaf, _ in source._leaves()]
