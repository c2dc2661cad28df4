"""Searching for the best translation."""

from keras_transformer.decoding.search import SearchResult, greedy_search

__all__ = ["SearchResult", "greedy_search"]
