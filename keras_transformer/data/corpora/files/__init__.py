"""Files of text and of pairs, of many kinds, read piece by piece."""
