# SPDX-License-Identifier: BSD-3-Clause
"""Write the files that later versions must load: python tests/data/write_files.py.

Run once for each format of files, by the version that writes it; what is there stays.
"""

import json
from functools import partial
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OpenSetClassifier, save
from confident_clf.modules import MLP, MLPDiscriminator, MLPGenerator


def fitted():
    """Return an open-set classifier that has a bit of everything, and its data."""
    X, y = load_iris(return_X_y=True)
    clf = ConfidentClassifier(
        partial(MLP, hidden=(8,)),
        ood_source=["joint", "noise"],
        generator=partial(MLPGenerator, hidden=(8,)),
        discriminator=partial(MLPDiscriminator, hidden=(8,)),
        latent_dim=2,
        lr=0.05,
        max_epochs=10,
        method="knn",
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(), clf)
    names = load_iris().target_names[y]
    open_set = OpenSetClassifier(
        pipeline, target_tpr=0.9, unknown_label="unknown", random_state=0
    )
    return open_set.fit(X, names), X


def main():
    """Write a file, and beside it what its estimator says of the data."""
    open_set, X = fitted()
    path = Path(__file__).with_name("format_1.safetensors")
    save(open_set, path)
    said = {
        "predict": open_set.predict(X).tolist(),
        "predict_proba": open_set.predict_proba(X).round(6).tolist(),
        "score_samples": open_set.score_samples(X).tolist(),
        "p_value": open_set.detector_.p_value(X).tolist(),
        "sample_ood": open_set.estimator_[-1].sample_ood(4).tolist(),
    }
    path.with_suffix(".json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
