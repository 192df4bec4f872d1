# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted classifier says: classes, probabilities, scores, samples."""

from numbers import Integral

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores import msp_with_reject, score_logits
from confident_clf.utils._seeding import draw_seed, seeded


class PredictionMixin:
    """Predictions, all of them from the logits of the net.

    For estimators with `net_`, `classes_`, `input_shape_` and a `_validate` method.
    """

    def predict(self, X):
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n,)
            Labels out of `classes_`.
        """
        check_is_fitted(self)
        return self.classes_[self._logits(X).argmax(axis=1)]

    def predict_proba(self, X):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            Softmax of the logits, in the order of `classes_`.
        """
        check_is_fitted(self)
        return softmax(self._logits(X), axis=1)

    def decision_function(self, X):
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes, float64
            Unnormalised log-probabilities; for two classes the log-odds of
            ``classes_[1]``.
        """
        check_is_fitted(self)
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def ood_score(self, X, method=None):
        """Return a score that is higher for out-of-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.
        method : str or None, default=None
            One of the constructor's methods; None takes the constructor's.

        Returns
        -------
        ndarray of shape (n,), float64
            For "msp" between 0 and 1 - 1 / n_classes.

        Raises
        ------
        ValueError
            If the method is unknown.
        """
        check_is_fitted(self)
        method = self.method if method is None else method
        logits = self._outputs(X)
        n_classes = len(self.classes_)
        if method == "msp" and logits.shape[1] > n_classes:
            return msp_with_reject(logits)
        return score_logits(logits[:, :n_classes], method)

    def score_samples(self, X, method=None):
        """Return a score that is higher for in-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.
        method : str or None, default=None
            As in :meth:`ood_score`.

        Returns
        -------
        ndarray of shape (n,), float64
            The negative :meth:`ood_score`.
        """
        return -self.ood_score(X, method=method)

    def sample_ood(self, n):
        """Return samples of the fitted source, in the units of X.

        Parameters
        ----------
        n : int
            Number of samples, at least 1.

        Returns
        -------
        ndarray of shape (n, features) or (n, channels, height, width)
            As X in `fit`: uint8 where that was uint8, else float32. With an int
            `random_state` always the same ones. A source in feature space returns
            features, (n, n_features) float32; of a list that mixes it with others, what
            is returned are the others' samples.

        Raises
        ------
        ValueError
            If `n` is not positive, or there is no source (``ood_source=None``).
        """
        check_is_fitted(self)
        if not (isinstance(n, Integral) and n >= 1):
            raise ValueError(f"n must be a positive integer; got {n!r}.")
        if self.net_.source is None:
            raise ValueError(
                "There is nothing to sample from: the classifier was fitted with "
                "ood_source=None. Fit it with another source, such as 'joint'."
            )
        with seeded(draw_seed(self.random_state), torch.device(self.net_.device)):
            samples = self.net_.sample(n)
        if not self.net_.source.makes_inputs:
            return samples
        return self._format.restore(samples)

    def _logits(self, X):
        """Return the logits of the classes, (n, n_classes) float64."""
        return self._outputs(X)[:, : len(self.classes_)]

    def _outputs(self, X):
        """Return the logits of the classes and of rejection, if any, float64."""
        X = self._validate(X).reshape(-1, *self.input_shape_)
        return self.net_.logits(X).astype(np.float64)
