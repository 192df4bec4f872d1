# SPDX-License-Identifier: BSD-3-Clause
"""The net: a classifier and its OOD source, with one method for each player's step."""

from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from numbers import Integral

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin, clone
from skorch import NeuralNet
from skorch.callbacks import EpochTimer
from skorch.utils import to_tensor
from torch import Tensor
from torch.optim import Optimizer

from confident_clf._networks._batch_norm import (
    frozen_batch_norms,
    statistics_of_first,
)
from confident_clf._networks._head import all_results, recorded_inputs
from confident_clf._networks._inference import map_padded, sizes_for
from confident_clf._networks._trial import has_parametrizations, keeps_nothing
from confident_clf._training._callbacks import (
    QuietPrintLog,
    any_overrides,
    shared_parts,
)
from confident_clf._training._fine_tuning import in_groups, keep_rates
from confident_clf._training._optim import descend
from confident_clf.losses import (
    confidence_loss,
    kl_to_uniform,
    reject_loss,
    weighted_cross_entropy,
)
from confident_clf.scores._logits import class_logits
from confident_clf.utils._compute import (
    autocast,
    device_or_fallback,
    in_full,
    one_thread,
)
from confident_clf.utils._tensors import LazyTensor, as_float, move_learned
from confident_clf.utils._torch import comes_from_raise

# How many batches of OOD rows to draw at once, and how many numbers at most.
_MOST_BATCHES, _MOST_NUMBERS = 16, 2**18
# How many samples of a source to make at once where a user wants some.
_MOST_SAMPLES = 1024


class StopTraining(Exception):
    """A callback asks to end the training."""


