# SPDX-License-Identifier: BSD-3-Clause
"""The estimator: validate, encode labels, seed, build the net, predict."""

from copy import deepcopy
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from confident_clf._net import JointNet
from confident_clf._samples import SamplesMixin
from confident_clf.modules._build import build_classifier
from confident_clf.modules._checks import check_classifier, warn_of_batch_norm
from confident_clf.scores import LOGIT_SCORES, msp_with_reject, score_logits
from confident_clf.sources import OODSource
from confident_clf.sources._make import NAMES, make_source
from confident_clf.utils._device import resolve_device
from confident_clf.utils._seeding import draw_seed, seeded
from confident_clf.utils._sklearn import Interval, StrOptions, _fit_context
from confident_clf.utils._state import unchanged_on_error
from confident_clf.utils._tensors import as_float


class ConfidentClassifier(SamplesMixin, ClassifierMixin, BaseEstimator):
    """Neural network classifier that is unsure of what it was not trained for.

    Trains with the confidence loss of [1]_: cross entropy on the training data plus
    `beta` times the KL divergence from the uniform distribution to the prediction on
    out-of-distribution (OOD) samples. Where there are none, a generator of boundary
    samples is trained jointly. The maximum class probability then tells known inputs
    from unknown ones.

    Parameters
    ----------
    module : callable or None, default=None
        ``module(input_shape, n_classes)`` returns the classifier, a
        :class:`torch.nn.Module` that maps samples to logits (n, n_classes):
        a class, a :func:`functools.partial` of one, or any function. None takes an
        :class:`~confident_clf.modules.MLP` for rows and a
        :class:`~confident_clf.modules.SmallConvNet` for images.
    ood_source : {"joint", "gan", "explicit", "noise"}, OODSource, list or None, \
            default="joint"
        Where the OOD samples come from. "joint": a GAN trained together with the
        classifier, eq. (2) of [1]_. "gan": the original GAN, trained first. "explicit":
        the rows given as `X_ood` or labelled `ood_label`. "noise": see
        :class:`~confident_clf.sources.NoiseOOD`. None: plain cross entropy. An
        :class:`~confident_clf.sources.OODSource` is cloned. A list mixes sources in
        equal shares, or in those of pairs ``(source, share)``.
    beta : float, default=0.1
        Weight of the KL term, at least 0, for classifier and generator.
    ood_target : {"uniform", "reject"}, default="uniform"
        What to predict for OOD samples. "uniform": all classes alike, as in [1]_.
        "reject": none of them, by one more logit of the module; `predict_proba` remains
        over the classes. That is the safer choice far from the data.
    generator : callable or None, default=None
        Network of "joint" and "gan": see :class:`~confident_clf.sources.JointGAN`.
    discriminator : callable or None, default=None
        Network of "joint" and "gan": see :class:`~confident_clf.sources.JointGAN`.
    latent_dim : int, default=100
        Size of the generator's latent vector, for "joint" and "gan".
    entropy_weight : float, default=0.0
        Weight of the generator's entropy, for "joint" and "gan".
    image_shape : tuple of (channels, height, width) or None, default=None
        Says that the rows of a 2-D X are images, flattened, so that scalers and column
        tools work on them; one size may be -1: what is left. Leave None for rows of
        features and for 4-D images.
    lr : float, default=1e-3
        Learning rate of the classifier's Adam.
    gan_lr : float or None, default=None
        Learning rate of the GAN's Adam, for "joint" and "gan". None: 1e-3 for images,
        2e-4 for rows.
    batch_size : int, default=64
        Training samples in a batch, at least 2; as many OOD samples go with them.
    max_epochs : int, default=50
        Passes over the training data.
    ood_label : object, default=None
        Rows of X with this label are OOD samples, never a class. Sources that need no
        such rows leave them out. None: there is no such label.
    method : {"msp", "energy", "entropy", "margin", "max_logit"}, default="msp"
        Score of :meth:`ood_score`; "msp" is one minus the maximum class probability,
        the detector of [1]_.
    device : str or torch.device, default="auto"
        Where to train and predict; "auto" is the GPU where there is one.
    callbacks : list of skorch callbacks or None, default=None
        Copied before use.
    warm_start : bool, default=False
        Whether a further `fit` goes on with the networks there are, for `max_epochs`
        more. `lr`, `batch_size` and `beta` may change, the data's format and classes
        may not.
    verbose : int, default=0
        1 prints the history, a line for each epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, shuffling, latent vectors and dropout. An int makes every
        fit the same. The global random states are left as they were.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels seen in `fit`, without `ood_label`.
    n_features_in_ : int
        Number of features; of channels for 4-D images.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where all of them are strings.
    input_shape_ : tuple of int
        Shape of a sample as the networks see it.
    net_ : JointNet
        The trained skorch net.
    history_ : skorch.history.History
        A dict for each epoch: the mean loss of every player ("classifier_loss",
        "generator_loss", "discriminator_loss"), the parts of the classifier's
        ("cross_entropy", "kl") and its duration in seconds ("dur").
    n_epochs_ : int
        Number of epochs trained.

    See Also
    --------
    OODDetector : Turns the score into a decision with a target true positive rate.
    confident_clf.metrics.make_ood_scorer : Scorers for model selection.

    Notes
    -----
    The networks do not scale their input. Put a scaler before the classifier, as for
    :class:`sklearn.neural_network.MLPClassifier`. uint8 images are scaled to [0, 1]
    batch by batch; floats are taken as they are.

    There is no `sample_weight`: to mini-batches, repeating and weighting differ.

    References
    ----------
    .. [1] K. Lee, H. Lee, K. Lee and J. Shin, "Training Confidence-calibrated
       Classifiers for Detecting Out-of-Distribution Samples", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier
    >>> X, y = make_blobs(200, centers=[[-3, 0], [3, 0]], random_state=0)
    >>> clf = ConfidentClassifier(lr=0.01, max_epochs=10, random_state=0).fit(X, y)
    >>> clf.score(X, y)
    1.0
    >>> between, known = clf.ood_score([[0, 0], [3, 0]])
    >>> bool(between > known)
    True
    """

    _parameter_constraints = {
        "module": [callable, None],
        "ood_source": [StrOptions(set(NAMES)), OODSource, list, None],
        "beta": [Interval(Real, 0, None, closed="left")],
        "ood_target": [StrOptions({"uniform", "reject"})],
        "generator": [callable, None],
        "discriminator": [callable, None],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "image_shape": [tuple, list, None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "gan_lr": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "ood_label": "no_validation",
        "method": [StrOptions(set(LOGIT_SCORES))],
        "device": [str, torch.device],
        "callbacks": [list, tuple, None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        module=None,
        *,
        ood_source="joint",
        beta=0.1,
        ood_target="uniform",
        generator=None,
        discriminator=None,
        latent_dim=100,
        entropy_weight=0.0,
        image_shape=None,
        lr=1e-3,
        gan_lr=None,
        batch_size=64,
        max_epochs=50,
        ood_label=None,
        method="msp",
        device="auto",
        callbacks=None,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.module = module
        self.ood_source = ood_source
        self.beta = beta
        self.ood_target = ood_target
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.entropy_weight = entropy_weight
        self.image_shape = image_shape
        self.lr = lr
        self.gan_lr = gan_lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.ood_label = ood_label
        self.method = method
        self.device = device
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, X_ood=None):
        """Train classifier and source on the data.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Training samples; uint8 images stay uint8, all else becomes float32.
        y : array-like of shape (n,)
            Labels of any kind; rows labelled `ood_label` are OOD samples.
        X_ood : array-like of shape (m, ...) or None, default=None
            OOD samples for a source that needs them, in the shape and units of `X`.

        Returns
        -------
        ConfidentClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            Before any training: if a parameter is out of range, X is not finite or of
            a wrong shape, there is only one class, the source needs OOD rows and has
            none, or the other way round, or a network does not fit the data.
        TypeError
            If `module`, `generator` or `discriminator` does not make a module.
        """
        with unchanged_on_error(self):
            if self.warm_start and hasattr(self, "net_"):
                self._go_on(X, y, X_ood, epochs=self.max_epochs)
            else:
                self._start(X, y, X_ood, epochs=self.max_epochs)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, X_ood=None):
        """Train for one pass over some data, after others.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Training samples, at least two. The first call learns their format: a GAN
            keeps the range, or the location and scale, that it sees there.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels there will ever be; needed in the first call.
        X_ood : array-like of shape (m, ...) or None, default=None
            As in `fit`; in later calls the source goes on with the last ones given.

        Returns
        -------
        ConfidentClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As in `fit`; if `classes` is missing in the first call, or a label is not
            among them.
        """
        with unchanged_on_error(self):
            if hasattr(self, "net_"):
                if classes is not None and set(classes) != set(self.classes_.tolist()):
                    raise ValueError(
                        f"classes={list(classes)} differ from those of the first call, "
                        f"{self.classes_.tolist()}. Leave them out after it."
                    )
                self._go_on(X, y, X_ood, epochs=1)
            elif classes is None:
                raise ValueError("classes must be given in the first partial_fit.")
            else:
                self._start(X, y, X_ood, epochs=1, classes=classes)
        return self

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
            `random_state` always the same ones.

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
            return self._format.restore(self.net_.sample(n))

    @property
    def history_(self):
        """Losses of every player, a dict for each epoch."""
        check_is_fitted(self)
        return self.net_.history

    @property
    def n_epochs_(self):
        """Number of epochs trained."""
        return len(self.history_)

    def _start(self, X, y, X_ood, epochs, classes=None):
        """Train a new net."""
        device = resolve_device(self.device)
        source = self._make_source()
        X, y = self._validate_training(X, y)
        X, y, X_ood = self._split_ood_rows(X, y, X_ood, source)
        self._learn_classes(y if classes is None else classes)
        y = self._encode_labels(y)
        with seeded(draw_seed(self.random_state), device):
            net = self._make_net(X, source, device)
            self.net_ = net.fit_tensors(*self._as_tensors(X, y, X_ood), epochs)

    def _go_on(self, X, y, X_ood, epochs):
        """Train a copy of the net further, with other random numbers than before."""
        X, y = self._validate_more(X, y)
        X, y, X_ood = self._split_ood_rows(X, y, X_ood, self.net_.source, more=True)
        y = self._encode_labels(y)
        net = self.net_.copy()
        net.set_params(lr=self.lr, batch_size=self.batch_size, beta=self.beta)
        seed = (draw_seed(self.random_state) + len(net.history)) % 2**31
        with seeded(seed, torch.device(net.device)):
            self.net_ = net.fit_tensors(*self._as_tensors(X, y, X_ood), epochs)

    def _make_source(self):
        """Return the source that `ood_source` stands for."""
        return make_source(
            self.ood_source,
            gan={
                "generator": self.generator,
                "discriminator": self.discriminator,
                "latent_dim": self.latent_dim,
                "lr": self.gan_lr,
                "entropy_weight": self.entropy_weight,
            },
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
        )

    def _make_net(self, X, source, device):
        """Return the net, its classifier tried on a few rows of X before training."""
        rejects = self.ood_target == "reject" and source is not None
        n_outputs = len(self.classes_) + rejects
        net = JointNet(
            partial(build_classifier, self.module, self.input_shape_, n_outputs),
            source=source,
            beta=self.beta,
            ood_target=self.ood_target,
            optimizer=torch.optim.Adam,
            lr=self.lr,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            callbacks=deepcopy(self.callbacks),
            predict_nonlinearity=None,
            device=device,
            verbose=self.verbose,
        )
        net.initialize()
        few = as_float(self._as_tensor(X[:4])).to(device)
        check_classifier(net.module_, few, n_outputs)
        if source is not None:
            warn_of_batch_norm(net.module_)
        return net

    def _logits(self, X):
        """Return the logits of the classes, (n, n_classes) float64."""
        return self._outputs(X)[:, : len(self.classes_)]

    def _outputs(self, X):
        """Return the logits of the classes and of rejection, if any, float64."""
        X = self._validate(X).reshape(-1, *self.input_shape_)
        return self.net_.logits(X).astype(np.float64)
