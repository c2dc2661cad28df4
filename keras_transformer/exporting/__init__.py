"""Trained models in other forms. The names are loaded when they are first used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ctranslate2": ["CTranslate2Translator", "export_ctranslate2"],
        "saved_model": ["export"],
        "stablehlo": ["export_stablehlo"],
    },
)
