"""The language of a text, by py3langid, where the extra ``detect`` is installed."""

import importlib
import importlib.util
import threading
from collections.abc import Collection

from keras_transformer.languages import primary_language

_PACKAGE = "py3langid.langid"
_MOST_CHARACTERS = 2000  # of a text that are looked at
_LEAST, _MOST = 0.01, 5  # probability of languages that are named, and how many


class Detector:
    """The language of texts. What it knows is loaded when it is first asked, by any thread.

    Attributes:
        is_there: whether the extra is installed.
    """

    def __init__(self):
        self.is_there = importlib.util.find_spec(_PACKAGE.partition(".")[0]) is not None
        self._loading = threading.Lock()
        self._identifier = None

    def detect(self, text: str) -> list[tuple[str, float]]:
        """The likely languages of a text and their probabilities, the likeliest first."""
        ranked = self._ranked(text)
        return [found for found in ranked[:_MOST] if found[1] >= _LEAST] or ranked[:1]

    def detect_among(self, text: str, codes: Collection[str]) -> tuple[str, float]:
        """The likeliest of some languages, and its probability among all that there are.

        Args:
            text: the text.
            codes: of the languages; the first where the detector knows none of them.
        """
        ranked = dict(self._ranked(text))
        found = {code: ranked.get(primary_language(code), 0.0) for code in codes}
        best = max(found, key=found.__getitem__)
        return best, found[best]

    def _ranked(self, text: str) -> list[tuple[str, float]]:
        with self._loading:
            if self._identifier is None:
                module = importlib.import_module(_PACKAGE)
                kind = module.LanguageIdentifier
                self._identifier = kind.from_model_file(module.MODEL_FILE, norm_probs=True)
        return self._identifier.rank(text[:_MOST_CHARACTERS])
