# SPDX-License-Identifier: BSD-3-Clause
"""Run a fit of a net; keep the last finite weights if it diverges."""

import math
from collections.abc import Callable
from contextlib import contextmanager, suppress
from copy import deepcopy

import torch
from skorch.callbacks import EarlyStopping
from torch import Tensor

from confident_clf._networks._head import find_head
from confident_clf._training._batches import (
    EpochMeans,
    Samples,
    ShuffledBatches,
    resident,
)
from confident_clf._training._callbacks import look_at_batches
from confident_clf._training._checkpoints import Checkpoints
from confident_clf._training._compile import compiled
from confident_clf._training._divergence import DivergenceError, check_weights, located
from confident_clf._training._fine_tuning import warm_up
from confident_clf._training._net import JointNet, StopTraining
from confident_clf._training._ranks import is_first_rank, ranks_together
from confident_clf._training._refused_callbacks import check_callbacks
from confident_clf._training._schedules import ScheduledRates
from confident_clf._training._state import restore, state_of
from confident_clf._training._tasks import epoch_tasks
from confident_clf.utils._compute import autocast
from confident_clf.utils._progress import progress_bar
from confident_clf.utils._tensors import as_float


def train(
    net: JointNet,
    x: Tensor,
    y: Tensor,
    x_ood: Tensor | None,
    *,
    epochs: int,
    lr_schedule=None,
    weight: Tensor | None = None,
    valid: tuple[Tensor, ...] | None = None,
    patience: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train a net on tensors on the CPU.

    `lr_schedule` maps progress to a factor of all learning rates, `weight` has that of
    each sample in the cross entropy. With `valid`, samples, labels and perhaps weights,
    the fit stops once the cross entropy there has not fallen for `patience`
    epochs, and goes back to the best. With `checkpoints` a new net continues from the
    last one. Ctrl-C is passed on. After a DivergenceError the net is as it was after
    the last finished epoch.
    """
    check_callbacks(net.callbacks_, valid is not None, lr_schedule is not None)
    source = net.source and net.source_
    tensors = (x, y) if weight is None else (x, y, weight)
    ranks = ranks_together()
    ranks.check_same(*tensors)
    prepare_source(net, x, x_ood, resumes=_has_state(checkpoints))
    ranks.start_alike(torch.device(net.device), net.module_, source)
    data = Samples(*resident(tensors, net.device))
    held_out = None if valid is None else Samples(*resident(valid, net.device))
    run = Run(net, data, held_out, epochs, lr_schedule, checkpoints)
    try:
        with (
            _early_stopping(net, patience),
            epoch_tasks(net),
            compiled(net),
        ):
            with suppress(StopTraining):
                net.notify("on_train_begin", X=x, y=y)
                run.rates.follow(net.optimizers_in_order())
                run.train_epochs(run.begin_or_resume())
            net.notify("on_train_end", X=x, y=y)
            run.write_checkpoint(is_finished=True)
    except DivergenceError:
        run.undo_epoch()
        raise
    except torch.cuda.OutOfMemoryError as error:
        raise torch.cuda.OutOfMemoryError(
            f"{net.device} has too little memory for batches of {net.batch_size} "
            "samples. Use a smaller batch_size, a smaller network or device='cpu'. "
            f"{error}"
        ) from error
    finally:
        run.rates.restore()
        net.drawn_ = []
        if source is not None:
            source.forget_batch()


def prepare_source(
    net: JointNet, x: Tensor, x_ood: Tensor | None, resumes: bool = False
) -> None:
    """Let the source see the data, and find the classifier's head if it needs that."""
    if net.source is None:
        return
    device = torch.device(net.device)
    if net.source.makes_features:
        net.head_name_ = find_head(net.module_, as_float(x[:4]).to(device))
    prepare = net.source_.rebuild if resumes else net.source_.prepare
    with autocast(device, net.bfloat16):
        prepare(x, x_ood, device)
    net.source_.to(device)  # also what a user's source has made on the CPU


def _has_state(checkpoints: Checkpoints | None) -> bool:
    """Return whether there is a checkpoint to continue from."""
    return checkpoints is not None and checkpoints.state is not None


@contextmanager
def _early_stopping(net: JointNet, patience: int | None):
    """Stop, in this fit only, when the loss on held-out samples stops falling."""
    if patience is None:
        yield
        return
    callback = EarlyStopping("valid_loss", patience=patience, load_best=True)
    net.callbacks_.append(("confident_clf_early_stopping", callback.initialize()))
    try:
        yield
    finally:
        net.callbacks_.pop()


class Run:
    """One fit of a net: its data, learning rates, checkpoints and last finite weights.

    `data` and `held_out` are data sets of samples and labels; `held_out` may be None.
    """

    def __init__(
        self,
        net: JointNet,
        data: Samples,
        held_out: Samples | None,
        epochs: int,
        lr_schedule,
        checkpoints: Checkpoints | None,
    ):
        self.net = net
        self.datasets = {"dataset_train": data, "dataset_valid": held_out}
        self.batches = ShuffledBatches(data.tensors, net.batch_size)
        self.epochs = epochs
        n_steps = epochs * len(self.batches)
        optimizers = net.optimizers_in_order()
        self.rates = ScheduledRates(lr_schedule, optimizers, n_steps)
        self.checkpoints = checkpoints
        # Number of epochs, weights of classifier and source.
        self.kept: tuple[int, tuple[dict, dict | None]] | None = None

    def train_epochs(self, n_epochs: int) -> None:
        """Train for some epochs; each is finished once its weights are kept."""
        net, n_before = self.net, len(self.net.history)
        net.check_training_readiness()
        with progress_bar("epoch", n_before, n_before + n_epochs) as advance:
            for _ in range(n_epochs):
                self._train_and_keep(advance)

    def _train_and_keep(self, advance: Callable) -> None:
        """Train for one epoch, tell everyone, and keep the weights."""
        net = self.net
        net.notify("on_epoch_begin", **self.datasets)
        with warm_up(net, len(net.history) - 1):
            figures = self._train_epoch()
        held_out = self.datasets["dataset_valid"]
        if held_out:
            self._validate(held_out)
        self._record(figures)
        advance(net.history[-1])
        net.notify("on_epoch_end", **self.datasets)
        self.keep_weights()
        self.write_checkpoint()

    def _train_epoch(self) -> dict[str, float]:
        """Make a step on every batch; return the mean losses of all players."""
        net, players = self.net, EpochMeans()
        net._set_training(True)
        net.drawn_ = []  # those of the last epoch are not in a checkpoint

        def step(batch):
            self.rates.set_next()
            result = net.train_step(batch)
            players.add(result.pop("losses"), len(batch[0]))
            return result

        epoch, losses, stop = len(net.history), EpochMeans(), None
        with located(epoch, net.optimizers_in_order()) as position:
            try:
                losses = self._each_batch(self.batches, step, True, position)
            except StopTraining as error:
                stop = error  # what a GPU has not told yet comes first
        with located(epoch, []) as position:
            self._check_epoch(players, position)
        if stop is not None:
            raise stop
        self._record_losses("train", losses)
        figures = {} if net.source is None else net.source_.end_epoch()
        return players.means() | figures

    def _validate(self, held_out: Samples) -> None:
        """Record the loss on the held-out samples."""
        # In order: no random numbers are drawn, so they do not change the training.
        batches = held_out.batches(int(self.net.batch_size))
        losses = self._each_batch(batches, self.net.validation_step, False)
        self._record_losses("valid", losses)

    def _each_batch(self, batches, step, training: bool, position=None) -> EpochMeans:
        """Call `step` on every batch; return the losses.

        skorch would read the loss of every batch, which makes a GPU wait, and notify
        every callback of every batch, which takes longer than a layer of a small
        network. This is done only for callbacks that look at batches.
        """
        net, losses = self.net, EpochMeans()
        prefix = "train" if training else "valid"
        watched = look_at_batches(net.callbacks_)
        for number, batch in enumerate(batches, start=1):
            if position is not None:
                position.batch = number
            if watched:
                # skorch's callbacks expect samples and labels, without weights.
                seen = batch[:2]
                net.notify("on_batch_begin", batch=seen, training=training)
                net._set_training(training)  # a callback may have predicted
            result = step(batch)
            losses.add({f"{prefix}_loss": result["loss"]}, len(batch[0]))
            if watched:
                net.history.record_batch(f"{prefix}_loss", result["loss"].item())
                net.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                net.notify("on_batch_end", batch=seen, training=training, **result)
        return losses

    def _record_losses(self, prefix: str, losses: EpochMeans) -> None:
        """Record mean loss, whether it is the best, and the number of batches."""
        history = self.net.history
        for name, mean in losses.means().items():
            before = [row[name] for row in history[:-1] if name in row]
            history.record(name, mean)
            history.record(f"{name}_best", mean < min(before, default=math.inf))
            history.record(f"{prefix}_batch_count", len(losses.sizes))

    def _record(self, figures: dict[str, float]) -> None:
        """Record the figures of an epoch in the history."""
        for name, value in figures.items():
            self.net.history.record(name, value)

    def _check_epoch(self, players: EpochMeans, position) -> None:
        """Raise DivergenceError if a loss or weight of the epoch is not finite.

        The gradients were finite. So such a loss has not moved anything, and such
        weights come from a step that was too large.
        """
        for name in players.names():
            player, is_total, _ = name.partition("_loss")
            values = players.values(name)
            finite = self._finite(values).tolist()
            if is_total and not all(finite):
                position.batch = finite.index(False) + 1
                raise DivergenceError(player, values[position.batch - 1].item())
        position.batch = len(players.sizes)
        net = self.net
        check_weights("classifier", net.module_)
        if net.source is not None:
            check_weights(type(net.source).__name__, net.source_)

    @staticmethod
    def _finite(losses: Tensor) -> Tensor:
        """Return which losses are finite, in all processes that train together."""
        return ranks_together().sum((~losses.isfinite()).float()) == 0

    def begin_or_resume(self) -> int:
        """Restore the checkpoint, if there is one; return how many epochs remain."""
        if self.checkpoints is None:
            return self.epochs
        if self.checkpoints.state is None:
            self.write_checkpoint()  # a source may have trained for a long time already
            return self.epochs
        restore(self.net, self.rates, self.checkpoints.state)
        ranks_together().start_alike(torch.device(self.net.device))
        self.keep_weights()
        # A fit that stopped early has no epochs left either.
        is_finished = self.checkpoints.state.get("is_finished")
        return 0 if is_finished else self.epochs - len(self.net.history)

    def write_checkpoint(self, is_finished: bool = False) -> None:
        """Write everything the next epoch depends on, if the user wants checkpoints."""
        if self.checkpoints is not None and is_first_rank():
            state = {**state_of(self.net, self.rates), "is_finished": is_finished}
            self.checkpoints.save(len(self.net.history), state)

    def keep_weights(self) -> None:
        """Keep a copy of the weights, in case the next epoch diverges."""
        net = self.net
        weights = net.module_.state_dict(), net.source and net.source_.state_dict()
        self.kept = len(net.history), deepcopy(weights)

    def undo_epoch(self) -> None:
        """Go back to the weights of the last finished epoch of this fit."""
        net = self.net
        if self.kept is None:
            net.history.clear()
            return
        n_epochs, (classifier, source) = self.kept
        del net.history[n_epochs:]
        net.module_.load_state_dict(classifier)
        if source is not None:
            net.source_.load_state_dict(source)
