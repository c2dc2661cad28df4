"""Tokenizers: text to ids and back, for one language and for a pair of them."""
