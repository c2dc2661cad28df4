"""Two systems on the same test set: significance, where they differ, as text and as a page."""
