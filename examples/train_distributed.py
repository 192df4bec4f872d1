# SPDX-License-Identifier: BSD-3-Clause
"""Train one classifier in two processes:

torchrun --nproc-per-node 2 examples/train_distributed.py

On a machine with GPUs each process takes one.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, save
from confident_clf.distributed import data_parallel


def main():
    """Train on the digits; the first process prints the accuracy and saves."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    with data_parallel() as rank:
        clf = ConfidentClassifier(max_epochs=20, random_state=0).fit(X_train, y_train)
    if rank == 0:
        save(clf, "digits.safetensors")
        print(f"accuracy {clf.score(X_test, y_test):.3f}; saved to digits.safetensors")


if __name__ == "__main__":
    main()
