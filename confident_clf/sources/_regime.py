# SPDX-License-Identifier: BSD-3-Clause
"""Source, weight and target of the out-of-distribution samples of a classifier."""

from typing import NamedTuple

from torch import nn

from confident_clf.sources._make_source import make_source
from confident_clf.sources._source import OODSource
from confident_clf.utils._params import is_auto, resolve_beta

# What "auto" was found to be best with: docs/results/tables.md and figure1.md. There is
# no default generator for signals and volumes.
_AUTO_SOURCES = {"images": ["joint", "noise"], "others": "noise"}


class Regime(NamedTuple):
    """The source of the OOD samples, the weight of their loss, and their target."""

    source: OODSource | None
    beta: float
    ood_target: str


def make_regime(clf, input_shape: tuple[int, ...]) -> Regime:
    """Return the regime that the parameters of a classifier mean.

    "auto" depends on whether a sample is a row, an image or something else. The source
    is not fitted. Raise ValueError if there is no such source, or a parameter of it is
    out of range.
    """
    automatic, is_row = is_auto(clf.ood_source), len(input_shape) == 1
    # A network that is there already has no logit to reject with.
    can_reject = not isinstance(clf.module, nn.Module)
    options = {
        "generator": clf.generator,
        "discriminator": clf.discriminator,
        "latent_dim": clf.latent_dim,
        "lr": clf.gan_lr,
        "entropy_weight": clf.entropy_weight,
        "max_epochs": clf.max_epochs,
        "batch_size": clf.batch_size,
        "lr_schedule": clf.lr_schedule,
    }
    source = _AUTO_SOURCES["images" if len(input_shape) == 3 else "others"]
    target = "reject" if automatic and is_row and can_reject else "uniform"
    return Regime(
        make_source(source if automatic else clf.ood_source, options),
        resolve_beta(clf.beta, clf.ood_source),
        target if is_auto(clf.ood_target) else clf.ood_target,
    )


def check_same_kind(clf, regime: Regime, net) -> None:
    """Raise ValueError if the training so far had another kind of source or target."""
    source = net.source
    same_source = _kinds(regime.source) == _kinds(source)
    same_target = source is None or regime.ood_target == net.ood_target
    for name, began, is_same in (
        ("ood_source", source, same_source),
        ("ood_target", net.ood_target, same_target),
    ):
        if not is_same:
            raise ValueError(
                f"{name}={getattr(clf, name)!r} cannot continue a training that began "
                f"with {began!r}. Leave it as it was, or train anew, by fit with "
                "warm_start=False."
            )


def _kinds(source: OODSource | None) -> list[type]:
    """Return the classes of the sources that make samples, without mixtures."""
    parts = [] if source is None else source.parts().values()
    return [type(part) for part in parts if len(part.parts()) == 1]
