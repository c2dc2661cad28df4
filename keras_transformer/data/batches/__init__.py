"""Batches of token ids: of pairs, of texts, and of texts with masked tokens."""
