# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution samples that the user gives: the paper's green bar."""

import torch
from torch import Tensor

from confident_clf._training._batches import resident
from confident_clf.sources._source import OODSource
from confident_clf.utils._tensors import as_float


class ExplicitOOD(OODSource):
    """Rows that the user gave as out-of-distribution, drawn with replacement.

    They come as ``fit(..., X_ood=...)`` or as rows of X labelled `ood_label`. This is
    the confidence loss, eq. (1) of [1]_, with a data set as P_out:
    ``CE(f(x), y) + beta * KL(U || p(. | x_ood))``, x_ood drawn from these rows.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (1).

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import ExplicitOOD
    >>> clf = ConfidentClassifier(ood_source=ExplicitOOD())
    """

    needs_ood_rows = True
    _near: Tensor | None = None  # the rows where training takes place

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Keep the user's rows as they are, and a copy on a GPU if they fit there."""
        super().prepare(x, x_ood, device)
        if x_ood is not None:
            self.rows = x_ood
        (self._near,) = resident((self.rows,), device)

    def sample(self, n: int) -> Tensor:
        """Return `n` of the rows, drawn with replacement."""
        rows = self.rows if self._near is None else self._near
        index = torch.randint(len(rows), (n,), device=rows.device)
        return as_float(rows[index].to(self.device))

    def forget_batch(self) -> None:
        """Drop the copy: pickles and copies of the source are made without it."""
        self.__dict__.pop("_near", None)
