"""Text before it is divided into tokens: normalisation."""
