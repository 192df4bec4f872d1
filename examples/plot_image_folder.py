# SPDX-License-Identifier: BSD-3-Clause
"""
==============================
A folder of images of any size
==============================

Images often lie in a folder with a folder for each class. A list of their paths is all
that ``fit`` needs: it opens the files batch by batch, and brings them to
``image_shape``. Here the files are written first: digits 0 to 4, enlarged to several
sizes. Photographs of flowers, parts of the two pictures that scikit-learn brings, are
unknown.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OODDetector

OUTPUT = Path("output")
MAX_EPOCHS = 10

# %%
# Write a folder of images
# ------------------------


def write_images(folder):
    """Write the digits as grey images, and parts of photographs as coloured ones."""
    X, y = load_digits(n_class=5, return_X_y=True)
    for i, (image, label) in enumerate(zip(np.uint8(X * 15), y, strict=True)):
        path = folder / str(label) / f"{i:04}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        side = 8 + i % 25
        Image.fromarray(image.reshape(8, 8)).resize((side, side)).save(path)
    (folder / "photographs").mkdir()
    for i, photograph in enumerate(load_sample_images().images):
        for j in range(20):
            part = photograph[20 * j : 20 * j + 60, 30 * j : 30 * j + 60]
            Image.fromarray(part).save(folder / "photographs" / f"{i}_{j:02}.jpg")


# %%
# Paths in, decisions out
# -----------------------


def fit(paths, labels):
    """Return a detector of images that are not like these."""
    clf = ConfidentClassifier(
        image_shape=(1, 8, 8),
        ood_source="noise",
        max_epochs=MAX_EPOCHS,
        random_state=0,
    )
    return OODDetector(clf, random_state=0).fit(paths, labels)


def draw(paths, decisions):
    """Draw some images with what the detector says of them."""
    figure, axes = plt.subplots(2, 8, figsize=(10, 3))
    for axis, path, label, accepted in zip(
        axes.flat, paths, decisions.label, decisions.accepted, strict=False
    ):
        axis.imshow(Image.open(path).convert("RGB"))
        axis.set_title(f"a {label}" if accepted else "unknown")
        axis.set_axis_off()
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "image_folder.png", bbox_inches="tight")


def main():
    """Fit on files; draw some that were not trained on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder)
        paths = sorted(folder.glob("[0-9]/*.png"))
        labels = [path.parent.name for path in paths]
        train, test, y_train, y_test = train_test_split(paths, labels, random_state=0)
        detector = fit(train, y_train)
        photographs = sorted(folder.glob("photographs/*.jpg"))
        known, unknown = detector.decide(test), detector.decide(photographs)
        print(f"digits: {np.mean(known.label == y_test):.0%} right, ", end="")
        print(f"{np.mean(known.accepted):.0%} accepted")
        print(f"photographs: {np.mean(~unknown.accepted):.0%} refused")
        some = [*test[:8], *photographs[::5]]
        draw(some, detector.decide(some))


if __name__ == "__main__":
    main()
