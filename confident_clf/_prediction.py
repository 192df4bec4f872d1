# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted classifier says: classes, probabilities, scores, samples."""

from numbers import Integral

import torch
from scipy.special import softmax
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from confident_clf._network_view import NetworkView
from confident_clf.scores._make_score import make_score, same_score
from confident_clf.utils._labels import is_ood_label
from confident_clf.utils._seeding import draw_seed, seeded
from confident_clf.utils._sklearn import _fit_context


class PredictionMixin:
    """Predictions, all of them from the logits of the net.

    For estimators with `net_`, `classes_`, `input_shape_`, `method_` and a `_validate`
    method.
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
        method : str, OODScore or None, default=None
            As in the constructor; None takes the constructor's. Those that are fitted
            on the training samples must be the constructor's when `fit` or
            :meth:`fit_method` is called.

        Returns
        -------
        ndarray of shape (n,), float64
            For "msp" between 0 and 1 - 1 / n_classes.

        Raises
        ------
        ValueError
            If the method is unknown, or needs the training samples and was not fitted.
        """
        check_is_fitted(self)
        score = self._ready(self.method if method is None else method)
        return score.ood_score(self._view(self.net_), self._samples(X))

    def score_samples(self, X, method=None):
        """Return a score that is higher for in-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.
        method : str, OODScore or None, default=None
            As in :meth:`ood_score`.

        Returns
        -------
        ndarray of shape (n,), float64
            The negative :meth:`ood_score`.
        """
        return -self.ood_score(X, method=method)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_method(self, X, y):
        """Fit the score that `method` names, on the network as it is.

        For another method than that of `fit` without training again, as in
        ``clf.set_params(method="knn").fit_method(X, y)``.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples to fit it on: those of `fit`.
        y : array-like of shape (n,)
            Their labels; rows labelled `ood_label` are left out.

        Returns
        -------
        ConfidentClassifier
            The classifier itself, with another `method_`.

        Raises
        ------
        ValueError
            If the network lacks what the method needs, or X and y do not fit those of
            `fit`.
        """
        check_is_fitted(self)
        X, y = self._validate_more(X, y)
        known = ~is_ood_label(y, self.ood_label)
        X, y = X[known], self._encode_labels(y[known])
        self._check_method(self.net_, X)
        self._fit_method(X, y)
        return self

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
        outputs = self._view(self.net_)(self._samples(X))
        return outputs[:, : len(self.classes_)]

    def _samples(self, X):
        """Return validated samples in the shape that the networks see."""
        return self._validate(X).reshape(-1, *self.input_shape_)

    def _view(self, net):
        """Return what scores see of a net."""
        return NetworkView(net, len(self.classes_))

    def _check_method(self, net, X):
        """Raise ValueError if the net lacks what the method needs."""
        few = X[:4].reshape(-1, *self.input_shape_)
        make_score(self.method).check(self._view(net), few)

    def _fit_method(self, X, y):
        """Fit the method's score on the training samples, all in-distribution."""
        X = X.reshape(-1, *self.input_shape_)
        score = clone(make_score(self.method))
        self.method_ = score.fit(self._view(self.net_), X, y)

    def _ready(self, method):
        """Return the score that a method stands for, fitted if it must be."""
        score = make_score(method)
        if not score.needs_fit:
            return score
        if same_score(score, self.method_):
            return self.method_
        raise ValueError(
            f"method={method!r} is fitted on the training samples, and this classifier "
            f"was fitted with method={self.method_!r}. Call "
            f"set_params(method={method!r}).fit_method(X, y), or set it before fit."
        )
