# SPDX-License-Identifier: BSD-3-Clause
"""The estimator: validate, encode labels, seed, build the net, predict."""

from functools import partial
from numbers import Integral, Real
from os import PathLike

import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from confident_clf._net import JointNet
from confident_clf._prediction import PredictionMixin
from confident_clf._samples import SamplesMixin
from confident_clf._training import TrainingMixin
from confident_clf.modules._build import build_classifier
from confident_clf.modules._checks import check_classifier, warn_of_batch_norm
from confident_clf.modules._trial import flop, prefer_channels_last
from confident_clf.scores import OODScore
from confident_clf.scores._make_score import SCORES
from confident_clf.sources import OODSource
from confident_clf.sources._make import NAMES, make_source
from confident_clf.utils._augment import AUGMENTATIONS, resolve_augment
from confident_clf.utils._callbacks import own_callbacks
from confident_clf.utils._compile import resolve_compile
from confident_clf.utils._device import resolve_device
from confident_clf.utils._optim import adamw
from confident_clf.utils._precision import use_bfloat16
from confident_clf.utils._schedules import SCHEDULES
from confident_clf.utils._seeding import draw_seed, seeded
from confident_clf.utils._sklearn import Interval, StrOptions, _fit_context
from confident_clf.utils._state import unchanged_on_error
from confident_clf.utils._tensors import as_float
from confident_clf.utils._threads import is_small