class JointNet(ClassifierMixin, NeuralNet):
    """Classifier and out-of-distribution source, trained in turn on every batch.

    The players are `module_` (the classifier) with `optimizer_`, and the networks of
    `source_`, which owns them and their optimizers: a generator and a discriminator in
    joint training, none with explicit rows. Each player's step is a method of its
    owner: :meth:`_step_classifier` here, ``_step_discriminator`` and
    ``_step_generator`` in :class:`~confident_clf.sources.JointGAN`.
    :func:`~confident_clf._training._fit.train` runs the epochs.

    Parameters
    ----------
    module : callable
        Returns the classifier; called without arguments.
    source : OODSource or None
        Cloned into `source_`. None trains with plain cross entropy.
    beta : float
        Weight of the loss on out-of-distribution samples.
    ood_target : {"uniform", "reject"}
        The prediction that the classifier learns for them: uniform, or the last logit.
    label_smoothing : float, default=0.0
        Of the cross entropy.
    augment : callable or None, default=None
        Maps a batch of training samples to the batch to train on.
    bfloat16 : bool, default=False
        Whether the networks compute in bfloat16 during training.
    single_thread : bool, default=False
        Whether the networks are too small for more than one thread.
    dynamo : dict or None, default=None
        Options of torch.compile; None trains without it.
    head_epochs : int, default=0
        In how many epochs, the first ones, only the last linear layer is trained.
    **kwargs
        Parameters of :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        module,
        *,
        source,
        beta,
        ood_target="uniform",
        label_smoothing=0.0,
        augment=None,
        bfloat16=False,
        single_thread=False,
        dynamo=None,
        head_epochs=0,
        **kwargs,
    ):
        # skorch refuses torch objects that are set after its own constructor.
        self.source = source
        self.beta = beta
        self.ood_target = ood_target
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.bfloat16 = bfloat16
        self.single_thread = single_thread
        self.dynamo = dynamo
        self.head_epochs = head_epochs
        super().__init__(
            module, criterion=torch.nn.CrossEntropyLoss, train_split=None, **kwargs
        )

    def initialize_module(self):
        """Build the classifier; the source builds its networks when it sees data."""
        super().initialize_module()
        if self.source is not None:
            self.source_ = clone(self.source)
        self.part_rates_ = {}  # learning rates of weights that have their own, by name
        self.drawn_ = []  # batches of OOD samples for the next steps of an epoch
        return self

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Return the groups of weights, and the options of the optimizer."""
        named = list(named_parameters)
        args, kwargs = super().get_params_for_optimizer(prefix, named)
        if self.part_rates_:
            args = (in_groups(named, self.part_rates_),)
        return args, kwargs

    def set_params(self, **params):
        """Set parameters; parts with a learning rate of their own keep it."""
        super().set_params(**params)
        if self.initialized_:
            keep_rates(self.optimizer_)
        return self

    def initialize_callbacks(self):
        """Make the callbacks, and see whether one of them looks at gradients."""
        super().initialize_callbacks()
        self.gradients_watched_ = any_overrides(self.callbacks_, "on_grad_computed")
        return self

    @property
    def _default_callbacks(self):
        """Return skorch's, without those that collect the losses of every batch."""
        return [("epoch_timer", EpochTimer()), ("print_log", QuietPrintLog())]

    def _set_training(self, training=True):
        """Set the mode of the networks; frozen BatchNorm keeps its statistics."""
        super()._set_training(training)
        if training:
            for layer in frozen_batch_norms(self.module_).values():
                layer.eval()

    def notify(self, method_name, **kwargs):
        """Call the callbacks; one that raises KeyboardInterrupt ends the training.

        That is how skorch's own callbacks do it, such as EarlyStopping. A Ctrl-C that
        arrives while a callback runs is passed on.
        """
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            if not comes_from_raise(error):
                raise
            raise StopTraining from None

    def optimizers_in_order(self) -> list[Optimizer]:
        """Return the optimizers of all players in the order of their steps."""
        of_source = [] if self.source is None else self.source_.optimizers()
        return [*of_source, self.optimizer_]

    def copy(self):
        """Return a net of its own that continues from the state of this one.

        skorch would pickle it, which fails for classes defined in a notebook or a
        function.
        """
        twin = type(self).__new__(type(self))
        vars(twin).update(deepcopy(vars(self), shared_parts(self.callbacks)))
        return twin

    def __getstate__(self):
        """Leave the networks to the pickler at work; they travel on the CPU.

        skorch would pickle them apart, with plain pickle. That fails for classes
        defined in a notebook, even where cloudpickle is at work.
        """
        on_cpu = torch.device(self.device).type == "cpu"
        state = vars(self if on_cpu else self.copy().move("cpu")).copy()
        if self.initialized_ and has_parametrizations(self.module_):
            # torch makes the classes of weight_norm and the like on the fly, so they
            # cannot be pickled. The factory builds them again.
            parts = state.pop("module_"), state.pop("optimizer_")
            state["state_dicts"] = [part.state_dict() for part in parts]
        return state

    def __setstate__(self, state):
        """Unpickle, and move to the device; to the CPU where that is not there."""
        state_dicts = state.pop("state_dicts", None)
        vars(self).update(state)
        if state_dicts is not None:
            self._rebuild_classifier(*state_dicts)
        self.device = device_or_fallback(self.device)
        if torch.device(self.device).type != "cpu":
            self.move(self.device)

    def _rebuild_classifier(self, module_state: dict, optimizer_state: dict) -> None:
        """Build the classifier and its optimizer again, and set their state."""
        with torch.random.fork_rng(devices=[]):  # the factory draws weights
            self.module_ = self.module()
        named_parameters = self.module_.named_parameters()
        args, kwargs = self.get_params_for_optimizer("optimizer", named_parameters)
        self.optimizer_ = self.optimizer(*args, **kwargs)
        self.module_.load_state_dict(module_state)
        self.optimizer_.load_state_dict(optimizer_state)

    def move(self, device: str | torch.device):
        """Move the networks, optimizers and source to a device; return the net."""
        if not self.initialized_:
            return self
        self.module_.to(device)
        optimizers = [self.optimizer_]
        for part in [] if self.source is None else self.source_.parts().values():
            # Not `part.optimizers()`: those of a GAN that is frozen have a state too.
            optimizers += [v for v in vars(part).values() if isinstance(v, Optimizer)]
            part.to(device)
            part.device = torch.device(device)
            move_learned(part, device)
        for optimizer in optimizers:
            # This moves the state to where the parameters are.
            optimizer.load_state_dict(optimizer.state_dict())
        return self

    # Training

    def train_step(self, batch, **fit_params):
        """Let the source's players move, then the classifier."""
        x, y, *weight = self._to_device(batch)
        if self.augment is not None:
            x = self._augmented(x)
        with autocast(self.device, self.bfloat16):
            losses = {} if self.source is None else self.source_.step(x, self)
            before_step = None
            if self.gradients_watched_:
                before_step = partial(self._notify_of_gradients, batch[:2])
            classifier_losses, logits = self._step_classifier(
                x, y, *weight, before_step=before_step
            )
        losses |= classifier_losses
        return {"loss": losses["classifier_loss"], "y_pred": logits, "losses": losses}

    def validation_step(self, batch, **fit_params):
        """Return the cross entropy on held-out samples, which may have weights."""
        self._set_training(False)
        x, y, *weight = self._to_device(batch)
        with torch.no_grad():
            logits = self.module_(x)
            return {
                "loss": weighted_cross_entropy(logits, y, *weight),
                "y_pred": logits,
            }

    def _to_device(self, batch) -> tuple[Tensor, ...]:
        """Return samples, as float32, labels and perhaps weights on the device."""
        x, *rest = (tensor.to(self.device) for tensor in batch)
        return as_float(x), *rest

    def _augmented(self, x: Tensor) -> Tensor:
        """Return a random view of the batch."""
        view = self.augment(x)
        if not isinstance(view, torch.Tensor):
            returned = type(view).__name__
        elif view.shape != x.shape or view.dtype != x.dtype:
            returned = f"shape {tuple(view.shape)} and {view.dtype}"
        else:
            return view
        raise ValueError(
            f"augment must return a batch like the one it gets, shape "
            f"{tuple(x.shape)} and {x.dtype}; it returned {returned}."
        )

    def _step_classifier(
        self,
        x: Tensor,
        y: Tensor,
        weight: Tensor | None = None,
        *,
        before_step: Callable | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Move the classifier down eq. (1): CE + beta * KL(U || p(. | x_ood))."""
        options = {"label_smoothing": self.label_smoothing, "weight": weight}
        if self.source is None:
            logits = in_full(self.module_(x))
            loss = weighted_cross_entropy(logits, y, **options)
            losses = {"classifier_loss": loss}
        else:
            logits, logits_ood = self._both_logits(x)
            loss, cross_entropy, ood = confidence_loss(
                logits, y, logits_ood, self.beta, self.ood_loss, **options
            )
            losses = {
                "classifier_loss": loss,
                "cross_entropy": cross_entropy,
                "kl" if self.ood_target == "uniform" else "reject_loss": ood,
            }
        descend(loss, self.optimizer_, "classifier", before_step=before_step)
        losses = {name: value.detach() for name, value in losses.items()}
        return losses, logits.detach()

    def ood_loss(self, logits: Tensor) -> Tensor:
        """Return the loss of the classifier on out-of-distribution samples."""
        loss = kl_to_uniform if self.ood_target == "uniform" else reject_loss
        return loss(logits)

    def _both_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the batch `x`, and of as many OOD samples.

        One pass over both is faster than two. A BatchNorm in a user's module takes its
        statistics from `x`.
        """
        n = len(x)
        n_inputs = self.source_.n_inputs(n)
        both = torch.cat([x, self._sample_like(x, n_inputs)]) if n_inputs else x
        with statistics_of_first(self.module_, n, len(both)):
            if n_inputs == n:
                return in_full(self.module_(both)).split(n)
            head = self.module_.get_submodule(self.head_name_)
            with recorded_inputs(head) as inputs:
                logits, logits_ood = in_full(self.module_(both)).split([n, n_inputs])
        features = self.source_.sample_features(in_full(inputs[0][:n]), n - n_inputs)
        return logits, torch.cat([logits_ood, in_full(head(features))])

    def _sample_like(self, x: Tensor, n: int) -> Tensor:
        """Return `n` OOD samples, checked to be like the batch `x`.

        Drawing takes longer than a small network's step, most of it the time between
        operations. So several batches are drawn at once.
        """
        if not self.drawn_ or len(self.drawn_[-1]) < n:
            self.drawn_ = self._draw(x, n)
        return self.drawn_.pop()[:n]

    def _draw(self, x: Tensor, n: int) -> list[Tensor]:
        """Return one or more batches of `n` OOD samples."""
        n_batches = 1
        if self.source_.draws_ahead and x.ndim == 2:
            n_batches = min(_MOST_BATCHES, max(1, _MOST_NUMBERS // (n * x.shape[1])))
        samples = self._checked_samples(x, n * n_batches)
        if n_batches > 1:  # each batch needs all kinds of samples
            samples = samples[torch.randperm(len(samples), device=samples.device)]
        return list(samples.split(n))

    def _checked_samples(self, x: Tensor, n: int) -> Tensor:
        """Return `n` samples of the source, or raise ValueError if they are not."""
        x_ood = self.source_.sample(n)
        if x_ood.shape != (n, *x.shape[1:]) or x_ood.dtype != x.dtype:
            raise ValueError(
                f"{self.source!r} must return {n} samples like the training data, "
                f"shape {(n, *x.shape[1:])} and {x.dtype}; it returned shape "
                f"{tuple(x_ood.shape)} and {x_ood.dtype}."
            )
        return x_ood.to(x.device)  # a user's source may draw on the CPU

    def _notify_of_gradients(self, batch) -> None:
        """Let the callbacks see, and change, the gradients of the classifier."""
        named_parameters = list(self.module_.named_parameters())
        with torch.autocast(torch.device(self.device).type, enabled=False):
            self.notify(
                "on_grad_computed",
                named_parameters=named_parameters,
                batch=batch,
                training=True,
            )
        self._set_training(True)  # a callback may have predicted

    # Inference

    @contextmanager
    def inference(self):
        """Put the networks in evaluation mode, with as many threads as they need."""
        networks = (
            [self.module_] if self.source is None else [self.module_, self.source_]
        )
        # To look is faster than to set, and one sample of a small network notices.
        if any(layer.training for part in networks for layer in part.modules()):
            self._set_training(False)
        with one_thread(self.single_thread):
            yield

    def logits(self, x: np.ndarray, *, pad: bool = True) -> np.ndarray:
        """Return the logits of samples, the same in whatever batch they come.

        Maps (n, *input_shape), float32 or uint8, to (n, n_outputs) float32. Without
        `pad`, they may be rounded differently in another batch.
        """
        workers = self.workers()
        with self.inference():
            return map_padded(
                torch.inference_mode()(lambda batch: self.module_(as_float(batch))),
                x,
                device=self.device,
                sizes=self.inference_sizes(x.shape) if pad else None,
                workers=workers,
                pad=pad,
            )

    def inference_sizes(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the batch sizes that round alike here, for samples of a shape.

        They are looked for when they are first needed: that takes a few passes. To be
        called in `inference`.
        """
        network = partial(all_results, self.module_)
        return sizes_for(self.module_, network, shape, self.device)

    def sample(self, n: int) -> np.ndarray:
        """Return `n` samples of the source, (n, *input_shape) float32.

        Raises ValueError without a source, or if `n` is below 1.
        """
        if not (isinstance(n, Integral) and n >= 1):
            raise ValueError(f"n must be a positive integer; got {n!r}.")
        if self.source is None:
            raise ValueError(
                "There is nothing to sample from: the classifier was fitted with "
                "ood_source=None. Fit it with another source, such as 'joint'."
            )
        sizes = [min(_MOST_SAMPLES, n - start) for start in range(0, n, _MOST_SAMPLES)]
        with self.inference(), torch.inference_mode():
            parts = [self.source_.sample(size).cpu().numpy() for size in sizes]
        return np.concatenate(parts)

    def workers(self) -> int:
        """Return how many batches to predict at once, each in a thread of its own."""
        can_share = self.single_thread and keeps_nothing(self.module_)
        # Each layer's call takes Python's lock: more than 8 threads would only wait.
        return min(torch.get_num_threads(), 8) if can_share else 1

    def get_iterator(self, dataset, training=False):
        """Return batches in order, for skorch's `forward`.

        They draw no random numbers, so a callback that predicts does not change the
        fit.
        """
        loader = super().get_iterator(dataset, training)
        x = getattr(dataset, "X", None)
        if isinstance(x, (Tensor, LazyTensor)):
            y = torch.zeros(len(x)) if dataset.y is None else dataset.y
            size = int(loader.batch_size)
            return list(zip(x.split(size), y.split(size), strict=True))
        loader.generator = torch.Generator()  # the default draws from the global one
        return loader

    def infer(self, x, **fit_params):
        """Return the logits of a batch, with its pixels scaled as in training."""
        return super().infer(as_float(to_tensor(x, self.device)), **fit_params)

    # For callbacks, which save and score the net. The labels they get are numbers.

    def save_params(self, *args, use_safetensors=False, **kwargs):
        """Save to files; safetensors takes no weights that are laid out as images."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        if use_safetensors:
            module = deepcopy(self.module_)
            vars(twin)["module_"] = module.to(memory_format=torch.contiguous_format)
        super(JointNet, twin).save_params(
            *args, use_safetensors=use_safetensors, **kwargs
        )

    @property
    def has_reject(self) -> bool:
        """Whether the last output is for none of the classes."""
        return self.ood_target == "reject" and self.source is not None

    @property
    def classes_(self) -> np.ndarray:
        """The numbers of the classes."""
        return np.arange(self.module.n_outputs - self.has_reject)

    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities of the classes."""
        # On a GPU, where a callback has kept the outputs of its batches.
        outputs = torch.cat(list(self.forward_iter(X))).cpu().numpy()
        n_classes = outputs.shape[1] - self.has_reject
        return softmax(class_logits(outputs, n_classes), axis=1)

    def predict(self, X) -> np.ndarray:
        """Return the number of the most probable class."""
        return self.predict_proba(X).argmax(axis=1)
