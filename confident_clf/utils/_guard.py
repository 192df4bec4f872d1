# SPDX-License-Identifier: BSD-3-Clause
"""Pin the settings of the process that computing depends on, and give them back.

A user may call inside ``torch.no_grad()`` or autocast, with another default dtype, or
from a forked child of a server. What we compute must not depend on it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial, wraps
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from confident_clf.utils._errstate import USUAL
from confident_clf.utils._types import Function

# A forked child would wait for ever for the OpenMP threads of its parent.
_is_forked_child = False


def _after_fork():
    """Note that this process is a forked child."""
    global _is_forked_child
    _is_forked_child = True
    _libraries.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def pinned(method: Function) -> Function:
    """Decorate a public method so that it runs under the settings it needs."""

    @wraps(method)
    def with_settings(*args: Any, **kwargs: Any) -> Any:
        with settings():
            return method(*args, **kwargs)

    return cast(Function, with_settings)


@contextmanager
def settings() -> Iterator[None]:
    """Use NumPy's and torch's usual settings in the block."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate(**USUAL))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if _default_device() != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_float32)
        stack.enter_context(_deterministic)
        if _is_forked_child:
            stack.enter_context(_one_thread_everywhere())
        yield


def _default_device() -> str:
    """Return the type of torch's default device."""
    try:
        return torch.get_default_device().type
    except AttributeError:  # up to torch 2.6, after set_default_device(None)
        return "cpu"


class _ProcessSetting:
    """Give a setting of the process a value while a thread is in the block.

    The last thread that leaves gives the setting of before back.
    """

    def __init__(self, get: Callable, set_: Callable, value):
        self.get, self.set, self.value = get, set_, value
        self.lock = Lock()
        self.n_inside = 0

    def __enter__(self):
        with self.lock:
            if self.n_inside == 0:
                self.before = self.get()
                if self.before != self.value:
                    self.set(self.value)
            self.n_inside += 1

    def __exit__(self, *error):
        with self.lock:
            self.n_inside -= 1
            if self.n_inside == 0 and self.before != self.value:
                self.set(self.before)


_float32 = _ProcessSetting(
    torch.get_default_dtype, torch.set_default_dtype, torch.float32
)
# Without it, two fits of images on one GPU differ: cuDNN adds gradients in any order.
_deterministic = _ProcessSetting(
    lambda: torch.backends.cudnn.deterministic,
    partial(setattr, torch.backends.cudnn, "deterministic"),
    True,
)


@cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own: to find them takes 2 ms."""
    return ThreadpoolController()


@contextmanager
def _one_thread_everywhere():
    """Let torch, and every other user of OpenMP, work in this thread alone."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="openmp"):
            yield
    finally:
        torch.set_num_threads(n_threads)
