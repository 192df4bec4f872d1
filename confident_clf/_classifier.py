# SPDX-License-Identifier: BSD-3-Clause
"""The classifier: validate X and y, train a net, predict with it."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from confident_clf._constraints import CONSTRAINTS
from confident_clf._networks._network_params import bind_network_params
from confident_clf._networks._view import NetworkView
from confident_clf._plan import check_net, check_one_pass, plan_fit
from confident_clf._samples import (
    SampleFormat,
    check_same_classes,
    encode_labels,
    find_classes,
    find_input_shape,
    split_ood_rows,
    to_tensor,
    validate_more,
    validate_samples,
    validate_training,
    warn_of_scale,
    without_ood_label,
)
from confident_clf._trained import adopt, fit_method
from confident_clf._training._callbacks import deepcopied, own_callbacks
from confident_clf._training._checkpoints import check_checkpoint, open_checkpoints
from confident_clf._training._collapse import warn_of_history
from confident_clf._training._divergence import DivergenceError
from confident_clf._training._fit import train
from confident_clf._training._make_net import make_net, step_params
from confident_clf._training._net import JointNet
from confident_clf._training._ranks import progress_of, shared_seed
from confident_clf._training._tasks import (
    CallbackSupportMixin,
    copy_after_fit,
    fit_task,
)
from confident_clf._validation import NOTHING, Validation, check_validation
from confident_clf.scores._logits import class_logits
from confident_clf.scores._make_score import Method, fitted_score, make_score
from confident_clf.scores._once import sent_once
from confident_clf.sources import OODSource
from confident_clf.sources._regime import check_same_kind, make_regime
from confident_clf.utils._compute import one_thread, resolve_device
from confident_clf.utils._guard import pinned
from confident_clf.utils._items import samples_and_labels
from confident_clf.utils._lazy import in_parts, rows_for_scores
from confident_clf.utils._seeding import draw_seed, seeded
from confident_clf.utils._sklearn import _fit_context
from confident_clf.utils._types import RandomState, SamplesLike
from confident_clf.utils._unchanged import unchanged_on_error
from confident_clf.utils._weights import find_weights, without_weightless


class ConfidentClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Neural network classifier that is unsure of what it was not trained for.

    Trains with the confidence loss of [1]_: cross entropy on the training data, plus
    `beta` times the KL divergence from the uniform distribution to the prediction on
    out-of-distribution (OOD) samples,
    ``CE(f(x), y) + beta * KL(U || p(. | x_ood))``. In the paper a generator makes these
    samples; it is trained jointly to place them at the boundary of the data. The
    defaults are what detected unknown and broken samples best, see Notes.

    Parameters
    ----------
    module : callable or None, default=None
        ``module(input_shape, n_classes)`` returns the classifier, a
        :class:`torch.nn.Module` that maps samples to logits (n, n_classes). It may be a
        class, a :func:`functools.partial` of one, or any function; or a network, such
        as a pretrained one. A network, also one that a function returns, is never
        trained itself: each `fit` trains a copy that begins with its weights. None
        means an
        :class:`~confident_clf.modules.MLP` for rows and a
        :class:`~confident_clf.modules.SmallConvNet` for images; signals and volumes
        have no default. Parameters of your own network can be set and searched as
        ``module__name``.
    hidden : int, array-like of int or None, default=None
        Widths of the hidden layers of the default network, for ``module=None``. A
        number is one layer. The default network for images has one such layer, behind
        its convolutions. None means (128, 128) for rows and 128 for images.
    ood_source : {"auto", "joint", "gan", "explicit", "noise", "features"}, \
            OODSource, list or None, default="auto"
        Where the OOD samples come from. "auto": the joint GAN and noise for images,
        noise for all others. "joint": a GAN trained together with the classifier, eq.
        (2) of [1]_. "gan": the original GAN, trained first. "explicit": the rows
        given as `X_ood` or labelled `ood_label`. "noise": see
        :class:`~confident_clf.sources.NoiseOOD`. "features": points around low-density
        features, see :class:`~confident_clf.sources.FeatureOOD`. None means plain cross
        entropy. An :class:`~confident_clf.sources.OODSource` is cloned. A list mixes
        sources, in equal shares or by pairs ``(source, share)``.
    beta : float or "auto", default="auto"
        Weight of the KL term, at least 0, for classifier and generator. "auto" is 1
        with ``ood_source="auto"`` and 0.1 with other sources.
    ood_target : {"auto", "uniform", "reject"}, default="auto"
        What to learn for OOD samples. "uniform" is the same probability for all
        classes, as in [1]_. "reject" is none of the classes: the module gets one more
        logit, and `predict_proba` spreads its probability over the classes. That is the
        safer choice far from the data. "auto" is "reject" for rows with
        ``ood_source="auto"``, otherwise "uniform".
    generator : callable or None, default=None
        Network of "joint" and "gan": see :class:`~confident_clf.sources.JointGAN`.
    discriminator : callable or None, default=None
        Network of "joint" and "gan": see :class:`~confident_clf.sources.JointGAN`.
    latent_dim : int, default=100
        Size of the generator's latent vector, for "joint" and "gan".
    entropy_weight : float, default=0.0
        Weight of the generator's entropy, for "joint" and "gan". It is 1 in eq. (2) of
        [1]_; the reference code leaves the entropy out.
    image_shape : tuple of (channels, height, width) or None, default=None
        Says that the rows of a 2-D X are flattened images, so that scalers and column
        tools work on them. One size may be -1; it follows from the others. Leave None
        for rows of features and for 4-D images.
    lr : float, default=2e-3
        Learning rate of the classifier's optimizer, AdamW: the peak of `lr_schedule`.
    backbone_lr : float, dict or None, default=None
        Learning rate of all layers but the last linear one, for a pretrained network.
        A dict maps names of its parts, as in ``network.named_children()``, to their
        rates; the other parts have `lr`. 0 freezes a part: neither its weights nor its
        BatchNorm statistics move. All rates follow `lr_schedule`. None means `lr`.
    head_epochs : int, default=0
        In how many epochs, the first of `max_epochs`, only the last linear layer is
        trained. A new one would otherwise disturb a pretrained network at first.
    gan_lr : float or None, default=None
        Learning rate of the GAN's Adam, for "joint" and "gan". None means 1e-3 for
        images and 2e-4 for rows.
    batch_size : int, default=64
        Training samples in a batch, at least 2; as many OOD samples go with them.
    max_epochs : int, default=50
        Passes over the training data.
    lr_schedule : {"one_cycle", "step"}, callable or None, default="one_cycle"
        How the learning rates of all players change during `fit`. "one_cycle" raises
        them from a 25th to their full value in the first 30 % of the fit, then lowers
        them to almost 0. "step" divides them by ten after 60 % of the epochs, as the
        reference recipe does. A callable maps the share of the fit that is done, from 0
        to 1, to a factor. None keeps them constant. The GAN of "gan" goes through the
        schedule once before that, when it is trained.
    weight_decay : float, default=0.0
        Decay of the classifier's weights, decoupled from the gradient, as in AdamW.
    label_smoothing : float, default=0.0
        Share of the cross entropy's target that is spread over all logits, below 1.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the cross entropy. A dict maps labels to weights above
        0; a class that it leaves out has weight 1. "balanced" gives all classes the
        same total weight, ``n / (n_classes * count)`` for each row. They multiply the
        `sample_weight` of `fit`. None means 1 for all.
    augment : {"flip", "flip_crop"}, callable or None, default=None
        Random views of the training images, new in every epoch. "flip" mirrors left to
        right with probability 1/2. "flip_crop" also shifts by up to an eighth of the
        size, with a border of zeros. A callable maps a batch, a float32 tensor, to a
        batch of the same shape, such as a transform of torchvision, which draws once
        for a batch.
    early_stopping : bool, default=False
        Whether `fit` holds some training samples back, or takes those given as `X_val`
        and `y_val`, stops when the cross entropy there has not fallen for
        `n_iter_no_change` epochs, and goes back to the best classifier.
    validation_fraction : float, default=0.1
        Share of the samples of each class to hold back for `early_stopping`; of the
        groups, if `fit` is given `groups`. A class with a single row is trained on.
    n_iter_no_change : int, default=10
        Epochs to wait for a better classifier, for `early_stopping`.
    ood_label : object, default=None
        Rows of X with this label are OOD samples, never a class. Sources that do not
        need such rows ignore them. None means that no label is.
    method : {"auto", "msp", "odin", "energy", "max_logit", "entropy", "margin", \
            "gen", "react", "knn", "mahalanobis", "rmd", "vim"}, OODScore or list, \
            default="auto"
        Score of :meth:`ood_score`. "auto" is several of the others together: see
        :class:`~confident_clf.scores.AutoScore`. "msp" is one minus the maximum class
        probability, the detector of [1]_. "react", "knn", "mahalanobis", "rmd" and
        "vim" work on the input of the network's last linear layer. `fit` fits them on
        its training samples when training is over, `partial_fit` on the samples of that
        call. Pass an :class:`~confident_clf.scores.OODScore` to change its parameters,
        such as ``KNN(n_neighbors=10)``. A list is fused: see
        :class:`~confident_clf.scores.Fused`. Its elements may also be outlier detectors
        of scikit-learn, for the inputs.
    device : str or torch.device, default="auto"
        Where to train and predict; "auto" is the GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the networks compute in during training. Weights, losses and predictions
        are always float32. "auto" means bfloat16 where the hardware multiplies it and
        the classifier takes at least 10 million operations per sample, otherwise
        float32.
    compile : bool or dict, default=False
        Whether to compile the networks with :func:`torch.compile` for training; a dict
        holds its options, such as ``{"backend": "aot_eager"}``. It needs a compiler and
        takes half a minute or more. Meant for GPUs; on the processors tried it was
        slower. Predictions do not use the compiled code. Modes that record CUDA graphs,
        "reduce-overhead" and "max-autotune", are refused: they overwrite the output of
        a network while a step of several networks still needs it.
    inference : {"exact", "fast"}, default="exact"
        How samples go through the network in predictions. "exact": a sample has the
        same results to the bit in every batch. For many networks that takes padding,
        and one sample can then take as long as 32. "fast": no padding, so one sample
        takes little longer than through the bare network. Its results may be rounded
        differently alone than in a batch, as those of any network. It may be set after
        `fit`.
    callbacks : list of skorch callbacks or None, default=None
        Copied before use; the copies write to the same logs and files. The user guide
        says which callbacks work.
    warm_start : bool, default=False
        Whether another `fit` continues with the trained networks, for `max_epochs` more
        epochs. `lr`, `beta`, `compile`, `batch_size`, `max_epochs`, `lr_schedule`,
        `weight_decay`, `label_smoothing`, `class_weight`, `augment`, `early_stopping`,
        `validation_fraction` and `n_iter_no_change` may change. The other parameters of
        training keep their first values. Format and classes of the data must not
        change.
    checkpoint : path-like or None, default=None
        A folder to save the training in after every epoch. The same `fit`, also in a
        new process, continues from there, or returns the finished classifier. A
        checkpoint of other data or parameters is refused, so every fit needs its own
        folder. Not for `partial_fit` and `warm_start`.
    verbose : int, default=0
        1 shows a progress bar on stderr, with the losses of the last epoch; where that
        is not a terminal or a notebook, a line after every tenth of the epochs. 2
        prints the history, one line per epoch. It may change between fits.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, shuffling, latent vectors and dropout. An int makes every
        fit on one CPU the same. None draws a seed from NumPy's global generator.
        Otherwise the global random states stay as they were.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels seen in `fit`, without `ood_label`.
    n_features_in_ : int
        Number of features; of channels where samples are not rows.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where all of them are strings.
    input_shape_ : tuple of int
        Shape of a sample as the networks see it.
    net_ : JointNet
        The trained skorch net.
    history_ : skorch.history.History
        A dict for each epoch: the mean loss of every player ("classifier_loss",
        "generator_loss", "discriminator_loss"), the parts of the classifier's
        ("cross_entropy", "kl"), the spread of a generator's samples in units of that of
        the training samples ("fake_spread"), the duration in seconds ("dur").
    n_epochs_ : int
        Number of epochs trained.
    method_ : OODScore
        The score of `method`, fitted if it learns from data.

    See Also
    --------
    OODDetector : Turns the score into a decision with a target true positive rate.
    confident_clf.scores : The scores, each as a function and as an object.
    confident_clf.metrics.make_ood_scorer : Scorers for model selection.

    Notes
    -----
    The networks do not scale their input. Put a scaler before the classifier, as for
    :class:`sklearn.neural_network.MLPClassifier`. uint8 images are scaled to [0, 1]
    batch by batch; floats are used as they are. After a fit on uint8 images, floats
    must be in [0, 1]. Images that are plainly in other units than those of `fit` raise
    a warning, once for a fitted classifier.

    The setting of the paper is ``ood_source="joint", method="msp"``. The softmax of a
    network is surest far away from its training data, so with that setting a row with a
    wrong unit counts as known. The default source, target, beta and score were chosen
    by held-out classes and by rows and images that were broken on purpose.

    `fit` scales weights of rows and classes so that their mean is 1. The loss of a
    batch is ``sum(w * ce) / n + beta * KL``: the second term has no weights, since OOD
    samples are of no class. With mini-batches, to weight a row is nearly, not exactly,
    the same as to repeat it. A source and a score see all rows alike, also those of
    weight 0.

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

    _parameter_constraints = CONSTRAINTS

    # As scikit-learn's searches do not ask who needs groups, they go to splitters only
    # unless set_fit_request(groups=True) is called.
    __metadata_request__fit = {"groups": False}

    def __init__(
        self,
        module: Callable | None = None,
        *,
        hidden: ArrayLike | None = None,
        ood_source: str | OODSource | list | None = "auto",
        beta: float | str = "auto",
        ood_target: str = "auto",
        generator: Callable | None = None,
        discriminator: Callable | None = None,
        latent_dim: int = 100,
        entropy_weight: float = 0.0,
        image_shape: Sequence[int] | None = None,
        lr: float = 2e-3,
        backbone_lr: float | dict | None = None,
        head_epochs: int = 0,
        gan_lr: float | None = None,
        batch_size: int = 64,
        max_epochs: int = 50,
        lr_schedule: str | Callable | None = "one_cycle",
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict | str | None = None,
        augment: str | Callable | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        ood_label: Any = None,
        method: Method = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        compile: bool | dict = False,
        inference: str = "exact",
        callbacks: Sequence | None = None,
        warm_start: bool = False,
        checkpoint: str | PathLike | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ):
        self.module = module
        self.hidden = hidden
        self.ood_source = ood_source
        self.beta = beta
        self.ood_target = ood_target
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.entropy_weight = entropy_weight
        self.image_shape = image_shape
        self.lr = lr
        self.backbone_lr = backbone_lr
        self.head_epochs = head_epochs
        self.gan_lr = gan_lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.ood_label = ood_label
        self.method = method
        self.device = device
        self.precision = precision
        self.compile = compile
        self.inference = inference
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of networks that you pass.

        Parameters
        ----------
        **params : dict
            Parameters of the constructor. ``module__name`` is bound to `module`, a
            class or function, by :func:`functools.partial`; likewise
            ``generator__name`` and ``discriminator__name``.

        Returns
        -------
        ConfidentClassifier
            The classifier itself.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        return super().set_params(**bind_network_params(self, params))

    @classmethod
    @pinned
    def from_trained(
        cls,
        module: torch.nn.Module,
        *,
        classes: int | ArrayLike,
        input_shape: int | tuple[int, ...] | None = None,
        output: str | int | Callable | None = None,
        transform: Callable | None = None,
        head: str | None = None,
        **params: Any,
    ) -> Self:
        """Make a fitted classifier of a network that you have trained.

        Nothing is trained, and the network stays as it is: the classifier has a copy.
        Scores of logits, such as ``method="energy"``, work at once; others, such as
        "knn" and the default, after :meth:`fit_method`. Detectors take it as
        ``FrozenEstimator(clf)``. A later `fit` trains another copy further.

        Parameters
        ----------
        module : torch.nn.Module
            The network, which maps samples to logits. It computes in float32.
        classes : int or array-like of shape (n_classes,)
            The label of each output, in the order of the outputs. A number means the
            labels 0, 1, ...
        input_shape : tuple of int, int or None, default=None
            Shape of one sample, such as (3, 224, 224). None means that of the samples
            that `fit_method` gets, and any before.
        output : str, int, callable or None, default=None
            Where the logits are, if the network returns more than a tensor: see
            :class:`~confident_clf.modules.WrappedNetwork`.
        transform : callable or None, default=None
            What to do with a batch of samples, a float32 tensor, before the network
            gets it, such as ``torchvision.transforms.v2.Normalize(mean, std)``. uint8
            images are scaled to [0, 1] before that; floats come as they are.
        head : str or None, default=None
            Name of the linear layer whose input gives the features. None means the last
            one that is called.
        **params : dict
            Parameters of the constructor, such as `method` and `device`. `ood_source`,
            for a later `fit`, is None unless it is given.

        Returns
        -------
        ConfidentClassifier
            The fitted classifier. Its `module` is the network given; wrapped if one of
            `output`, `transform` and `head` is given or `classes` is not sorted.

        Raises
        ------
        TypeError
            If `module` is not a network, or cannot be copied.
        ValueError
            If the network does not take samples of this shape, or does not return one
            logit for each class.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from confident_clf import ConfidentClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3))
        >>> clf = ConfidentClassifier.from_trained(network, classes=3, method="knn")
        >>> clf.fit_method(X, y).ood_score(X[:5]).shape
        (5,)
        """
        clf = cls(module, **{"ood_source": None, **params})
        return adopt(clf, classes, input_shape, output, transform, head)

    @pinned
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        X_ood: SamplesLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: SamplesLike | None = None,
        y_val: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train classifier and source on the data.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width), sparse \
                matrix, list of images, or torch Dataset
            Training samples; uint8 images stay uint8, the rest becomes float32. With a
            `module` of your own also signals (n, channels, time) and volumes (n,
            channels, depth, height, width). Sparse rows, image files (a list of paths),
            images of Pillow, Datasets, DataLoaders (their Dataset, read by their
            workers) and arrays on the disk of more than 256 MiB are read and made dense
            batch by batch.
        y : array-like of shape (n,) or None, default=None
            Labels of any kind; rows labelled `ood_label` are OOD samples. None takes
            the labels of a Dataset of pairs (sample, label).
        X_ood : array-like of shape (m, ...) or None, default=None
            OOD samples for a source that needs them, in the shape and units of `X`.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each row of X in the cross entropy, at least 0. Only their ratios
            count. Those of OOD rows are ignored. They also weight the samples that
            `early_stopping` holds back; X_val has the weights of `class_weight` only.
        X_val : array-like of shape (k, ...) or None, default=None
            Samples to validate on after every epoch, in the shape and units of `X`.
            With `early_stopping`, none of X is then held back. Callbacks can use them.
            In a pipeline the steps before do not transform them, unless it has
            ``transform_input=["X_val"]``.
        y_val : array-like of shape (k,) or None, default=None
            Their labels, which must be in y; rows labelled `ood_label` are left out.
        groups : array-like of shape (n,) or None, default=None
            Groups of the rows of X that `early_stopping` holds back as a whole, such as
            the patient of each row. `validation_fraction` is then the share of groups.

        Returns
        -------
        ConfidentClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            Before any training. If a parameter is out of range; if X is not finite or
            has a wrong shape; if there is only one class; if the source needs OOD rows
            and gets none, or the other way round; if a network does not fit the data;
            if a weight is negative or not finite, or all of a class are 0; if a
            callback cannot work; if the checkpoint is broken or belongs to another
            fit.
        DivergenceError
            If a loss, a gradient or a weight is no longer finite. Its attribute
            `classifier` is the classifier after the last finished epoch.
        TypeError
            If `module`, `generator` or `discriminator` does not make a module.
        """
        check_checkpoint(self.checkpoint, warm_start=self.warm_start)
        X, y = samples_and_labels(X, y)
        with fit_task(self, X, y, sample_weight), unchanged_on_error(self):
            goes_on = self.warm_start and hasattr(self, "net_")
            call = self._continue if goes_on else self._start
            call(X, y, X_ood, sample_weight, Validation(X_val, y_val, groups))
        return self

    @pinned
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        X_ood: SamplesLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one pass over some data, after others.

        The learning rates stay constant: an `lr_schedule` cannot know how many passes
        will come. A `method` that learns from the training samples is fitted anew, on
        the rows of this call alone, since the features of earlier rows have moved.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Training samples, at least two. The first call learns their format: a GAN
            keeps the range, or the location and scale, that it sees there.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will ever occur; the first call needs them. `ood_label` may
            be among them, and is not a class.
        X_ood : array-like of shape (m, ...) or None, default=None
            As in `fit`. In later calls the source continues with the last ones given.
        sample_weight : array-like of shape (n,) or None, default=None
            As in `fit`, but not scaled, because other calls may follow. Give them a
            mean of about 1 over all calls; the same holds for `class_weight`.

        Returns
        -------
        ConfidentClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As in `fit`; if `classes` is missing in the first call, or a label is not
            among them; with ``early_stopping=True``, ``class_weight="balanced"`` or a
            `checkpoint`.
        DivergenceError
            As in `fit`.
        """
        check_one_pass(self)
        X, y = samples_and_labels(X, y)
        with unchanged_on_error(self):
            if classes is not None:
                classes = without_ood_label(classes, self.ood_label)
            if hasattr(self, "net_"):
                check_same_classes(classes, self.classes_)
                self._continue(X, y, X_ood, sample_weight, one_pass=True)
            elif classes is None:
                raise ValueError("classes must be given in the first partial_fit.")
            else:
                self._start(X, y, X_ood, sample_weight, classes=classes, one_pass=True)
        return self

    def _start(
        self, X, y, X_ood, weights, validation=NOTHING, classes=None, one_pass=False
    ):
        """Train a new net."""
        device = resolve_device(self.device)
        X, y = validate_training(self, X, y)
        X, y, weights, validation = without_weightless(X, y, weights, validation)
        self.input_shape_ = find_input_shape(self, X)
        self._format = SampleFormat.of(X, len(self.input_shape_) == 3)
        warn_of_scale(X, self.input_shape_)
        regime = make_regime(self, self.input_shape_)
        labels = y
        X, y, X_ood = split_ood_rows(self, X, y, X_ood, regime.source)
        self.classes_ = find_classes(y if classes is None else classes)
        y = encode_labels(y, self.classes_)
        weights = find_weights(self, weights, labels, y)
        validation = check_validation(self, validation, labels)
        seed = shared_seed(self.random_state)
        saved = open_checkpoints(self, device, seed, X, y, X_ood, weights, validation)
        with seeded(seed if saved is None else saved.seed, device):
            net = make_net(self, X, regime, device)
            self._train(net, X, y, X_ood, weights, validation, one_pass, saved)

    def _continue(self, X, y, X_ood, weights, validation=NOTHING, one_pass=False):
        """Train a copy of the net further, with other random numbers than before."""
        regime = make_regime(self, self.input_shape_)
        check_same_kind(self, regime, self.net_)
        X, y = validate_more(self, X, y)
        X, y, weights, validation = without_weightless(X, y, weights, validation)
        validation, labels = check_validation(self, validation, y), y
        self._format = self._format.widened(X)
        X, y, X_ood = split_ood_rows(self, X, y, X_ood, self.net_.source, more=True)
        y = encode_labels(y, self.classes_)
        weights = find_weights(self, weights, labels, y)
        net = self.net_.copy().set_params(**step_params(self, regime.beta))
        seed = (shared_seed(self.random_state) + len(net.history)) % 2**31
        with seeded(seed, torch.device(net.device)):
            self._train(net, X, y, X_ood, weights, validation, one_pass)

    def _train(self, net, X, y, X_ood, weights, validation, one_pass, checkpoints=None):
        """Train the net, for one pass or a whole fit, and fit the score on it."""
        check_net(self, net, self._view(net), X)
        try:
            with one_thread(net.single_thread), progress_of(self.verbose):
                x_ood = to_tensor(X_ood, self.input_shape_)
                x_train, y_train, options = plan_fit(
                    self, X, y, validation, weights, one_pass
                )
                train(net, x_train, y_train, x_ood, checkpoints=checkpoints, **options)
        except DivergenceError as error:
            if net.history:
                self._keep(net, X, y)
                error.classifier = copy_after_fit(self)
            raise
        self._keep(net, X, y)
        if not one_pass:
            warn_of_history(net.history)

    def _keep(self, net, X, y):
        """Keep the trained net, and fit the method's score on the training samples."""
        self.net_ = net
        X, y = rows_for_scores(X.reshape(-1, *self.input_shape_), y)
        self.method_ = clone(make_score(self.method)).fit(self._view(net), X, y)

    @pinned
    def predict(self, X: SamplesLike) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n,)
            Labels from `classes_`.
        """
        check_is_fitted(self)
        return self.classes_[self._logits(X).argmax(axis=1)]

    @pinned
    def predict_proba(self, X: SamplesLike) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            Softmax of the logits, in the order of `classes_`. With a reject logit,
            ``p_k + p_reject / n_classes``: the probability of none of the classes is
            spread evenly, so far from the data all classes have about the same.
            Training has as many OOD samples as known ones; p_reject is for one in 20.
        """
        check_is_fitted(self)
        return softmax(self._logits(X), axis=1)

    @pinned
    def decision_function(self, X: SamplesLike) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes, float64
            Unnormalised log-probabilities; for two classes the log-odds of
            ``classes_[1]``. Their softmax is `predict_proba`.
        """
        check_is_fitted(self)
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    @pinned
    def ood_score(self, X: SamplesLike, method: Method = None) -> np.ndarray:
        """Return a score that is higher for out-of-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.
        method : str, OODScore, list or None, default=None
            As in the constructor; None means the constructor's. A score that is fitted
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
        method = self.method if method is None else method
        score = fitted_score(method, getattr(self, "method_", None))
        view = self._view(self.net_)
        return in_parts(partial(score.ood_score, view), self._validate(X))

    def score_samples(self, X: SamplesLike, method: Method = None) -> np.ndarray:
        """Return a score that is higher for in-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width)
            Samples.
        method : str, OODScore, list or None, default=None
            As in :meth:`ood_score`.

        Returns
        -------
        ndarray of shape (n,), float64
            The negative :meth:`ood_score`.
        """
        return -self.ood_score(X, method=method)

    @pinned
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_method(self, X: SamplesLike | Iterable, y: ArrayLike | None = None) -> Self:
        """Fit the score that `method` names, and leave the network as it is.

        This changes the method without training again, as in
        ``clf.set_params(method="knn").fit_method(X, y)``.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, channels, height, width), \
                torch Dataset or DataLoader
            Samples to fit it on: those of `fit`. A Dataset of (sample, label), or a
            DataLoader of such batches, is read one batch at a time; only outputs and
            features of the network are kept.
        y : array-like of shape (n,) or None, default=None
            Their labels; rows labelled `ood_label` are left out. None where X brings
            its labels.

        Returns
        -------
        ConfidentClassifier
            The classifier itself, with a new `method_`.

        Raises
        ------
        ValueError
            If the network lacks what the method needs, or X and y do not match those of
            `fit`.
        """
        check_is_fitted(self)
        with unchanged_on_error(self):
            fit_method(self, X, y)
        return self

    @pinned
    def sample_ood(self, n: int) -> np.ndarray:
        """Return samples of the fitted source, in the units of X.

        Parameters
        ----------
        n : int
            Number of samples, at least 1.

        Returns
        -------
        ndarray of shape (n, features) or (n, channels, height, width)
            Like X in `fit`: uint8 if that was uint8, otherwise float32. With an int
            `random_state` always the same ones. A source in feature space returns
            features, (n, n_features) float32. If a list mixes it with other sources,
            the samples come from the others.

        Raises
        ------
        ValueError
            If `n` is below 1, or the classifier was fitted with ``ood_source=None``.
        """
        check_is_fitted(self)
        with seeded(draw_seed(self.random_state), torch.device(self.net_.device)):
            samples = self.net_.sample(n)
        restores = self.net_.source.makes_inputs
        return self._format.restore(samples) if restores else samples

    @property
    def history_(self) -> list:
        """Losses of every player, a dict for each epoch."""
        check_is_fitted(self)
        return self.net_.history

    @property
    def n_epochs_(self) -> int:
        """Number of epochs trained."""
        return len(self.history_)

    def _logits(self, X) -> np.ndarray:
        """Return the logits of the classes, (n, n_classes) float64."""
        outputs = self._view(self.net_)(self._validate(X))
        return class_logits(outputs, len(self.classes_))

    def _validate(self, X) -> np.ndarray:
        """Return validated samples in the shape that the networks see."""
        X = validate_samples(self, X)
        shape = X.shape[1:] if self.input_shape_ is None else self.input_shape_
        return X.reshape(-1, *shape)

    @pinned
    def _once(self, X):
        """Return a copy that sends X through the network once, whatever it is asked."""
        return sent_once(self, X)

    def _view(self, net: JointNet) -> NetworkView:
        """Return the view of a net that scores get."""
        return NetworkView(net, len(self.classes_), fast=self.inference == "fast")

    def __sklearn_clone__(self):
        """Copy the callbacks as `fit` does: scikit-learn cannot copy an open log."""
        bare = copy(self)
        bare.callbacks = None
        bare = super(ConfidentClassifier, bare).__sklearn_clone__()
        return bare.set_params(callbacks=own_callbacks(self.callbacks))

    def __deepcopy__(self, memo):
        """Copy everything, but share with the callbacks what they write to."""
        return deepcopied(self, memo)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
