# SPDX-License-Identifier: BSD-3-Clause
"""The training step: a skorch net whose players move in turn."""

import math
from contextlib import contextmanager, nullcontext, suppress
from copy import deepcopy
from functools import partial

import torch
from sklearn.base import clone
from skorch.callbacks import EarlyStopping, EpochTimer, PrintLog
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from confident_clf._predicting_net import PredictingNet
from confident_clf._training_state import restore, state_of
from confident_clf.losses import confidence_loss, kl_to_uniform, reject_loss
from confident_clf.modules._batch_norm import statistics_of_first
from confident_clf.modules._head import find_head, recorded_inputs
from confident_clf.utils._batches import EpochMeans, ShuffledBatches, resident
from confident_clf.utils._callbacks import any_overrides, comes_from_raise
from confident_clf.utils._compile import compiled
from confident_clf.utils._divergence import DivergenceError, check_weights, located
from confident_clf.utils._optim import descend
from confident_clf.utils._precision import in_full
from confident_clf.utils._schedules import ScheduledRates
from confident_clf.utils._tensors import as_float


class StopTraining(Exception):
    """A callback asks to end the training."""


class JointNet(PredictingNet):
    """Classifier and out-of-distribution source, trained in turn on every batch.

    The players are `module_` (the classifier) with `optimizer_`, and the networks of
    `source_`, which owns them and their optimizers: a generator and a discriminator in
    joint training, none with explicit rows. Each player's step is a method of its
    owner: :meth:`_step_classifier` here, ``_step_discriminator`` and
    ``_step_generator`` in :class:`~confident_clf.sources.JointGAN`.

    Parameters
    ----------
    module : callable
        Returns the classifier; called without arguments.
    source : OODSource or None
        Cloned, then prepared with the training data. None trains with plain cross
        entropy.
    beta : float
        Weight of the loss on out-of-distribution samples.
    ood_target : {"uniform", "reject"}
        What the classifier shall say of them: all classes alike, or the last one.
    label_smoothing : float, default=0.0
        Of the cross entropy.
    augment : callable or None, default=None
        Maps a batch of training samples to the batch to train on.
    bfloat16 : bool, default=False
        Whether the networks compute in bfloat16 while training.
    single_thread : bool, default=False
        Whether the networks are too small for more than one thread.
    dynamo : dict or None, default=None
        Options of torch.compile; None trains without it.
    **kwargs
        Parameters of :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        module,
        *,
        source,
        beta,
        ood_target="uniform",
        label_smoothing=0.0,
        augment=None,
        bfloat16=False,
        single_thread=False,
        dynamo=None,
        **kwargs,
    ):
        # skorch refuses torch objects that are set after its own constructor.
        self.source = source
        self.beta = beta
        self.ood_target = ood_target
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.bfloat16 = bfloat16
        self.single_thread = single_thread
        self.dynamo = dynamo
        super().__init__(
            module, criterion=torch.nn.CrossEntropyLoss, train_split=None, **kwargs
        )

    def initialize_module(self):
        """Make the classifier; the source makes its networks when it sees data."""
        super().initialize_module()
        if self.source is not None:
            self.source_ = clone(self.source)
        self.inference_sizes_ = None, None
        return self

    def initialize_callbacks(self):
        """Make the callbacks, and see whether one of them looks at gradients."""
        super().initialize_callbacks()
        self.gradients_watched_ = any_overrides(self.callbacks_, "on_grad_computed")
        return self

    def fit_loop(self, X, y=None, epochs=None):
        """Train for some epochs on the pair of data sets that `fit_tensors` made."""
        self.check_training_readiness()
        data = dict(zip(("dataset_train", "dataset_valid"), X, strict=True))
        train, valid = (s and ShuffledBatches(s.tensors, self.batch_size) for s in X)
        for _ in range(epochs):
            self.notify("on_epoch_begin", **data)
            self.run_single_epoch(train, True, "train", self.train_step)
            self.run_single_epoch(valid, False, "valid", self.validation_step)
            self.notify("on_epoch_end", **data)
        return self

    def fit_tensors(
        self,
        x,
        y,
        x_ood,
        *,
        epochs,
        lr_schedule=None,
        valid=None,
        patience=None,
        checkpoints=None,
    ):
        """Train on tensors on the CPU; unlike `fit`, let Ctrl-C through.

        `lr_schedule` maps the share that is done to a factor of all learning rates.
        With `valid`, a pair of samples and labels, stop once the cross entropy there
        has not fallen for `patience` epochs, and go back to the best. With
        `checkpoints` a new net goes on where they end. After a DivergenceError the net
        is as it was after the last finished epoch.
        """
        self.checkpoints_, self.finished_ = checkpoints, None
        resumes = checkpoints is not None and checkpoints.state is not None
        self._prepare_source(x, x_ood, resumes)
        data = TensorDataset(*resident((x, y), self.device))
        n_steps = epochs * len(ShuffledBatches(data.tensors, self.batch_size))
        self.rates_ = ScheduledRates(lr_schedule, self.every_optimizer(), n_steps)
        try:
            players = self.module_, self.source and self.source_
            with self._early_stopping(patience), compiled(self.dynamo, *players):
                with suppress(StopTraining):
                    self.notify("on_train_begin", X=data, y=None)
                    epochs = self._begin_or_resume(epochs)
                    valid = valid and TensorDataset(*resident(valid, self.device))
                    self.fit_loop((data, valid), epochs=epochs)
                self.notify("on_train_end", X=data, y=None)
                self._write_checkpoint(is_finished=True)
        except DivergenceError:
            self._undo_epoch()
            raise
        finally:
            self.rates_.restore()
            del self.rates_, self.checkpoints_, self.finished_
        self.choose_inference_sizes(tuple(x.shape[1:]))
        return self

    def _prepare_source(self, x, x_ood, resumes=False):
        """Let the source see the data, and find the features if it needs them."""
        if self.source is None:
            return
        device = torch.device(self.device)
        if self.source.makes_features:
            self.head_name_ = find_head(self.module_, as_float(x[:4]).to(device))
        prepare = self.source_.rebuild if resumes else self.source_.prepare
        with self._precision():
            prepare(x, x_ood, device)

    def _begin_or_resume(self, epochs):
        """Go to the checkpoint, if there is one; return how many epochs are left."""
        if self.checkpoints_ is None:
            return epochs
        if self.checkpoints_.state is None:
            self._write_checkpoint()  # what the source has learnt took time, too
            return epochs
        restore(self, self.checkpoints_.state)
        self._keep_weights()
        # A fit that has stopped early has no epochs left either.
        is_finished = self.checkpoints_.state.get("is_finished")
        return 0 if is_finished else epochs - len(self.history)

    def _write_checkpoint(self, is_finished=False):
        """Write all that the next epoch depends on, if that is asked for."""
        if self.checkpoints_ is not None:
            state = {**state_of(self), "is_finished": is_finished}
            self.checkpoints_.save(len(self.history), state)

    def _keep_weights(self):
        """Keep the weights there are, for the case that the next epoch diverges."""
        weights = self.module_.state_dict(), self.source and self.source_.state_dict()
        self.finished_ = len(self.history), deepcopy(weights)

    def _undo_epoch(self):
        """Go back to the weights of the last finished epoch of this fit."""
        if self.finished_ is None:
            self.history.clear()
            return
        n_epochs, (classifier, source) = self.finished_
        del self.history[n_epochs:]
        self.module_.load_state_dict(classifier)
        if source is not None:
            self.source_.end_epoch()  # it forgets the batch
            self.source_.load_state_dict(source)

    def _precision(self):
        """Compute in bfloat16 where that is chosen; weights and losses are float32."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    @contextmanager
    def _early_stopping(self, patience):
        """Stop, for this fit only, when the loss on held-out samples stops falling."""
        if patience is None:
            yield
            return
        callback = EarlyStopping("valid_loss", patience=patience, load_best=True)
        self.callbacks_.append(("confident_clf_early_stopping", callback.initialize()))
        try:
            yield
        finally:
            self.callbacks_.pop()

    def every_optimizer(self):
        """Return the optimizers of all players."""
        others = [] if self.source is None else self.source_.optimizers()
        return [self.optimizer_, *others]

    def notify(self, method_name, **kwargs):
        """Call the callbacks; one that raises KeyboardInterrupt ends the training.

        That is how skorch's own callbacks, such as EarlyStopping, do it. The user's
        Ctrl-C, which may come while a callback runs, is another thing.
        """
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            if not comes_from_raise(error):
                raise
            raise StopTraining from None
        if method_name == "on_epoch_end":
            self._keep_weights()
            self._write_checkpoint()

    def copy(self):
        """Return a net of its own that goes on where this one is.

        skorch would pickle it, which classes of a notebook or a function do not allow.
        """
        twin = type(self).__new__(type(self))
        vars(twin).update(deepcopy(vars(self)))
        return twin

    def __setstate__(self, state):
        """Unpickle; where there is no GPU, sources are on the CPU as the net is."""
        super().__setstate__(state)
        source = getattr(self, "source_", None)
        for part in [] if source is None else source.modules():
            if "device" in vars(part):
                part.device = torch.device(self.device)

    @property
    def _default_callbacks(self):
        """Return skorch's, but those that collect the losses of every batch."""
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Start the epoch's mean losses."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self._set_training(True)
        self.epoch_losses_ = EpochMeans()

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Record every player's mean loss in the history."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        figures = {} if self.source is None else self.source_.end_epoch()
        for name, value in (self.epoch_losses_.means() | figures).items():
            self.history.record(name, value)
        del self.epoch_losses_

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run over the batches; record the mean loss once, in the end.

        skorch would read every batch's loss, which makes a GPU wait, and tell every
        callback of every batch, which takes longer than a small network's layer. Here
        that is done only for callbacks that look at batches.
        """
        watched = any_overrides(self.callbacks_, "on_batch_begin", "on_batch_end")
        losses = EpochMeans()
        with located(len(self.history), self.every_optimizer()[::-1]) as place:
            for place.batch, batch in enumerate(iterator or (), start=1):
                if watched:
                    self.notify("on_batch_begin", batch=batch, training=training)
                    self._set_training(training)  # a callback may have predicted
                if training:
                    self.rates_.set_next()
                step = step_fn(batch, **fit_params)
                losses.add({f"{prefix}_loss": step["loss"]}, len(batch[0]))
                if watched:
                    self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                    self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                    self.notify("on_batch_end", batch=batch, training=training, **step)
        if training:
            with located(len(self.history), []) as place:
                self._check_epoch(place)
        for name, mean in losses.means().items():
            before = [row[name] for row in self.history[:-1] if name in row]
            self.history.record(name, mean)
            self.history.record(f"{name}_best", mean < min(before, default=math.inf))
            self.history.record(f"{prefix}_batch_count", len(losses.sizes))

    def _check_epoch(self, place):
        """Raise DivergenceError if losses or weights are not finite, gradients or not.

        Such a loss has not moved anything, such weights come of a step too large.
        """
        for name, values in self.epoch_losses_.losses.items():
            player, is_total, _ = name.partition("_loss")
            finite = torch.stack(values).isfinite().tolist()
            if is_total and not all(finite):
                place.batch = finite.index(False) + 1
                raise DivergenceError(player, values[place.batch - 1].item())
        place.batch = len(self.epoch_losses_.sizes)
        check_weights("classifier", self.module_)
        if self.source is not None:
            check_weights(type(self.source).__name__, self.source_)

    def train_step(self, batch, **fit_params):
        """Let the source's players move, then the classifier."""
        x, y = self._to_device(batch)
        if self.augment is not None:
            x = self._augmented(x)
        losses = {}
        before_step = None
        if self.gradients_watched_:
            before_step = partial(self._notify_of_gradients, batch)
        with self._precision():
            if self.source is not None:
                losses |= self.source_.step(x, self)
            classifier_losses, logits = self._step_classifier(x, y, before_step)
            losses |= classifier_losses
            if self.source is not None:
                losses |= self.source_.finish_step(self)
        self.epoch_losses_.add(losses, len(x))
        return {"loss": losses["classifier_loss"], "y_pred": logits}

    def _notify_of_gradients(self, batch):
        """Let the callbacks see, and change, the gradients of the classifier."""
        named_parameters = list(self.module_.named_parameters())
        try:
            with torch.autocast(torch.device(self.device).type, enabled=False):
                self.notify(
                    "on_grad_computed",
                    named_parameters=named_parameters,
                    batch=batch,
                    training=True,
                )
        except StopTraining:
            if self.source is not None:
                self.source_.end_epoch()  # it forgets the batch
            raise
        self._set_training(True)  # a callback may have predicted

    def validation_step(self, batch, **fit_params):
        """Return the cross entropy on held-out samples."""
        self._set_training(False)
        x, y = self._to_device(batch)
        with torch.no_grad():
            logits = self.module_(x)
            return {"loss": F.cross_entropy(logits, y), "y_pred": logits}

    def _to_device(self, batch):
        """Return samples, as float32, and labels on the device."""
        x, y = (tensor.to(self.device) for tensor in batch)
        return as_float(x), y

    def _augmented(self, x):
        """Return the user's, or a named, random view of the batch."""
        view = self.augment(x)
        if not isinstance(view, torch.Tensor):
            returned = type(view).__name__
        elif view.shape != x.shape or view.dtype != x.dtype:
            returned = f"shape {tuple(view.shape)} and {view.dtype}"
        else:
            return view
        raise ValueError(
            f"augment must return a batch like the one it gets, shape "
            f"{tuple(x.shape)} and {x.dtype}; it returned {returned}."
        )

    def _step_classifier(self, x, y, before_step=None):
        """Move the classifier down eq. (1): CE + beta * KL(U || p(. | x_ood))."""
        smoothing = {"label_smoothing": self.label_smoothing}
        if self.source is None:
            logits = in_full(self.module_(x))
            loss = F.cross_entropy(logits, y, **smoothing)
            losses, shared = {"classifier_loss": loss}, []
        else:
            logits, logits_ood = self._both_logits(x)
            loss, cross_entropy, ood = confidence_loss(
                logits, y, logits_ood, self.beta, self.ood_loss, **smoothing
            )
            losses = {
                "classifier_loss": loss,
                "cross_entropy": cross_entropy,
                "kl" if self.ood_target == "uniform" else "reject_loss": ood,
            }
            shared = self.source_.shared_inputs()
        descend(
            loss, self.optimizer_, "classifier", also=shared, before_step=before_step
        )
        losses = {name: value.detach() for name, value in losses.items()}
        return losses, logits.detach()

    def _both_logits(self, x):
        """Return the logits of the batch `x` and of as many OOD samples.

        One pass over both, which is faster than two. A BatchNorm in a user's module
        takes its statistics from `x`.
        """
        n = len(x)
        n_inputs = self.source_.n_inputs(n)
        both = torch.cat([x, self._sample_like(x, n_inputs)]) if n_inputs else x
        with statistics_of_first(self.module_, n, len(both)):
            if n_inputs == n:
                return in_full(self.module_(both)).split(n)
            head = self.module_.get_submodule(self.head_name_)
            with recorded_inputs(head) as inputs:
                logits, logits_ood = in_full(self.module_(both)).split([n, n_inputs])
        features = self.source_.sample_features(in_full(inputs[0][:n]), n - n_inputs)
        return logits, torch.cat([logits_ood, in_full(head(features))])

    def _sample_like(self, x, n):
        """Return `n` OOD samples that are like the batch `x`."""
        x_ood = self.source_.sample(n)
        if x_ood.shape != (n, *x.shape[1:]) or x_ood.dtype != x.dtype:
            raise ValueError(
                f"{self.source!r} must return {n} samples like the training data, "
                f"shape {(n, *x.shape[1:])} and {x.dtype}; it returned shape "
                f"{tuple(x_ood.shape)} and {x_ood.dtype}."
            )
        return x_ood

    def ood_loss(self, logits):
        """Return the loss of the classifier on out-of-distribution samples."""
        loss = kl_to_uniform if self.ood_target == "uniform" else reject_loss
        return loss(logits)
