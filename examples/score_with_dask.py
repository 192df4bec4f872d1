# SPDX-License-Identifier: BSD-3-Clause
"""Search and score on a cluster of Dask: python examples/score_with_dask.py

Needs `pip install ".[dask]"`.
"""

import dask.array as da
import joblib
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from confident_clf import ConfidentClassifier, OODDetector, make_ood_scorer


def main():
    """Search beta on two processes, then score an array block by block."""
    X, y = load_digits(return_X_y=True)
    known, unknown, y = X[y < 5] / 16, X[y >= 5] / 16, y[y < 5]
    clf = ConfidentClassifier(max_epochs=3, random_state=0)
    auroc = make_ood_scorer(X_ood=unknown[:200])
    search = GridSearchCV(clf, {"beta": [0.1, 1.0]}, scoring=auroc, cv=2)
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        with joblib.parallel_config("dask"):
            search.fit(known, y)
        detector = OODDetector(search.best_estimator_, random_state=0).fit(known, y)
        blocks = da.from_array(X / 16, chunks=(300, 64))
        scores = blocks.map_blocks(detector.score_samples, drop_axis=1, dtype=float)
        scores = scores.compute()

    alone = GridSearchCV(clf, {"beta": [0.1, 1.0]}, scoring=auroc, cv=2).fit(known, y)
    means = [s.cv_results_["mean_test_score"] for s in (search, alone)]
    print("same search as in one process:", np.array_equal(*means))
    same = np.array_equal(scores, detector.score_samples(X / 16))
    print("same scores as in one process:", same)


if __name__ == "__main__":
    main()
