"""Models and tokenizers of other libraries."""
