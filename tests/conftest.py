# SPDX-License-Identifier: BSD-3-Clause
"""Set-up for all tests: one thread, no display, no silent skip."""

import os

# scikit-learn skips its array API checks unless this is set before SciPy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import pytest
import torch

from tests.gpu.pretend_gpu import can_pretend

# Many small fits: more threads would only wait for each other.
torch.set_num_threads(1)


def pytest_addoption(parser):
    """Add the option that moves the seeds of scikit-learn's estimator checks."""
    parser.addoption(
        "--seed-shift",
        type=int,
        default=0,
        help="Added to every seed that scikit-learn's estimator checks use for data "
        "and for estimators: a green run at one set of seeds proves little. At 5 the "
        "blobs of check_classifiers_train overlap so much that even the Bayes rule is "
        "right for 70 % of them only, where the check asks for 83 %.",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=2,
        help="How many times tests/promises/test_checkpoint.py kills a process that "
        "trains, at random moments.",
    )
    parser.addoption(
        "--examples",
        type=int,
        default=300,
        help="How many inputs tests/promises/test_any_input.py makes up.",
    )


def pytest_terminal_summary(terminalreporter):
    """Say which tests of tests/gpu were left out, and why."""
    if torch.cuda.is_available():
        reason = f"all but test_real_gpu.py, for here is {torch.cuda.get_device_name()}"
    elif can_pretend():
        reason = "test_real_gpu.py, for torch finds no GPU here"
    else:
        reason = f"all: no GPU, and torch {torch.__version__} is too old to pretend one"
    terminalreporter.write_line(f"Left out of tests/gpu: {reason}.")


def pytest_configure(config):
    """Move the seeds of scikit-learn's estimator checks, if asked."""
    shift = config.getoption("--seed-shift")
    if shift:
        _shift_seeds(shift)


def _shift_seeds(shift):
    """Let scikit-learn's estimator checks use other data and other estimator seeds."""
    import numpy as np
    from sklearn.utils import estimator_checks as checks

    class Shifted(np.random.RandomState):
        def __init__(self, seed=None):
            super().__init__(seed if seed is None else seed + shift)

    class Proxy:
        """A module with some names replaced."""

        def __init__(self, module, **names):
            self.__dict__.update(names, _module=module)

        def __getattr__(self, name):
            return getattr(self._module, name)

    set_random_state, make_blobs = checks.set_random_state, checks.make_blobs
    checks.np = Proxy(np, random=Proxy(np.random, RandomState=Shifted))
    checks.set_random_state = lambda estimator, random_state=0: set_random_state(
        estimator, random_state + shift
    )
    checks.make_blobs = lambda *args, random_state=None, **kwargs: make_blobs(
        *args,
        random_state=random_state + shift
        if isinstance(random_state, int)
        else random_state,
        **kwargs,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Count a skipped test as failed: it tests nothing, and nobody would see it."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is not allowed here: {report.longrepr}"
    return report
