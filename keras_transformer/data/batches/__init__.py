"""Batches of token ids: pairs, texts, and texts with masked tokens."""
