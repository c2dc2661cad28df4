"""Searching for the best translation."""

from keras_transformer.decoding.search import Search, SearchResult

__all__ = ["Search", "SearchResult"]
