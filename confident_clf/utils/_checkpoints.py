# SPDX-License-Identifier: BSD-3-Clause
"""A folder with the states of one fit, that outlives the process."""

import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch

# First bytes of a checkpoint: what it is, and which version of the format.
MAGIC = b"confident_clf checkpoint 1\n"
DIGEST_SIZE = 32
# A zip archive, the one format of torch that is read as data alone.
ZIP = b"PK\x03\x04"


class Checkpoints:
    """The checkpoints of one fit: the last two, of which the latest can be read.

    Parameters
    ----------
    folder : path-like
        Made if it is not there. It is for one fit.
    fingerprint : dict of str to str
        What the fit depends on; a checkpoint of another is refused.
    seed : int
        What everything random in the fit is seeded with. Where there is a checkpoint,
        its seed takes the place of this one.

    Attributes
    ----------
    state : dict or None
        The state to go on from; None where there is none.

    Raises
    ------
    ValueError
        If the folder has checkpoints, but those of another fit, or none that is whole.
    """

    def __init__(self, folder, fingerprint, seed):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint={str(folder)!r} cannot be a folder: {error}. Use another."
            ) from error
        self.fingerprint = fingerprint
        found = self._latest()
        self.state = None if found is None else found["state"]
        self.seed = seed if found is None else found["seed"]

    def save(self, n_epochs, state):
        """Write the state after `n_epochs` epochs, then remove all but the last two."""
        found = {"fingerprint": self.fingerprint, "seed": self.seed, "state": state}
        # Zeros in front: in the order of their names the latest is the last.
        write_whole(self.folder / f"epoch-{n_epochs:08d}.ckpt", to_bytes(found))
        for path in self._paths()[:-2]:
            path.unlink()

    def _paths(self):
        """Return the checkpoints in the folder, the latest last."""
        return sorted(self.folder.glob("epoch-*.ckpt"))

    def _latest(self):
        """Return the latest checkpoint that is whole, or None if there is none."""
        broken = []
        for path in reversed(self._paths()):
            try:
                found = from_bytes(path.read_bytes())
            except (OSError, ValueError) as error:
                broken.append(f"{path}: {error}")
                continue
            check_same(found["fingerprint"], self.fingerprint, path)
            if broken:
                warnings.warn(
                    f"Not used: {'; '.join(broken)} The fit goes on from {path}.",
                    UserWarning,
                    stacklevel=2,
                )
            return found
        if broken:
            raise ValueError(
                f"No checkpoint can be used: {'; '.join(broken)} Delete them to start "
                "anew."
            )
        return None


def write_whole(path, data):
    """Write a file such that, whenever power fails, it is there as a whole or not."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def to_bytes(plain):
    """Return the content of a checkpoint: what it is, its digest, its data."""
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    data = buffer.getvalue()
    return MAGIC + _digest(data) + data


def from_bytes(content):
    """Return what a checkpoint holds; nothing in it is executed.

    Raises
    ------
    ValueError
        If it is not a checkpoint of this format, or not whole.
    """
    magic, rest = content[: len(MAGIC)], content[len(MAGIC) :]
    digest, data = rest[:DIGEST_SIZE], rest[DIGEST_SIZE:]
    if magic != MAGIC:
        raise ValueError("not a checkpoint of this version of confident_clf.")
    if digest != _digest(data) or not data.startswith(ZIP):
        raise ValueError("truncated or changed.")
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        is_ours = set(found) == {"fingerprint", "seed", "state"}
        is_ours = is_ours and type(found["seed"]) is int
    except Exception as error:  # of many kinds: pickle's, torch's, those of zip files
        raise ValueError("holds more than tensors, numbers and text.") from error
    if not is_ours:
        raise ValueError("not a checkpoint of a classifier.")
    return found


def check_same(found, expected, path):
    """Raise ValueError if a checkpoint is of other data or parameters."""
    names = sorted(found.keys() | expected.keys())
    differences = [
        f"{name} was {found.get(name)}, is {expected.get(name)}"
        for name in names
        if found.get(name) != expected.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} is a checkpoint of another fit: {'; '.join(differences)}. Use "
            "another folder, or delete it to start anew."
        )


def as_plain(value, name):
    """Return a value in containers of tensors on the CPU, numbers and text, copied.

    Parameters
    ----------
    value : object
        Made of dicts, lists, tuples, tensors, numbers, text and None.
    name : str
        What it is, for the error.

    Raises
    ------
    TypeError
        If there is something else in it.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: as_plain(v, f"{name}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        kind = tuple if isinstance(value, tuple) else list
        return kind(as_plain(v, f"{name}[{i}]") for i, v in enumerate(value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot hold: only "
        "tensors, numbers, text and containers of these. Set checkpoint=None, or "
        "give it a name that does not end in an underscore if fit does not need it."
    )


def _digest(data):
    """Return the digest that tells whether data are whole."""
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()
