# SPDX-License-Identifier: BSD-3-Clause
"""skorch's TensorBoard writes real event files, which TensorBoard itself reads."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from skorch.callbacks import TensorBoard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from confident_clf import ConfidentClassifier

X, Y = make_blobs(80, centers=3, random_state=0)


def curve(folder, name):
    """Return the epochs and values of a curve in the event files of a folder."""
    events = EventAccumulator(str(folder))
    events.Reload()
    points = events.Scalars(name)
    return [point.step for point in points], [point.value for point in points]


@pytest.mark.parametrize("source", ["joint", None])
def test_curves_of_all_players(source, tmp_path):
    """Check the curves of every player against the history."""
    callback = TensorBoard(SummaryWriter(tmp_path))
    clf = ConfidentClassifier(
        ood_source=source, max_epochs=3, callbacks=[callback], random_state=0
    )
    history = clone(clf).fit(X, Y).history_
    players = ["classifier_loss"]
    if source == "joint":
        players += ["discriminator_loss", "generator_loss", "kl"]
    for name in players:
        epochs, values = curve(tmp_path, name)
        assert epochs == [1, 2, 3]
        expected = np.float32([row[name] for row in history])
        np.testing.assert_array_equal(np.float32(values), expected)
