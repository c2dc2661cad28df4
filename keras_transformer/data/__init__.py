"""Corpora, tokenizers and batches. The names below are imported when they are first used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches.pairs": ["make_batches"],
        "corpora.corpus": ["Corpus"],
        "corpora.load": ["load_corpus"],
        "corpora.mixture": ["CorpusPart", "mix_corpora"],
        "corpora.pair_filters": ["PairFilters"],
        "tokenizers.pair": [
            "Tokenizers",
            "as_tokenizers",
            "train_tokenizers",
            "tutorial_tokenizers",
        ],
    },
)
