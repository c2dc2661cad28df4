"""Checkpoints of the library `transformers`, read and written: models and tokenizers."""
