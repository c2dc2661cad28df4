"""The grammar that wrote the corpus `sample`: words, phrases, clauses and sentence templates.

Read in the order of the imports: the words (`nouns`, `adjectives`, `conjugation`, `verbs`), how
they combine (`phrases`, `fixed_phrases`, `clauses`), the `writer` that draws them, the `parts` of
sentences and the `templates_*` of whole ones, which `sentences` weighs and turns into pairs;
`corpus` divides these into training, validation and test. In the templates, `w` is the writer.

`PYTHONPATH=tools python -m sample_corpus` rewrites the file that the package reads.
"""
