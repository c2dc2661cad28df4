"""Corpora: pairs of sentences and documents, and where they come from."""
