# SPDX-License-Identifier: BSD-3-Clause
"""The types and ranges that the parameters of ConfidentClassifier may have."""

from numbers import Integral, Real
from os import PathLike

import numpy as np
import torch

from confident_clf._training._augment import AUGMENTATIONS
from confident_clf._training._schedules import SCHEDULES
from confident_clf.scores import OODScore
from confident_clf.scores._make_score import SCORES
from confident_clf.sources import OODSource
from confident_clf.sources._make_source import SOURCES
from confident_clf.utils._sklearn import Interval, StrOptions

CONSTRAINTS: dict = {
    "module": [callable, None],
    "hidden": [
        Interval(Integral, 1, None, closed="left"),
        *(list, tuple, np.ndarray),
        None,
    ],
    "ood_source": [StrOptions({"auto", *SOURCES}), OODSource, list, None],
    "beta": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    "ood_target": [StrOptions({"auto", "uniform", "reject"})],
    "generator": [callable, None],
    "discriminator": [callable, None],
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "entropy_weight": [Interval(Real, 0, None, closed="left")],
    "image_shape": [tuple, list, None],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "backbone_lr": [Interval(Real, 0, None, closed="left"), dict, None],
    "head_epochs": [Interval(Integral, 0, None, closed="left")],
    "gan_lr": [Interval(Real, 0, None, closed="neither"), None],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "lr_schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "augment": [StrOptions(set(AUGMENTATIONS)), callable, None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "ood_label": "no_validation",
    "method": [StrOptions(set(SCORES)), OODScore, list],
    "device": [str, torch.device],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "compile": ["boolean", dict],
    "inference": [StrOptions({"exact", "fast"})],
    "callbacks": [list, tuple, None],
    "warm_start": ["boolean"],
    "checkpoint": [str, PathLike, None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}
