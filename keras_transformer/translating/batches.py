"""Which texts are worked on together: those of like lengths."""

import numpy as np

BATCH_ROWS = 64
"""Most texts in one batch."""


def batches_by_length(lengths, most: int | None = None) -> list[np.ndarray]:
    """Divides texts into batches of at most `BATCH_ROWS` texts of like lengths.

    Args:
        lengths: of the texts, in tokens or bytes.
        most: largest size of a batch, its padding included; any unless given. A text that is
            longer has a batch of its own.

    Returns:
        the numbers of the texts of each batch, the longest first.
    """
    lengths = np.asarray(lengths, int)
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = BATCH_ROWS if most is None else min(BATCH_ROWS, max(most // longest, 1))
        batches.append(order[start : start + rows])
        start += rows
    return batches
