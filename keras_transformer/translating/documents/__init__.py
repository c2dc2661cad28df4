"""Documents, translated by a translator; `keras_transformer.documents` has their formats."""
