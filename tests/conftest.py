"""Fixtures that tests of several modules share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of corpora for checks, beside the repository; tests skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_TRANSFORMER_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder} (set KERAS_TRANSFORMER_TEST_DATA)")
    return folder
