"""Tokenising and translating on Apache Beam: on the processes of a machine, or on a cluster.

The names below are imported when they are first used, and need the extra ``[beam]``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "handlers": ["TranslatorHandler"],
        "tokenizing": ["TokenizePairs"],
        "translating": ["Translate", "translate_files"],
    },
)
