"""The adjectives of the `sample` corpus, and how Portuguese words agree."""

from __future__ import annotations

from dataclasses import dataclass

IRREGULAR_FEMININE = {"bom": "boa", "meu": "minha", "seu": "sua"}


def agree(word: str, feminine: bool, plural: bool) -> str:
    """The form of a masculine singular word for that gender and number."""
    if feminine:
        regular = word[:-1] + "a" if word.endswith("o") else word
        word = IRREGULAR_FEMININE.get(word, regular)
    if not plural or word.endswith("s"):
        return word
    if word.endswith("il"):  # difícil
        return word[:-2] + "eis"
    if word.endswith("l"):  # azul
        return word[:-1] + "is"
    if word.endswith("m"):  # jovem
        return word[:-1] + "ns"
    return word + ("es" if word.endswith(("z", "r")) else "s")


@dataclass(frozen=True, eq=False)  # compared by identity
class Adjective:
    pt: str
    en: str
    degrees: tuple[str, ...] = ()  # "taller", "tallest"; empty where English says "more", "most"

    def agree(self, feminine: bool, plural: bool) -> str:
        """The Portuguese form for that gender and number."""
        return agree(self.pt, feminine, plural)

    @property
    def comparative(self) -> str:
        return self.degrees[0] if self.degrees else f"more {self.en}"

    @property
    def superlative(self) -> str:
        return self.degrees[1] if self.degrees else f"most {self.en}"


def adjectives(table: str) -> dict[str, Adjective]:
    """Reads lines of `portuguese english`, perhaps with the degrees of the English word."""
    rows = (line.split() for line in table.strip().splitlines())
    return {pt: Adjective(pt, en, tuple(degrees)) for pt, en, *degrees in rows}


ADJECTIVES = adjectives(
    """
    alto tall taller tallest
    jovem young younger youngest
    velho old older oldest
    antigo old older oldest
    inteligente intelligent
    famoso famous
    rico rich richer richest
    simpático nice nicer nicest
    forte strong stronger strongest
    preto black
    branco white
    pequeno small smaller smallest
    grande big bigger biggest
    bonito beautiful
    interessante interesting
    triste sad sadder saddest
    curto short shorter shortest
    longo long longer longest
    estranho strange stranger strangest
    novo new newer newest
    caro expensive
    barato cheap cheaper cheapest
    vermelho red
    azul blue
    fresco fresh
    delicioso delicious
    quente hot hotter hottest
    frio cold colder coldest
    importante important
    difícil difficult
    simples simple simpler simplest
    cansado tired
    doente sick
    feliz happy
    ocupado busy
    preocupado worried
    """
)
LARGER = {"grande": "maior", "pequeno": "menor"}  # the others say `mais`
MOODS = tuple(
    ADJECTIVES[word] for word in ("cansado", "doente", "feliz", "ocupado", "preocupado", "triste")
)
COLORS = frozenset(["preto", "branco", "vermelho", "azul"])
UNGRADED = COLORS | {  # those that comparisons do without
    *("jovem", "rico", "simpático", "estranho", "simples", "novo"),
    *("fresco", "delicioso", "quente", "frio"),
}
