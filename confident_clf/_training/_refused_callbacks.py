# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that cannot do their work in a fit: refused by name before training."""

from collections.abc import Iterator

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    InputShapeSetter,
    LRScheduler,
    PassthroughScoring,
    WandbLogger,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau

_SCORES = (BatchScoring, EpochScoring, PassthroughScoring)
_NO_SAMPLES = (
    "and this fit has none: pass fit(..., X_val=X_val, y_val=y_val), or set "
    "early_stopping=True, which holds some training samples back"
)


def check_callbacks(
    named_callbacks: list[tuple[str, Callback]], has_valid: bool, is_scheduled: bool
) -> None:
    """Raise ValueError for a callback that cannot work, with what to do instead.

    `has_valid` says whether there are samples to validate on, `is_scheduled` whether
    `lr_schedule` moves the learning rates.
    """
    for name, callback in named_callbacks:
        reason = next(_reasons(callback, named_callbacks, has_valid, is_scheduled), "")
        if reason:
            kind = type(callback).__name__
            title = kind if name == kind else f"{kind} {name!r}"
            raise ValueError(f"The callback {title} {reason}.")


def _reasons(
    callback: Callback, named_callbacks: list, has_valid: bool, is_scheduled: bool
) -> Iterator[str]:
    """Yield why a callback cannot work."""
    if isinstance(callback, InputShapeSetter):
        yield (
            "cannot change the networks, which are made for the shape of X. Leave it "
            "out: module is called with that shape, as module(input_shape, n_classes)"
        )
    if isinstance(callback, LRScheduler) and is_scheduled:
        yield (
            "and lr_schedule would both set the learning rate. Set lr_schedule=None, "
            "or leave the callback out"
        )
    monitor = _monitor(callback)
    if _is_unknown(monitor, named_callbacks):
        yield (
            f"monitors {monitor!r}, which is not recorded. Put a callback before it "
            "that records it, such as EpochScoring('accuracy', name="
            f"{monitor.removesuffix('_best')!r}, lower_is_better=False), or monitor "
            "a loss, such as 'train_loss' or 'valid_loss'"
        )
    if has_valid:
        return
    # A class of the user's own may bring its own samples.
    if type(callback) in _SCORES and not callback.on_train:
        yield f"scores validation samples, {_NO_SAMPLES}; or set on_train=True"
    if isinstance(callback, WandbLogger) and callback.save_model:
        yield (
            f"saves the model that is best on validation samples, {_NO_SAMPLES}; or "
            "set save_model=False"
        )
    if monitor.startswith("valid_loss") and not _is_recorded(monitor, named_callbacks):
        yield (
            f"monitors {monitor!r}, the loss on validation samples, {_NO_SAMPLES}; or "
            f"set monitor={monitor.replace('valid', 'train', 1)!r}"
        )


def _monitor(callback: Callback) -> str:
    """Return the name in the history that a callback looks at, empty if there is none.

    Of the learning rate schedulers only ReduceLROnPlateau looks at it.
    """
    monitor = getattr(callback, "monitor", None)
    is_unused = (
        isinstance(callback, LRScheduler) and callback.policy_ is not ReduceLROnPlateau
    )
    return monitor if isinstance(monitor, str) and not is_unused else ""


def _is_recorded(monitor: str, named_callbacks: list[tuple[str, Callback]]) -> bool:
    """Return whether a score of another callback has the name."""
    names = {getattr(callback, "name_", None) for _, callback in named_callbacks}
    return monitor.removesuffix("_best") in names


def _is_unknown(monitor: str, named_callbacks: list[tuple[str, Callback]]) -> bool:
    """Return whether a monitor is the name of a score that nothing records.

    Callbacks of the user's own, and sources, may record under any name.
    """
    is_score = monitor.startswith(("train_", "valid_"))
    is_loss = monitor.removesuffix("_best") in ("train_loss", "valid_loss")
    only_known = all(
        type(callback).__module__.startswith(("skorch.", "confident_clf."))
        for _, callback in named_callbacks
    )
    is_recorded = _is_recorded(monitor, named_callbacks)
    return is_score and only_known and not is_loss and not is_recorded
