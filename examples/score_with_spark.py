# SPDX-License-Identifier: BSD-3-Clause
"""Score a frame of Spark: python examples/score_with_spark.py

Needs `pip install pyspark pandas pyarrow`, and Java.
"""

import os
import sys

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier, OODDetector, load, save


def score(frames):
    """Yield the scores of each frame; a worker loads the detector once."""
    detector = load("detector.safetensors")
    for frame in frames:
        scores = detector.score_samples(frame.drop(columns="id"))
        yield pd.DataFrame({"id": frame["id"], "score": scores})


def main():
    """Save a detector, and score with it in two workers."""
    X, y = load_digits(return_X_y=True, as_frame=True)
    X = X / 16
    clf = ConfidentClassifier(max_epochs=3, random_state=0)
    detector = OODDetector(clf, random_state=0).fit(X, y)
    save(detector, "detector.safetensors")

    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    frame = spark.createDataFrame(X.assign(id=range(len(X)))).repartition(2)
    scored = frame.mapInPandas(score, "id long, score double").toPandas()
    scores = scored.sort_values("id")["score"].to_numpy()
    same = np.array_equal(scores, detector.score_samples(X))
    print("same scores as in one process:", same)
    spark.stop()


if __name__ == "__main__":
    main()
