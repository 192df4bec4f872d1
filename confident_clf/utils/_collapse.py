# SPDX-License-Identifier: BSD-3-Clause
"""See from the history of a training that its GAN has taught the classifier nothing."""

import warnings

from sklearn.exceptions import ConvergenceWarning

# A draw is 2 log 2; this is to be right with 0.975 of training and made samples each.
# On 6 small data sets healthy GANs came no lower than 0.26 in any epoch.
LOSS_OF_WINNER = 0.05
# Samples that differ by a hundredth of what the training samples do are all alike. An
# untrained generator's differ by a twentieth.
SPREAD_OF_ONE_SAMPLE = 0.01
# In nats, of the largest mean of an epoch; healthy ones had 0.026 and more.
KL_OF_NO_USE = 1e-4


def gan_problems(rows):
    """Return what went wrong with a generator, in sentences.

    Parameters
    ----------
    rows : list of dict of str to float
        The figures of every epoch: "discriminator_loss", "fake_spread", "kl" and
        "cross_entropy", as far as there are any. What has a number behind its name is
        of a further generator.

    Returns
    -------
    list of str
        The problems; empty where there is none, or no generator.
    """
    if not rows:
        return []
    problems = []
    last = rows[-1]
    for name, value in last.items():
        if name.startswith("discriminator_loss") and value < LOSS_OF_WINNER:
            problems.append(
                f"the discriminator tells all generated samples ({name} "
                f"{value:.2g} in the last epoch, where 1.39 is a draw)"
            )
        if name.startswith("fake_spread") and value < SPREAD_OF_ONE_SAMPLE:
            problems.append(
                f"the generated samples are all alike ({name} {value:.2g} in the last "
                "epoch, where training samples have 1)"
            )
    has_gan = any(name.startswith("discriminator_loss") for name in last)
    largest_kl = max(row.get("kl", 1.0) for row in rows)
    # One that is unsure of the training samples too has only not learnt them yet.
    first, now = (row.get("cross_entropy", 0.0) for row in (rows[0], last))
    if has_gan and largest_kl < KL_OF_NO_USE and now < 0.5 * first:
        problems.append(
            "the classifier was unsure of the generated samples from the start (kl at "
            f"most {largest_kl:.2g} in every epoch), so that they taught it nothing"
        )
    return problems


def warn_of_collapse(rows):
    """Warn of what `gan_problems` finds, all of it at once."""
    problems = gan_problems(rows)
    if problems:
        warnings.warn(
            f"The GAN did not converge: {'; '.join(problems)}. The classifier can be "
            "used, but do not rely on its out-of-distribution samples. Try another "
            "gan_lr, scale the features, or ood_source='noise'.",
            ConvergenceWarning,
            stacklevel=2,
        )
