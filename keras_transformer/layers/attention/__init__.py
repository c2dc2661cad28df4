"""Scaled dot-product attention.

`dot_product` has the formula and chooses among its implementations, `blockwise` (with `blocks`) and
`cudnn`; `multi_head` the heads and their projections; `sublayers` the attention layers of encoder
and decoder; `masks` the masks of padding and of the future.
"""
