"""From text to text: translators, the generator of a language model, and their evaluation."""
