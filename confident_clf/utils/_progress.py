# SPDX-License-Identifier: BSD-3-Clause
"""Progress on stderr: a bar in a terminal or a notebook, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Whether this thread's fit shows its progress. Sources learn it from here: their
# methods have no argument for it.
_shown: ContextVar[bool] = ContextVar("shown", default=False)
_FORMAT = "{desc} {n_fmt} of {total_fmt} |{bar}| {elapsed}<{remaining}{postfix}"
_LINE = _FORMAT.replace(" |{bar}| ", " [") + "]"
# Recorded with the losses of the players, but the classifier's once more, or a part.
_NOT_SHOWN = ("train_loss", "reject_loss")


@contextmanager
def progress_shown(is_shown: bool):
    """Show the progress of what runs in the block, or do not."""
    token = _shown.set(is_shown)
    try:
        yield
    finally:
        _shown.reset(token)


@contextmanager
def progress_bar(name: str, n_done: int, n_all: int) -> Iterator[Callable]:
    """Yield a function to call after every step, with a dict of figures.

    It moves a bar that starts at `n_done` of `n_all`, and shows the losses among the
    figures. The bar is closed however the block ends.
    """
    if not _shown.get() or sys.stderr is None:  # a Windows service has no stderr
        yield _show_nothing
        return
    bar = _make_bar(desc=name, initial=n_done, total=n_all)

    def advance(figures: dict) -> None:
        bar.set_postfix_str(_losses(figures), refresh=False)
        bar.update()

    try:
        yield advance
    finally:
        bar.close()


def _show_nothing(figures: dict) -> None:
    """Take the place of a bar where there is none."""


def _losses(figures: dict) -> str:
    """Return the losses among the figures as text, by the names of the players."""
    return ", ".join(
        f"{name.removesuffix('_loss')} {value:.3g}"
        for name, value in figures.items()
        if name.endswith("_loss") and name not in _NOT_SHOWN
    )


def _make_bar(**options):
    """Return a bar of tqdm, or lines where its cursor movements would end up in a file.

    A notebook without its widgets gets lines too.
    """
    # Imported late: in a notebook without widgets the import warns.
    from tqdm.auto import tqdm
    from tqdm.notebook import tqdm_notebook

    if issubclass(tqdm, tqdm_notebook) or sys.stderr.isatty():
        return tqdm(bar_format=_FORMAT, **options)
    return _Lines(**options)


class _Lines:
    """What a bar would say, as a line after every tenth of the steps and the last."""

    def __init__(self, desc: str, initial: int, total: int):
        self.total = total
        self.options = {"prefix": desc, "initial": initial, "total": total}
        self.n = self.n_written = initial
        self.start = time.monotonic()
        self.postfix = ""

    def set_postfix_str(self, postfix: str, refresh: bool) -> None:
        """Set what the next line ends with."""
        self.postfix = postfix

    def update(self) -> None:
        """Count a step, and write a line where a new tenth begins."""
        self.n += 1
        if self.n * 10 // self.total > (self.n - 1) * 10 // self.total:
            self._write()

    def close(self) -> None:
        """Write how far it came, if the last line does not say so."""
        if self.n > self.n_written:
            self._write()

    def _write(self) -> None:
        """Write a line."""
        from tqdm import tqdm

        line = tqdm.format_meter(
            self.n,
            elapsed=time.monotonic() - self.start,
            bar_format=_LINE,
            postfix=self.postfix,
            **self.options,
        )
        # In one piece: other processes may write to the same file.
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
        self.n_written = self.n
