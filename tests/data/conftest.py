"""Fixtures of the tests on text."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def official_validation(shared_data) -> dict[str, tf.Tensor]:
    """The lines of the reference corpus' validation split, by language."""
    import tensorflow_datasets as tfds

    folder = shared_data / "tensorflow_datasets"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    pairs = tfds.load(
        "ted_hrlr_translate/pt_to_en",
        split="validation",
        data_dir=folder,
        download=False,
        as_supervised=True,
    )
    source, target = next(iter(pairs.batch(10_000)))
    return {"pt": source, "en": target}
