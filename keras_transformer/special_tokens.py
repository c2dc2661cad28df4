"""The tokens that stand for no text; the same ids in every tokenizer of this package."""

PAD_ID, UNK_ID, START_ID, END_ID = range(4)

RESERVED_TOKENS = ("[PAD]", "[UNK]", "[START]", "[END]")
"""Their names, in the order of their ids."""
