# SPDX-License-Identifier: BSD-3-Clause
"""From the parameters of a classifier to a net that is ready to train."""

import numpy as np
import torch

from confident_clf._networks._build import ClassifierFactory
from confident_clf._networks._network_params import with_hidden
from confident_clf._networks._trial import (
    check_classifier,
    flop,
    prefer_channels_last,
    warn_of_batch_norm,
)
from confident_clf._training._augment import resolve_augment
from confident_clf._training._callbacks import own_callbacks
from confident_clf._training._compile import resolve_compile
from confident_clf._training._fine_tuning import fine_tune
from confident_clf._training._net import JointNet
from confident_clf._training._optim import adamw
from confident_clf._training._ranks import is_first_rank
from confident_clf.utils._compute import is_small, use_bfloat16
from confident_clf.utils._tensors import as_float, as_tensor


def make_net(clf, X: np.ndarray, regime, device: torch.device) -> JointNet:
    """Return a net whose classifier was tried on a few rows of X.

    The work of one pass decides in which precision, and on how many threads, it runs.
    """
    source = regime.source
    rejects = regime.ood_target == "reject" and source is not None
    n_outputs = len(clf.classes_) + rejects
    module = with_hidden(clf.module, clf.hidden, clf.input_shape_)
    factory = ClassifierFactory(module, clf.input_shape_, n_outputs)
    net = new_net(clf, factory, regime, device).initialize()
    few = as_tensor(np.array(X[:4])).reshape(-1, *clf.input_shape_)
    try_net(net, few, clf, device)
    fine_tune(net, as_float(few).to(device), clf.backbone_lr, clf.head_epochs)
    if source is not None and source.makes_inputs:
        warn_of_batch_norm(net.module_)
    return net


def try_net(net: JointNet, few: torch.Tensor, clf, device: torch.device) -> None:
    """Try the classifier of a net on a few samples, and set how it computes."""
    few = as_float(few).to(device)
    check_classifier(net.module_, few, net.module.n_outputs, len(clf.classes_))
    prefer_channels_last(net.module_, few)
    work = flop(net.module_, few) / len(few)
    net.set_params(
        bfloat16=use_bfloat16(clf.precision, device, work),
        single_thread=is_small(device, work * clf.batch_size),
    )


def new_net(
    clf, factory: ClassifierFactory, regime, device: torch.device, **options
) -> JointNet:
    """Return a net that has no networks yet; `options` are parameters of JointNet."""
    return JointNet(
        factory,
        source=regime.source,
        ood_target=regime.ood_target,
        optimizer=adamw,
        max_epochs=clf.max_epochs,
        callbacks=own_callbacks(clf.callbacks),
        device=device,
        **step_params(clf, regime.beta),
        **options,
    )


def step_params(clf, beta: float) -> dict:
    """Return the net's parameters that may change when training continues."""
    return {
        "lr": clf.lr,
        "beta": beta,
        "batch_size": clf.batch_size,
        "optimizer__weight_decay": clf.weight_decay,
        "label_smoothing": clf.label_smoothing,
        "augment": resolve_augment(clf.augment, clf.input_shape_),
        "dynamo": resolve_compile(clf.compile),
        # 1 is a bar, which the net knows nothing of.
        "verbose": clf.verbose if clf.verbose > 1 and is_first_rank() else 0,
    }
