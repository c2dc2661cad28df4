"""Dot-product attention, its implementations, its masks and the layers that use it."""
