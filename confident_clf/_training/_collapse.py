# SPDX-License-Identifier: BSD-3-Clause
"""Find signs in the history of a fit that a player of it learned nothing."""

import warnings

from sklearn.exceptions import ConvergenceWarning

# A draw is 2 log 2. At this loss the discriminator is right with probability 0.975 for
# training and generated samples alike. On 6 small data sets healthy GANs stayed above
# 0.26 in every epoch.
LOSS_OF_WINNER = 0.05
# At a hundredth of the spread of the training samples, all samples are alike. Those of
# an untrained generator have a twentieth.
SPREAD_OF_ONE_SAMPLE = 0.01
# In nats, for the largest mean of an epoch. Healthy GANs had 0.026 and more.
KL_OF_NO_USE = 1e-4
# Shorter fits are trials: nobody expects them to have learned much.
_EPOCHS_OF_A_FIT = 20
# On tables of 100 rows the spread grows by less than half in 50 epochs, and stays below
# a tenth. On larger ones it doubles at least, and ends at 0.15 to 0.5.
_GROWTH_OF_NO_LEARNING = 1.5
_SPREAD_OF_NO_LEARNING = 0.15
# So few steps are the likely reason why a loss has not fallen.
_FEW_STEPS = 200


def gan_problems(rows: list[dict]) -> list[str]:
    """Return what went wrong with the generator, in sentences.

    Looks at "discriminator_loss", "fake_spread", "kl" and "cross_entropy" of every
    epoch, where they are recorded. A number after a name means a further generator.
    """
    if not rows:
        return []
    problems = []
    last = rows[-1]
    for name, value in last.items():
        if name.startswith("discriminator_loss") and value < LOSS_OF_WINNER:
            problems.append(
                f"the discriminator recognises all generated samples ({name} "
                f"{value:.2g} in the last epoch, where 1.39 is a draw)"
            )
        if name.startswith("fake_spread") and value < SPREAD_OF_ONE_SAMPLE:
            problems.append(
                f"the generated samples are all alike ({name} {value:.2g} in the last "
                "epoch, where training samples have 1)"
            )
        if name.startswith("fake_spread") and _has_not_spread(rows, name):
            problems.append(
                f"the generator ended where it started ({name} {value:.2g} in the last "
                f"epoch, {rows[0][name]:.2g} in the first, where training samples have "
                f"1; it made {_n_steps(rows)} steps)"
            )
    has_gan = any(name.startswith("discriminator_loss") for name in last)
    largest_kl = max(row.get("kl", 1.0) for row in rows)
    # A classifier that is unsure of the training samples too has not learned them yet.
    first, now = (row.get("cross_entropy", 0.0) for row in (rows[0], last))
    if has_gan and largest_kl < KL_OF_NO_USE and now < 0.5 * first:
        problems.append(
            "the classifier was unsure of the generated samples from the start (kl at "
            f"most {largest_kl:.2g} in every epoch), so they taught it nothing"
        )
    return problems


def _has_not_spread(rows: list[dict], name: str) -> bool:
    """Return whether the generated samples differ as little as in the beginning."""
    first, last = rows[0].get(name, 0.0), rows[-1][name]
    is_small = last < min(_SPREAD_OF_NO_LEARNING, _GROWTH_OF_NO_LEARNING * first)
    return len(rows) >= _EPOCHS_OF_A_FIT and is_small


def _n_steps(rows: list[dict]) -> int:
    """Return how many batches the players were trained on."""
    return sum(row.get("train_batch_count", 0) for row in rows)


def warn_of_history(rows: list[dict]) -> None:
    """Warn of what the history of a fit shows to have gone wrong."""
    warn_of_few_steps(rows)
    warn_of_collapse(rows)


def warn_of_few_steps(rows: list[dict]) -> None:
    """Warn if few steps have hardly lowered the classifier's cross entropy.

    That happens on very few rows, where an epoch has one or two batches.
    """
    if len(rows) < _EPOCHS_OF_A_FIT or _n_steps(rows) > _FEW_STEPS:
        return
    name = "cross_entropy" if "cross_entropy" in rows[0] else "classifier_loss"
    first, last = rows[0][name], rows[-1][name]
    if last > 0.7 * first:
        warnings.warn(
            f"The classifier made only {_n_steps(rows)} steps in {len(rows)} epochs, "
            f"and its cross entropy fell from {first:.2g} to {last:.2g} only. Set a "
            "larger max_epochs, a smaller batch_size or a larger lr.",
            ConvergenceWarning,
            stacklevel=2,
        )


def warn_of_collapse(rows: list[dict]) -> None:
    """Warn once of everything that `gan_problems` finds."""
    problems = gan_problems(rows)
    if problems:
        warnings.warn(
            f"The GAN did not converge: {'; '.join(problems)}. The classifier can be "
            "used, but do not rely on its out-of-distribution samples. Try another "
            "gan_lr, a larger max_epochs, scale the features, or ood_source='noise'.",
            ConvergenceWarning,
            stacklevel=2,
        )
