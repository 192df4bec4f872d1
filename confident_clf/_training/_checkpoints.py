# SPDX-License-Identifier: BSD-3-Clause
"""A folder with the states of one fit, which outlives the process."""

import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from confident_clf._training._fingerprint import fingerprint

# First bytes of a checkpoint: its kind, and the version of the format.
MAGIC = b"confident_clf checkpoint 1\n"
DIGEST_SIZE = 32
# A zip archive: the one format of torch that can be read as data alone.
ZIP = b"PK\x03\x04"


# Parameters that the weights do not depend on, or that are compared in another way.
_DO_NOT_MATTER = {
    "checkpoint",
    "device",
    "method",
    "random_state",
    "verbose",
    "warm_start",
}


def check_checkpoint(checkpoint, *, warm_start=False, one_pass=False) -> None:
    """Raise ValueError where the parameter `checkpoint` makes no sense."""
    if checkpoint is None:
        return
    if not str(checkpoint):
        raise ValueError(
            "checkpoint='' does not name a folder. Use '.' for this one, or None."
        )
    if one_pass:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} is for fit; partial_fit is one pass over "
            "the data, with nothing to resume. Set checkpoint=None."
        )
    if warm_start:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} and warm_start=True both say where to "
            "continue from. Set warm_start=False and max_epochs to all epochs, or "
            "checkpoint=None."
        )


def open_checkpoints(
    estimator, device: torch.device, seed: int, X, y, X_ood, weights, validation
):
    """Return the checkpoints of the fit that is about to begin, or None.

    Without a `random_state` the seed differs each time, and is not compared.
    """
    if estimator.checkpoint is None:
        return None
    params = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name not in _DO_NOT_MATTER
    }
    params["device"] = device.type
    params["random_state"] = None if estimator.random_state is None else seed
    params["classes"] = estimator.classes_
    arrays = {"X": X, "y": y, "X_ood": X_ood, **validation.arrays()}
    arrays["sample_weight"] = None if weights is None else weights.rows
    return Checkpoints(estimator.checkpoint, fingerprint(params, arrays), seed)


class Checkpoints:
    """The checkpoints of one fit: the last two, in a folder for this fit only.

    `state` is the state to continue from, or None. `seed` is what everything random in
    the fit is seeded with; a checkpoint's seed takes the place of the one given.
    Raises ValueError if the folder holds checkpoints of another fit, that is another
    fingerprint, or only broken ones.
    """

    def __init__(self, folder, fingerprint: dict[str, str], seed: int):
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

    def save(self, n_epochs: int, state: dict) -> None:
        """Write the state after `n_epochs` epochs; keep the last two files."""
        found = {"fingerprint": self.fingerprint, "seed": self.seed, "state": state}
        # With zeros in front, the latest name is the last in alphabetical order.
        write_whole(self.folder / f"epoch-{n_epochs:08d}.ckpt", to_bytes(found))
        for path in self._paths()[:-2]:
            path.unlink()

    def _paths(self) -> list[Path]:
        """Return the checkpoints in the folder, the latest last."""
        return sorted(self.folder.glob("epoch-*.ckpt"))

    def _latest(self) -> dict | None:
        """Return the latest complete checkpoint, or None if the folder is empty."""
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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there completely or not at all if the power fails."""
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


def to_bytes(plain: dict) -> bytes:
    """Return the content of a checkpoint: kind, digest, data."""
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    data = buffer.getvalue()
    return MAGIC + _digest(data) + data


def from_bytes(content: bytes) -> dict:
    """Return what a checkpoint holds, without executing anything in it.

    Raises ValueError if it is not a complete checkpoint of this format.
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
    except Exception as error:  # pickle, torch and zipfile raise many kinds
        raise ValueError("holds more than tensors, numbers and text.") from error
    if not is_ours:
        raise ValueError("not a checkpoint of a classifier.")
    return found


def check_same(found: dict, expected: dict, path: Path) -> None:
    """Raise ValueError if a checkpoint belongs to other data or parameters."""
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


def as_plain(value, name: str):
    """Return a copy made of containers, tensors on the CPU, numbers and text.

    Raises TypeError, which calls the value by its name, if it holds anything else.
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


def _digest(data: bytes) -> bytes:
    """Return the digest that shows whether data are complete."""
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()
