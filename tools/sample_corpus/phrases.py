"""Phrases that say the same in both languages, and their spelling as tokenised text."""

from __future__ import annotations

from dataclasses import dataclass

from sample_corpus.conjugation import HE, THEY, WE, I


@dataclass(frozen=True)
class Phrase:
    """The same meaning in both languages."""

    pt: str
    en: str

    def __add__(self, other: Phrase) -> Phrase:
        return Phrase(f"{self.pt} {other.pt}", f"{self.en} {other.en}")


EMPTY = Phrase("", "")
COMMA = Phrase(",", ",")


def phrases(table: str) -> tuple[Phrase, ...]:
    """Reads lines of `portuguese | english`."""
    return tuple(
        Phrase(*(side.strip() for side in line.split("|"))) for line in table.strip().splitlines()
    )


@dataclass(frozen=True)
class NounPhrase(Phrase):
    person: int = HE
    feminine: bool = False
    key: str = ""  # of the noun; empty for pronouns
    agreement: str = "singular"  # in English: "i", "singular" or "plural", as also "you" is
    en_object: str = ""  # of pronouns: "him"
    clitic: str = ""  # of pronouns: "o"

    @property
    def plural(self) -> bool:
        return self.person in (WE, THEY)

    @property
    def is_pronoun(self) -> bool:
        return not self.key

    @property
    def object(self) -> str:
        return self.en_object or self.en

    @property
    def own(self) -> Phrase:
        """The possessive that points back to this subject, for a masculine singular thing."""
        if self.is_pronoun:
            en = POSSESSIVES[self.en]
        else:
            en = "their" if self.plural else "her" if self.feminine else "his"
        return Phrase({I: "meu", WE: "nosso"}.get(self.person, "seu"), en)


POSSESSIVES = {"i": "my", "you": "your", "he": "his", "she": "her", "we": "our", "they": "their"}
PRONOUNS = EU, ELE, ELA, NOS, ELES, VOCE, ELAS = (
    NounPhrase("eu", "i", I, False, "", "i", "me", "me"),
    NounPhrase("ele", "he", HE, False, "", "singular", "him", "o"),
    NounPhrase("ela", "she", HE, True, "", "singular", "her", "a"),
    NounPhrase("nós", "we", WE, False, "", "plural", "us", "nos"),
    NounPhrase("eles", "they", THEY, False, "", "plural", "them", "os"),
    NounPhrase("você", "you", HE, False, "", "plural", "you", ""),
    NounPhrase("elas", "they", THEY, True, "", "plural", "them", "as"),
)
# As often as each is drawn for a subject: the first persons have verb forms of their own to teach.
SUBJECT_PRONOUNS = (*PRONOUNS, ELES, VOCE, *(EU, NOS) * 3)

CONTRACTIONS = {
    (preposition, article): contracted + article
    for preposition, contracted in (("de", "d"), ("em", "n"), ("por", "pel"))
    for article in ("o", "a", "os", "as")
}
CONTRACTIONS |= {
    (preposition, word): letter + word
    for preposition, letter in (("de", "d"), ("em", "n"))
    for ending in ("e", "a", "es", "as")
    for word in ("est" + ending, "aquel" + ending)
}
CONTRACTIONS |= {
    ("a", "o"): "ao",
    ("a", "a"): "à",
    ("a", "os"): "aos",
    ("a", "as"): "às",
    ("a", "aquele"): "àquele",
    ("a", "aquela"): "àquela",
    ("a", "aqueles"): "àqueles",
    ("a", "aquelas"): "àquelas",
    ("de", "ele"): "dele",
    ("de", "ela"): "dela",
    ("de", "eles"): "deles",
    ("de", "elas"): "delas",
    ("com", "eu"): "comigo",
    ("com", "nós"): "conosco",
    ("de", "eu"): "de mim",
    ("em", "eu"): "em mim",
    ("para", "eu"): "para mim",
    ("por", "eu"): "por mim",
}


def fronted(time: Phrase, said: Phrase) -> Phrase:
    """A clause with its time, which Portuguese puts first and English last."""
    return Phrase(f"{time.pt} {said.pt}", f"{said.en} {time.en}")


def written(phrase: Phrase) -> tuple[str, str]:
    """The pair as tokenised text: Portuguese contractions made, `a` or `an` chosen."""
    source: list[str] = []
    for word in phrase.pt.split():
        if source and (source[-1], word) in CONTRACTIONS:
            source[-1] = CONTRACTIONS[source[-1], word]
        else:
            source.append(word)
    target = phrase.en.split()
    for index, word in enumerate(target[:-1]):
        if word == "a" and target[index + 1][0] in "aeiou":
            target[index] = "an"
    return " ".join(source), " ".join(target)
