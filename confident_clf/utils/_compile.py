# SPDX-License-Identifier: BSD-3-Clause
"""Compile networks while they are trained."""

import warnings
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def resolve_compile(compile_):
    """Return the options that a user's `compile` stands for.

    Parameters
    ----------
    compile_ : bool or dict
        True: torch's own.

    Returns
    -------
    dict or None
        Options of :func:`torch.compile`; None: do not compile.
    """
    if isinstance(compile_, dict):
        return compile_
    return {} if compile_ else None


def check_compiler(options, device):
    """Raise ValueError if networks cannot be compiled here; compile a sum to see.

    Parameters
    ----------
    options : dict or None
        Of :func:`torch.compile`; None: nothing is to be compiled.
    device : torch.device or str
        Where.

    Raises
    ------
    ValueError
        If there is no compiler, or torch knows no such options.
    """
    if options is None:
        return
    try:
        torch.compile(lambda x: x + x, **options)(torch.ones(8, device=device))
    except Exception as error:  # of the compiler's own, which differ by version
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(
            f"compile={options or True} cannot be used here: {first_line} "
            "torch.compile takes a C++ compiler, such as g++, on the CPU, and Triton "
            "on a GPU. Install that, or set compile=False."
        ) from error


@contextmanager
def compiled(options, classifier, source):
    """Let the calls of networks run compiled code for a while.

    What else there is of them, such as the names of their weights, stays as it is, and
    so do the results after it.

    Parameters
    ----------
    options : dict or None
        Of :func:`torch.compile`; None: do nothing.
    classifier : nn.Module
        The classifier. One whose layers training gets at, by hooks or in BatchNorm,
        would be compiled anew for every batch, and is left alone.
    source : OODSource or None
        Whose networks to compile as well.

    Yields
    ------
    list of nn.Module
        The networks that are compiled.
    """
    networks = []
    if options is not None:
        has_norms = any(isinstance(m, _BatchNorm) for m in classifier.modules())
        if source is None or not (has_norms or source.makes_features):
            networks.append(classifier)
        networks += _networks_of(source)
    try:
        with warnings.catch_warnings():
            if networks:  # the compiler asks samples for a gradient that they lack
                warnings.filterwarnings("ignore", message=r"The \.grad attribute of a")
            for network in networks:
                network.compile(**options)
            yield networks
    finally:
        for network in networks:
            vars(network).pop("_compiled_call_impl", None)


def _networks_of(source):
    """Return the networks of a source and of the sources within it."""
    if source is None:
        return []
    # Only sources are prepared; a list of modules cannot be called.
    parts = [part for part in source.modules() if hasattr(part, "prepare")]
    return [
        child
        for part in parts
        for child in part.children()
        if not hasattr(child, "prepare") and not isinstance(child, torch.nn.ModuleList)
    ]
