# SPDX-License-Identifier: BSD-3-Clause
"""How a net predicts: by skorch's methods, and the same whatever the batch."""

import torch
from skorch import NeuralNet
from skorch.utils import to_tensor
from torch.utils.data import TensorDataset

from confident_clf.modules._trial import keeps_nothing
from confident_clf.utils._inference import (
    environment,
    map_padded,
    sizes_that_round_alike,
)
from confident_clf.utils._tensors import as_float
from confident_clf.utils._threads import one_thread


class PredictingNet(NeuralNet):
    """The part of a net that makes no steps.

    For subclasses that set `single_thread`, `source_` and `inference_sizes_`.
    """

    def get_iterator(self, dataset, training=False):
        """Return batches in order, for `forward`; `fit_loop` shuffles those of a fit.

        They draw no random numbers: a callback that predicts leaves the fit as it is.
        """
        loader = super().get_iterator(dataset, training)
        if isinstance(dataset, TensorDataset):
            size = int(loader.batch_size)
            return list(zip(*(t.split(size) for t in dataset.tensors), strict=True))
        loader.generator = torch.Generator()  # else it draws from the global one
        return loader

    def infer(self, x, **fit_params):
        """Return the logits of a batch, its pixels scaled as in training."""
        return super().infer(as_float(to_tensor(x, self.device)), **fit_params)

    def threads(self):
        """Use as many threads as the networks are worth."""
        return one_thread(self.single_thread)

    def workers(self):
        """Return how many batches to predict at once, each in a thread of its own."""
        can_share = self.single_thread and keeps_nothing(self.module_)
        # Python's lock, which each layer's call takes, leaves no work for more than 8.
        return min(torch.get_num_threads(), 8) if can_share else 1

    def logits(self, x):
        """Return the logits of samples, the same whatever batch they come in.

        Parameters
        ----------
        x : ndarray of shape (n, *input_shape), float32 or uint8
            The samples.

        Returns
        -------
        ndarray of shape (n, K), float32
            Unnormalised log-probabilities.
        """
        self._set_training(False)
        workers = self.workers()
        with self.threads():
            environment_, sizes = self.inference_sizes_
            if environment(self.device) != environment_:
                sizes = None
            return map_padded(
                torch.inference_mode()(lambda batch: self.module_(as_float(batch))),
                x,
                device=self.device,
                sizes=sizes,
                workers=workers,
            )

    def choose_inference_sizes(self, input_shape):
        """Find the sizes of batches that round alike here, unless that is known.

        They depend on shapes, not on weights: training that goes on changes nothing.
        """
        here = environment(self.device)
        if self.inference_sizes_[0] != here:
            self._set_training(False)
            sizes = sizes_that_round_alike(self.module_, input_shape, self.device)
            self.inference_sizes_ = here, sizes

    def sample(self, n):
        """Return `n` samples of the source, ndarray (n, *input_shape), float32."""
        self._set_training(False)
        with self.threads(), torch.inference_mode():
            return self.source_.sample(n).cpu().numpy()
