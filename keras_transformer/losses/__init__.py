"""Losses and metrics that count no padding: what models and training share."""
