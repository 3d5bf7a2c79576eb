"""A student of static embeddings: model2vec distils it from the teacher, and it is fine-tuned on the labels.

Each piece of the teacher's vocabulary gets the vector that the teacher gives for it alone; a text is the mean of its
pieces' vectors (https://github.com/MinishLab/model2vec). Everything is read from the teacher's folder.
"""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.labelled_texts import LabelledTexts, Served, joined
from pipeline.errors import require

MISSING = "model2vec is not installed: python -m pip install -e '.[baselines]'"


def installed() -> bool:
    """Whether model2vec can distil here."""
    return find_spec("model2vec") is not None and find_spec("skeletoken") is not None


def static_student(rows: LabelledTexts, teacher: Path, *, seed: int) -> Served:
    """Distil, fine-tune and save, all with model2vec's own defaults; dev stops the training.

    Args: teacher: a folder of a model with its tokenizer.
    Raises: UserError where model2vec is not installed.
    """
    require(installed(), MISSING)
    from model2vec.distill import distill  # noqa: PLC0415 (an extra)  # pyright: ignore[reportMissingImports]
    from model2vec.inference import StaticModelPipeline  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    from model2vec.train import StaticModelForClassification  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    begin = time.perf_counter()
    model = StaticModelForClassification.from_static_model(model=distill(str(teacher), device="cpu"))
    model.fit(
        rows.joined("train"),
        rows.labels["train"].tolist(),
        X_val=rows.joined("dev"),
        y_val=rows.labels["dev"].tolist(),
        device="cpu",
        random_seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        model.to_pipeline().save_pretrained(folder)
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in Path(folder).iterdir() if path.name != "README.md")
        served = StaticModelPipeline.from_pretrained(folder)
    return Served(
        predict=lambda texts: np.asarray(served.predict([joined(each) for each in texts])).astype(np.int64),
        disk_bytes=size,
        seconds=seconds,
    )
