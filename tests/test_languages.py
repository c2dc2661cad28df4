"""Codes of languages and their names."""

import pytest

from keras_transformer.languages import language_name, primary_language


@pytest.mark.parametrize(
    ("code", "language", "name"),
    [
        ("pt", "pt", "Portuguese"),
        ("PT", "pt", "Portuguese"),
        ("pt-BR", "pt", "Portuguese (BR)"),
        ("pt_BR", "pt", "Portuguese (BR)"),
        ("zh-Hans", "zh", "Chinese (Hans)"),
        ("nb", "nb", "Norwegian Bokmål"),
        ("xx", "xx", "xx"),
        ("tiny", "tiny", "tiny"),
        ("", "", ""),
    ],
)
def test_a_code_has_a_language_and_a_name(code, language, name):
    assert primary_language(code) == language
    assert language_name(code) == name
