"""Recurrent cells, the layers that run them, and attention over their states."""
