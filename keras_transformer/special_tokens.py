"""The tokens that stand for no text; the same ids in every tokenizer of this package."""

PAD, UNK, START, END = range(4)

RESERVED_TOKENS = ("[PAD]", "[UNK]", "[START]", "[END]")
"""Their names, in the order of their ids."""
