"""Formats of documents: what is a text in them, and how its translation is written in its place."""
