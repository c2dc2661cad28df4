"""Every text is in one batch, with others of like length."""

import numpy as np
import pytest

from keras_transformer.translating.batches import BATCH_ROWS, batches_by_length


@pytest.mark.parametrize("most", [None, 1, 50, 4096])
def test_every_text_is_in_one_batch_of_no_more_than_there_is_room_for(most):
    lengths = np.random.default_rng(0).integers(0, 90, 500)
    batches = batches_by_length(lengths, most)
    assert sorted(np.concatenate(batches)) == list(range(500))
    for batch in batches:
        assert len(batch) <= BATCH_ROWS
        assert most is None or len(batch) == 1 or len(batch) * lengths[batch].max() <= most
    ordered = lengths[np.concatenate(batches)]
    assert (np.diff(ordered) <= 0).all()


def test_no_texts_make_no_batch():
    assert batches_by_length([]) == []
