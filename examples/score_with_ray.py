# SPDX-License-Identifier: BSD-3-Clause
"""Score a data set of Ray: python examples/score_with_ray.py

Needs `pip install "ray[data]"`.
"""

import numpy as np
import ray
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier, OODDetector, load, save


class Score:
    """Load a detector once in each worker, and score batches with it."""

    def __init__(self, path):
        self.detector = load(path)

    def __call__(self, batch):
        return {"id": batch["id"], "score": self.detector.score_samples(batch["x"])}


def main():
    """Save a detector, and score with it in two workers."""
    X, y = load_digits(return_X_y=True)
    clf = ConfidentClassifier(max_epochs=3, random_state=0)
    detector = OODDetector(clf, random_state=0).fit(X / 16, y)
    save(detector, "detector.safetensors")

    ray.init(num_cpus=2, include_dashboard=False)
    rows = ray.data.from_items([{"id": i, "x": x} for i, x in enumerate(X / 16)])
    scored = rows.map_batches(
        Score,
        fn_constructor_args=["detector.safetensors"],
        batch_size=300,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    scores = scored.to_pandas().sort_values("id")["score"].to_numpy()
    same = np.array_equal(scores, detector.score_samples(X / 16))
    print("same scores as in one process:", same)
    ray.shutdown()


if __name__ == "__main__":
    main()
