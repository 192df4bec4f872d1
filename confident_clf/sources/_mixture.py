# SPDX-License-Identifier: BSD-3-Clause
"""Several sources at once, each with its share of the samples."""

import torch
from sklearn.base import clone
from torch import Tensor, nn

from confident_clf.sources._base import OODSource


class MixtureOOD(OODSource):
    """Out-of-distribution samples from several sources.

    Parameters
    ----------
    sources : sequence of OODSource
        The sources; each is cloned.
    shares : sequence of float or None, default=None
        The share of each in the samples, positive; scaled to sum to 1. None: equal.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import JointGAN, MixtureOOD, NoiseOOD
    >>> source = MixtureOOD([JointGAN(), NoiseOOD()], shares=[3, 1])
    >>> clf = ConfidentClassifier(ood_source=source)
    """

    def __init__(self, sources, *, shares=None):
        super().__init__()
        self.sources = sources
        self.shares = shares

    @property
    def needs_ood_rows(self):
        """Whether one of the sources needs the user's rows."""
        return any(source.needs_ood_rows for source in self.sources)

    def prepare(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Clone the sources, once, and prepare each."""
        shares = [1] * len(self.sources) if self.shares is None else list(self.shares)
        if not self.sources or len(shares) != len(self.sources) or min(shares) <= 0:
            raise ValueError(
                f"shares={self.shares!r} must be positive numbers, one for each of the "
                f"{len(self.sources)} sources, and there must be a source."
            )
        ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        self.ends_ = (ends / ends[-1]).tolist()
        if not hasattr(self, "sources_"):
            self.sources_ = nn.ModuleList(clone(source) for source in self.sources)
        for source in self.sources_:
            source.prepare(x, x_ood if source.needs_ood_rows else None, device)

    def step(self, x: Tensor, net) -> dict[str, Tensor]:
        """Let each source move; a loss that several have is named by its number."""
        losses = {}
        for i, source in enumerate(self.sources_):
            for name, loss in source.step(x, net).items():
                losses[f"{name}_{i}" if name in losses else name] = loss
        return losses

    def optimizers(self) -> list:
        """Return the optimizers of all sources."""
        return [opt for source in self.sources_ for opt in source.optimizers()]

    def sample(self, n: int) -> Tensor:
        """Return `n` samples, of each source its share."""
        # One random shift rounds all shares: over many batches they come out exact.
        shift = float(torch.rand(()))
        ends = [0, *(int(n * end + shift) for end in self.ends_[:-1]), n]
        parts = []
        for source, start, end in zip(self.sources_, ends[:-1], ends[1:], strict=True):
            if end > start:
                parts.append(source.sample(end - start))
        return torch.cat(parts)
