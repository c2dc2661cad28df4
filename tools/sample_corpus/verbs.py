"""The verbs of the `sample` corpus: with the objects they take, or whole idioms without one."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from sample_corpus.nouns import (
    ANIMALS,
    CLOTHES,
    DRINKS,
    FAMILY,
    FOOD,
    GOODS,
    LANGUAGES,
    LARGE_GOODS,
    OPENINGS,
    PEOPLE,
    PLACES,
    PORTABLE,
    SHOWS,
    TEXTS,
    TOPICS,
    TOWN,
    VEHICLES,
    Noun,
    named,
    without,
)


@dataclass(frozen=True, eq=False)  # compared by identity
class Frame:
    """A verb with the nouns it takes. Its translation may hang on them: `perder` is to lose a key
    but to miss a train, `usar` is to use a phone but to wear a hat."""

    pt: str
    preposition: str
    en: str  # with its particle, as in "look for"
    objects: tuple[Noun, ...]
    aspect: str = "activity"  # or "event" (no progressive) or "state" (no preterite either)
    habitual: bool = False  # may be said to happen every day

    @property
    def key(self) -> str:
        return f"{self.pt} {self.en}"


MACHINES = named("bicicleta relógio telefone")
FRAMES = (
    Frame("ler", "", "read", TEXTS, habitual=True),
    Frame("escrever", "", "write", TEXTS),
    Frame("comprar", "", "buy", GOODS + LARGE_GOODS + CLOTHES + FOOD + named("livro")),
    Frame("vender", "", "sell", MACHINES + LARGE_GOODS + CLOTHES + named("livro")),
    Frame("comer", "", "eat", FOOD + named("sopa"), habitual=True),
    Frame("beber", "", "drink", without(DRINKS, "sopa"), habitual=True),
    Frame("abrir", "", "open", OPENINGS + named("caixa carta mala")),
    Frame("fechar", "", "close", OPENINGS + named("caixa mala")),
    Frame("encontrar", "", "find", PORTABLE, "event"),
    Frame("encontrar", "", "meet", PEOPLE, "event"),
    Frame("perder", "", "lose", PORTABLE, "event"),
    Frame("perder", "", "miss", VEHICLES, "event"),
    Frame("procurar", "", "look for", PORTABLE + named("gato cachorro") + PEOPLE),
    Frame("ver", "", "see", PEOPLE + ANIMALS + named("filme"), "event"),
    Frame("ouvir", "", "hear", PEOPLE + named("música"), "event"),
    Frame("assistir", "a", "watch", named("filme"), habitual=True),
    Frame("ajudar", "", "help", PEOPLE, habitual=True),
    Frame("seguir", "", "follow", PEOPLE + named("gato cachorro cavalo pássaro")),
    Frame("visitar", "", "visit", PEOPLE + TOWN + named("praia"), habitual=True),
    Frame("conhecer", "", "know", PEOPLE + TOWN, "state"),
    Frame("esperar", "", "wait for", PEOPLE + VEHICLES, habitual=True),
    Frame("gostar", "de", "like", PEOPLE + ANIMALS + TEXTS + SHOWS + CLOTHES + PLACES, "state"),
    Frame("precisar", "de", "need", GOODS + LARGE_GOODS + named("casaco camisa"), "state"),
    Frame("pensar", "em", "think about", PEOPLE + TOPICS),
    Frame("falar", "sobre", "talk about", TOPICS + SHOWS + named("livro carta história")),
    Frame("ouvir", "sobre", "hear about", TOPICS, "event"),
    Frame("falar", "com", "talk to", PEOPLE, habitual=True),
    Frame("ligar", "para", "call", PEOPLE),
    Frame("cuidar", "de", "take care of", without(ANIMALS, "elefante"), habitual=True),
    Frame("usar", "", "use", named("bicicleta telefone mala guarda-chuva")),
    Frame("usar", "", "wear", CLOTHES + named("relógio")),
    Frame("resolver", "", "solve", named("problema")),
    Frame("explicar", "", "explain", TOPICS),
    Frame("responder", "a", "answer", named("pergunta carta mensagem")),
    Frame("contar", "", "tell", named("história")),
    Frame("consertar", "", "fix", MACHINES + LARGE_GOODS + OPENINGS),
    Frame("trazer", "", "bring", PORTABLE + FOOD),
    Frame("fazer", "", "make", named("bolo café chá sopa filme")),
    Frame("fazer", "", "do", named("projeto lição")),
    Frame("aprender", "", "learn", LANGUAGES),
    Frame("estudar", "", "study", LANGUAGES, habitual=True),
    Frame("falar", "", "speak", LANGUAGES, "state"),
    Frame("ter", "medo de", "be afraid of", ANIMALS, "state"),
    Frame("ter", "saudades de", "miss", PEOPLE + FAMILY, "state"),
)
GIVING = (  # the thing comes before the receiver in Portuguese, after it in English
    Frame("dar", "", "give", GOODS + CLOTHES + named("bolo maçã laranja livro")),
    Frame("mostrar", "", "show", GOODS + CLOTHES + LARGE_GOODS + named("livro carta")),
    Frame("emprestar", "", "lend", GOODS + named("livro carro")),
    Frame("mandar", "", "send", named("carta mensagem poema livro caixa casaco")),
    Frame("contar", "", "tell", named("história")),
    Frame("ensinar", "", "teach", LANGUAGES + named("música lição")),
)


@dataclass(frozen=True, eq=False)  # compared by identity
class Deed:
    """What one does without an object, often an idiom: `dar um passeio` is to go for a walk."""

    pt: str
    rest: str
    en: str
    event: bool = False  # no progressive

    @property
    def key(self) -> str:
        return self.en


DEEDS = (
    Deed("dormir", "", "sleep"),
    Deed("chorar", "", "cry"),
    Deed("correr", "", "run"),
    Deed("trabalhar", "", "work"),
    Deed("descansar", "", "rest"),
    Deed("cantar", "", "sing"),
    Deed("nadar", "", "swim"),
    Deed("dar", "um passeio", "go for a walk"),
    Deed("fazer", "uma pergunta", "ask a question"),
    Deed("fazer", "compras", "go shopping"),
    Deed("tomar", "banho", "take a shower"),
    Deed("tirar", "uma foto", "take a picture"),
    Deed("tocar", "piano", "play the piano"),
    Deed("jogar", "futebol", "play soccer"),
    Deed("jogar", "xadrez", "play chess"),
    Deed("almoçar", "", "have lunch"),
    Deed("jantar", "", "have dinner"),
    Deed("chegar", "", "arrive", True),
    Deed("sair", "", "leave", True),
    Deed("voltar", "para casa", "come back home", True),
    Deed("acordar", "", "wake up", True),
    Deed("pegar", "o ônibus", "take the bus", True),
)
DAILY_VERBS = ("dormir", "correr", "trabalhar", "nadar", "jogar", "almoçar", "jantar")
CONDITIONS = (  # said with `ter`: "to have hunger"
    Deed("ter", "fome", "be hungry"),
    Deed("ter", "sede", "be thirsty"),
    Deed("ter", "sono", "be sleepy"),
    Deed("ter", "frio", "be cold"),
    Deed("ter", "pressa", "be in a hurry"),
    Deed("ter", "razão", "be right"),
)

# --- Verbs by use -------------------------------------------------------------------------------

ACTIVITIES = tuple(f for f in FRAMES if f.aspect == "activity")
EVENTS = tuple(f for f in FRAMES if f.aspect == "event")
STATES = tuple(f for f in FRAMES if f.aspect == "state")
HABITS = tuple(f for f in FRAMES if f.habitual)
LASTING_DEEDS = tuple(d for d in DEEDS if not d.event)
SUDDEN_DEEDS = tuple(d for d in DEEDS if d.event)
DAILY_DEEDS = tuple(d for d in LASTING_DEEDS if d.pt in DAILY_VERBS)
SINGLE = frozenset(  # hardly done to a number of things
    ["wear", "use", "follow", "wait for", "think about"]
)


@functools.cache
def frames_of(noun: Noun) -> tuple[Frame, ...]:
    """The frames with this object whose relative clause is plain in both languages."""
    return tuple(
        f for f in ACTIVITIES + EVENTS + STATES if noun in f.objects and " " not in f.preposition
    )
