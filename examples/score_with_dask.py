# SPDX-License-Identifier: BSD-3-Clause
"""Search and score on a cluster of Dask: python examples/score_with_dask.py

Needs `pip install ".[dask]"`.
"""

import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from confident_clf import ConfidentClassifier, OODDetector, make_ood_scorer

# What decide returns: names and types, without rows.
TABLE = pd.DataFrame(
    {
        "label": np.array([], int),
        "accepted": np.array([], bool),
        "p_value": np.array([], float),
        "ood_score": np.array([], float),
    }
)


class DirectClient(Client):
    """A client by which joblib sends arrays with every task.

    Otherwise joblib first puts each array on one worker. A search fails if that worker
    is lost later, and waits forever if it is lost while it gets the array.
    """

    def scatter(self, *args, asynchronous=None, **kwargs):
        """Send data to workers, unless joblib asks, which it does asynchronously."""
        if asynchronous:
            return self._nothing()
        return super().scatter(*args, **kwargs)

    async def _nothing(self):
        """Return None: joblib then sends the data themselves."""


def decide(part, detector):
    """Return the decisions for a part of a table."""
    if part.empty:  # as after a filter
        return TABLE
    return detector.decide(part.to_numpy()).to_frame().set_index(part.index)


def main():
    """Search beta on two processes, then score an array and a table in parts."""
    X, y = load_digits(return_X_y=True)
    known, unknown, y = X[y < 5] / 16, X[y >= 5] / 16, y[y < 5]
    clf = ConfidentClassifier(max_epochs=3, random_state=0)
    auroc = make_ood_scorer(X_ood=unknown[:200])
    search = GridSearchCV(clf, {"beta": [0.1, 1.0]}, scoring=auroc, cv=2)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1) as cluster,
        DirectClient(cluster) as client,
    ):
        with joblib.parallel_config("dask", client=client):
            search.fit(known, y)
        detector = OODDetector(search.best_estimator_, random_state=0).fit(known, y)
        blocks = da.from_array(X / 16, chunks=(300, 64))
        scores = blocks.map_blocks(detector.score_samples, drop_axis=1, dtype=float)
        scores = scores.compute()
        table = dd.from_pandas(pd.DataFrame(X / 16), npartitions=4)
        decisions = table.map_partitions(decide, detector, meta=TABLE).compute()

    alone = GridSearchCV(clf, {"beta": [0.1, 1.0]}, scoring=auroc, cv=2).fit(known, y)
    means = [s.cv_results_["mean_test_score"] for s in (search, alone)]
    print("same search as in one process:", np.array_equal(*means))
    same = np.array_equal(scores, detector.score_samples(X / 16))
    print("same scores as in one process:", same)
    same = decisions.equals(detector.decide(X / 16).to_frame())
    print("same decisions as in one process:", same)


if __name__ == "__main__":
    main()
