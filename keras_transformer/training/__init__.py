"""Training: from a corpus to a run folder, its loop, checkpoints, callbacks and devices."""
