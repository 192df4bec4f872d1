# SPDX-License-Identifier: BSD-3-Clause
"""Find signs in the history of a fit that its GAN taught the classifier nothing."""

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


def warn_of_collapse(rows: list[dict]) -> None:
    """Warn once of everything that `gan_problems` finds."""
    problems = gan_problems(rows)
    if problems:
        warnings.warn(
            f"The GAN did not converge: {'; '.join(problems)}. The classifier can be "
            "used, but do not rely on its out-of-distribution samples. Try another "
            "gan_lr, scale the features, or ood_source='noise'.",
            ConvergenceWarning,
            stacklevel=2,
        )