class ConfidentClassifier(
    PredictionMixin, TrainingMixin, SamplesMixin, ClassifierMixin, BaseEstimator
):
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
    ood_source : {"joint", "gan", "explicit", "noise", "features"}, OODSource, list \
            or None, default="joint"
        Where the OOD samples come from. "joint": a GAN trained together with the
        classifier, eq. (2) of [1]_. "gan": the original GAN, trained first. "explicit":
        the rows given as `X_ood` or labelled `ood_label`. "noise": see
        :class:`~confident_clf.sources.NoiseOOD`. "features": points around low-density
        features, see :class:`~confident_clf.sources.FeatureOOD`. None: plain cross
        entropy. An :class:`~confident_clf.sources.OODSource` is cloned. A list mixes
        sources in equal shares, or in those of pairs ``(source, share)``.
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
    lr : float, default=2e-3
        Learning rate of the classifier's optimizer, AdamW; its peak, by `lr_schedule`.
    gan_lr : float or None, default=None
        Learning rate of the GAN's Adam, for "joint" and "gan". None: 1e-3 for images,
        2e-4 for rows.
    batch_size : int, default=64
        Training samples in a batch, at least 2; as many OOD samples go with them.
    max_epochs : int, default=50
        Passes over the training data.
    lr_schedule : {"one_cycle", "step"}, callable or None, default="one_cycle"
        How the learning rates of all players change during `fit`. "one_cycle": up from
        a 25th to all of them in the first 30 %, then down to almost nothing. "step": a
        tenth of them after 60 % of the epochs, as in the reference recipe. A callable
        maps the share that is done, from 0 to 1, to the factor. None: constant.
    weight_decay : float, default=0.0
        Decay of the classifier's weights, decoupled from the gradient as in AdamW.
    label_smoothing : float, default=0.0
        Share of the cross entropy's target that is spread over all logits, below 1.
    augment : {"flip", "flip_crop"}, callable or None, default=None
        Random views of the training images, new in every epoch. "flip": mirrored left
        to right with probability 1/2; "flip_crop": shifted by up to an eighth of their
        size too, with a border of zeros. A callable maps a batch, a float32 tensor, to
        one like it, such as a transform of torchvision, which draws once for a batch.
    early_stopping : bool, default=False
        Whether `fit` holds some training samples back, stops when the cross entropy
        there has not fallen for `n_iter_no_change` epochs, and goes back to the best
        classifier.
    validation_fraction : float, default=0.1
        Share of the samples of each class to hold back for `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs to wait for a better classifier, for `early_stopping`.
    ood_label : object, default=None
        Rows of X with this label are OOD samples, never a class. Sources that need no
        such rows leave them out. None: there is no such label.
    method : {"msp", "odin", "energy", "max_logit", "entropy", "margin", "gen", \
            "react", "knn", "mahalanobis", "rmd", "vim"} or OODScore, default="msp"
        Score of :meth:`ood_score`; "msp" is one minus the maximum class probability,
        the detector of [1]_. From "react" on they are fitted on what goes into the
        network's last linear layer, at the end of `fit` and on its training samples; of
        `partial_fit`, on those of the last call. An
        :class:`~confident_clf.scores.OODScore` has other parameters than the default,
        such as ``KNN(n_neighbors=10)``.
    device : str or torch.device, default="auto"
        Where to train and predict; "auto" is the GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the networks compute in while training; weights and losses are float32,
        and so are predictions. "auto": bfloat16 where the hardware multiplies it and
        the classifier takes 10 million operations for a sample or more, else float32.
    compile : bool or dict, default=False
        Whether to compile the networks with :func:`torch.compile` for training; a dict
        holds its options, such as ``{"backend": "aot_eager"}``. Takes a compiler and
        half a minute or more. Meant for GPUs; on the processors tried it was slower.
        Predictions do not use what was compiled.
    callbacks : list of skorch callbacks or None, default=None
        Copied before use.
    warm_start : bool, default=False
        Whether a further `fit` goes on with the networks there are, for `max_epochs`
        more. `lr`, `beta`, `compile` and all from `batch_size` to `n_iter_no_change`
        may change; of all other parameters of the training the networks keep what they
        were made with. The data's format and classes may not change.
    checkpoint : path-like or None, default=None
        A folder to write the training to after every epoch. The same `fit`, of a new
        process too, goes on from there, or returns the finished classifier. One of
        other data or parameters is refused, so every fit needs a folder of its own.
        Not for `partial_fit` and `warm_start`.
    verbose : int, default=0
        1 prints the history, a line for each epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, shuffling, latent vectors and dropout. An int makes every
        fit on one CPU the same; None draws a seed from NumPy's global generator. Else
        the global random states are left as they were.

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
        ("cross_entropy", "kl"), how much a generator's samples differ from each other,
        in units of the training samples ("fake_spread"), the duration in seconds
        ("dur").
    n_epochs_ : int
        Number of epochs trained.
    method_ : OODScore
        The score of `method`, fitted where it has something to learn.

    See Also
    --------
    OODDetector : Turns the score into a decision with a target true positive rate.
    confident_clf.scores : The scores, each as a function and as an object.
    confident_clf.metrics.make_ood_scorer : Scorers for model selection.

    Notes
    -----
    The networks do not scale their input. Put a scaler before the classifier, as for
    :class:`sklearn.neural_network.MLPClassifier`. uint8 images are scaled to [0, 1]
    batch by batch; floats are taken as they are.

    Source and score are the paper's by default. On images ``ood_source=["joint",
    "noise"], beta=1, method="gen"`` detected best: see the user guide.

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
        "lr_schedule": [StrOptions(set(SCHEDULES)), callable, None],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "augment": [StrOptions(set(AUGMENTATIONS)), callable, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "ood_label": "no_validation",
        "method": [StrOptions(set(SCORES)), OODScore],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "compile": ["boolean", dict],
        "callbacks": [list, tuple, None],
        "warm_start": ["boolean"],
        "checkpoint": [str, PathLike, None],
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
        lr=2e-3,
        gan_lr=None,
        batch_size=64,
        max_epochs=50,
        lr_schedule="one_cycle",
        weight_decay=0.0,
        label_smoothing=0.0,
        augment=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        ood_label=None,
        method="msp",
        device="auto",
        precision="auto",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint=None,
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
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.ood_label = ood_label
        self.method = method
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint = checkpoint
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
            none, or the other way round, or a network does not fit the data; if the
            checkpoint is of another fit, or broken.
        DivergenceError
            If a loss, a gradient or a weight is no longer finite. It has the classifier
            of the last finished epoch.
        TypeError
            If `module`, `generator` or `discriminator` does not make a module.
        """
        self._check_checkpoint()
        with unchanged_on_error(self):
            if self.warm_start and hasattr(self, "net_"):
                self._go_on(X, y, X_ood)
            else:
                self._start(X, y, X_ood)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, X_ood=None):
        """Train for one pass over some data, after others.

        The learning rates stay as they are: no `lr_schedule` knows how many passes are
        to come. A `method` that learns from the training samples is fitted anew, on the
        rows of this call alone: the features of earlier ones have moved since.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Training samples, at least two. The first call learns their format: a GAN
            keeps the range, or the location and scale, that it sees there.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels there will ever be; needed in the first call. `ood_label` may be
            among them, and is no class.
        X_ood : array-like of shape (m, ...) or None, default=None
            As in `fit`; in later calls the source goes on with the last ones given.

        Returns
        -------
        ConfidentClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As in `fit`; if `classes` is missing in the first call, a label is not
            among them; with ``early_stopping=True`` or a `checkpoint`.
        DivergenceError
            As in `fit`.
        """
        self._check_checkpoint(one_pass=True)
        if self.early_stopping:
            raise ValueError(
                "partial_fit is one pass over the data and cannot stop early. Set "
                "early_stopping=False, or call fit."
            )
        with unchanged_on_error(self):
            if classes is not None:
                classes = self._without_ood_label(classes)
            if hasattr(self, "net_"):
                if classes is not None and set(classes) != set(self.classes_):
                    raise ValueError(
                        f"classes={classes.tolist()} differ from those of the first "
                        f"call, {self.classes_.tolist()}. Leave them out after it."
                    )
                self._go_on(X, y, X_ood, one_pass=True)
            elif classes is None:
                raise ValueError("classes must be given in the first partial_fit.")
            else:
                self._start(X, y, X_ood, classes, one_pass=True)
        return self

    @property
    def history_(self):
        """Losses of every player, a dict for each epoch."""
        check_is_fitted(self)
        return self.net_.history

    @property
    def n_epochs_(self):
        """Number of epochs trained."""
        return len(self.history_)

    def _start(self, X, y, X_ood, classes=None, one_pass=False):
        """Train a new net."""
        device = resolve_device(self.device)
        source = self._make_source()
        X, y = self._validate_training(X, y)
        X, y, X_ood = self._split_ood_rows(X, y, X_ood, source)
        self._learn_classes(y if classes is None else classes)
        y = self._encode_labels(y)
        seed = draw_seed(self.random_state)
        saved = self._open_checkpoints(device, seed, X=X, y=y, X_ood=X_ood)
        with seeded(seed if saved is None else saved.seed, device):
            net = self._make_net(X, source, device)
            self._train(net, X, y, X_ood, one_pass, saved)

    def _go_on(self, X, y, X_ood, one_pass=False):
        """Train a copy of the net further, with other random numbers than before."""
        self._check_going_on()
        X, y = self._validate_more(X, y)
        X, y, X_ood = self._split_ood_rows(X, y, X_ood, self.net_.source, more=True)
        y = self._encode_labels(y)
        net = self.net_.copy().set_params(**self._step_params())
        seed = (draw_seed(self.random_state) + len(net.history)) % 2**31
        with seeded(seed, torch.device(net.device)):
            self._train(net, X, y, X_ood, one_pass)

    def _step_params(self):
        """Return the net's parameters that may change when training goes on."""
        return {
            "lr": self.lr,
            "beta": self.beta,
            "batch_size": self.batch_size,
            "optimizer__weight_decay": self.weight_decay,
            "label_smoothing": self.label_smoothing,
            "augment": resolve_augment(self.augment, self.input_shape_),
            "dynamo": resolve_compile(self.compile),
        }

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
        net = self._new_net(self.module, source, device, n_outputs).initialize()
        few = as_float(self._as_tensor(X[:4].copy())).to(device)
        check_classifier(net.module_, few, n_outputs)
        prefer_channels_last(net.module_, few)
        work = flop(net.module_, few) / len(few)
        net.bfloat16 = use_bfloat16(self.precision, device, work)
        net.single_thread = is_small(device, work * self.batch_size)
        if source is not None and source.makes_inputs:
            warn_of_batch_norm(net.module_)
        return net

    def _new_net(self, module, source, device, n_outputs):
        """Return a net without networks as yet."""
        return JointNet(
            partial(build_classifier, module, self.input_shape_, n_outputs),
            source=source,
            ood_target=self.ood_target,
            optimizer=adamw,
            max_epochs=self.max_epochs,
            callbacks=own_callbacks(self.callbacks),
            predict_nonlinearity=None,
            device=device,
            verbose=self.verbose,
            **self._step_params(),
        )
