"""Decoding: greedy search, beam search and sampling over any model with a cached step."""

from keras_transformer.decoding.search import Search, SearchResult
