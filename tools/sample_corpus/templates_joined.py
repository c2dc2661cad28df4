"""Templates that join clauses: when, while, because, if, and what is thought, known or asked."""

from __future__ import annotations

from sample_corpus.adjectives import ADJECTIVES
from sample_corpus.clauses import (
    CAN,
    FUTURE,
    IF,
    MUST,
    PAST,
    PRESENT,
    PROGRESSIVE,
    STATE_PAST,
    WANT,
    clause,
    with_object,
)
from sample_corpus.conjugation import english
from sample_corpus.fixed_phrases import (
    BECAUSE,
    BUT_OR_AND,
    LAST_NIGHT,
    RAIN_NOW,
    RAIN_PAST,
    TOMORROW,
    WH_ADVERBS,
    WHEN,
)
from sample_corpus.nouns import CLOTHES, GOODS, LARGE_GOODS, STRANGERS, TEXTS
from sample_corpus.parts import (
    be,
    feeling,
    in_either_order,
    ongoing,
    stop,
    sudden,
    transitive_frames,
)
from sample_corpus.phrases import ELA, ELE, ELES, EMPTY, PRONOUNS, Phrase
from sample_corpus.verbs import (
    ACTIVITIES,
    CONDITIONS,
    DEEDS,
    EVENTS,
    LASTING_DEEDS,
    SUDDEN_DEEDS,
    Deed,
)
from sample_corpus.writer import Writer, determiner

IF_WORD = Phrase("se", "if")
BEFORE_OR_AFTER = (Phrase("antes de", "before"), Phrase("depois de", "after"))
SO = (Phrase(", então", ", so"), Phrase("e por isso", "and that 's why"))

# --- One clause sets the scene for the other ----------------------------------------------------


def when(w: Writer) -> Phrase:
    """`quando o homem chegou , eu estava dormindo`."""
    event, background = sudden(w), ongoing(w)
    return in_either_order(w, WHEN + event, background, 0.5)


def while_(w: Writer) -> Phrase:
    """`enquanto ela lia , o menino abriu a janela`."""
    background = ongoing(w, feelings=0)
    other = ongoing(w, feelings=0) if w.chance(0.4) else sudden(w)
    return in_either_order(w, Phrase("enquanto", "while") + background, other, 0.6)


def because(w: Writer) -> Phrase:
    """`eles não saíram porque estava chovendo`."""
    subject = w.subject()
    negative = w.chance(0.6)
    effect = w.does(subject, PAST, ACTIVITIES, LASTING_DEEDS + SUDDEN_DEEDS, negative)
    cause = w.pick(RAIN_PAST) if w.chance(0.15) else ongoing(w)
    return stop(effect + BECAUSE + cause)


# What may have led to a feeling: (English deed, negated).
CAUSES = {
    "be hungry": (("have lunch", True), ("have dinner", True)),
    "be thirsty": (("run", False), ("play soccer", False)),
    "be sleepy": (("sleep", True), ("rest", True)),
    "be cold": (("swim", False), ("sleep", False)),
    "cansado": (("work", False), ("run", False), ("sleep", True), ("swim", False), ("rest", True)),
    "feliz": (("go for a walk", False), ("rest", False), ("sing", False), ("go shopping", False)),
    "triste": (("go for a walk", True), ("sing", True), ("play the piano", True)),
    "doente": (("sleep", True), ("swim", False), ("rest", True), ("have lunch", True)),
}
DEED_OF = {deed.key: deed for deed in DEEDS + CONDITIONS}


def feeling_because(w: Writer) -> Phrase:
    """`a menina está cansada porque não dormiu`: the second clause keeps the subject silent."""
    subject = w.somebody(definite=True) if w.chance(0.8) else w.pick(PRONOUNS)
    name = w.pick(tuple(CAUSES))
    w.pair(subject.key, name)
    feels = DEED_OF[name] if name in DEED_OF else be(subject, ADJECTIVES[name], "estar")
    key, negative = w.pick(CAUSES[name])
    w.pair(subject.key, key)
    again = subject
    if not subject.is_pronoun:
        again = ELES if subject.plural else ELA if subject.feminine else ELE
    tense = w.weighted({PRESENT: 2, STATE_PAST: 1})
    first = w.say(subject, tense, feels)
    time = w.pick(LAST_NIGHT) if w.chance(0.4) else EMPTY
    second = clause(again, PAST, DEED_OF[key], negative=negative, dropped=True) + time
    return stop(first + BECAUSE + second)


# `se ela chegar`: the future subjunctive of these verbs is not their infinitive.
IRREGULAR_IF = ("ver", "fazer", "trazer", "dar", "seguir")
IF_FRAMES = tuple(f for f in ACTIVITIES + EVENTS if f.pt not in IRREGULAR_IF)
IF_DEEDS = tuple(d for d in DEEDS if d.pt not in IRREGULAR_IF)


def if_(w: Writer) -> Phrase:
    """`se ela chegar , vamos almoçar`: a future subjunctive, but "arrives"."""
    subject = w.pick([p for p in PRONOUNS if not p.plural])
    if w.chance(0.6):
        subject = w.noun_phrase(w.noun(STRANGERS), "the", plural=False)
    negative = w.chance(0.25)
    deed = w.act(subject, IF_FRAMES, IF_DEEDS, definite=negative)
    condition = clause(subject, IF, deed, negative=negative)
    if w.chance(0.15):
        condition = Phrase("chover", "it rains") + w.pick(TOMORROW)
    subject = w.subject()
    tense = w.weighted({FUTURE: 3, CAN: 1})
    result = w.does(subject, tense, ACTIVITIES, LASTING_DEEDS, negative=w.chance(0.35))
    return in_either_order(w, IF_WORD + condition, result, 0.65)


def weather(w: Writer) -> Phrase:
    """`está chovendo , então não vamos correr`."""
    subject = w.subject()
    tense = w.weighted({FUTURE: 1, CAN: 1, WANT: 1})
    negative = tense != WANT or w.chance(0.6)
    result = w.does(subject, tense, ACTIVITIES, LASTING_DEEDS, negative)
    so = w.pick(SO)
    return stop(w.pick(RAIN_NOW) + so + result)


def before_after(w: Writer) -> Phrase:
    """`antes de sair , ela fechou a porta`."""
    subject = w.subject()
    first = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    second = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    word = w.pick(BEFORE_OR_AFTER)
    verb, *rest = first.en.split()
    aside = word + Phrase(f"{first.pt} {first.rest}", " ".join([english(verb, "ing"), *rest]))
    tense = w.weighted({PAST: 3, FUTURE: 1})
    return in_either_order(w, aside, w.say(subject, tense, second), 0.5)


def two_clauses(w: Writer) -> Phrase:
    """`ela vai cantar , mas eu quero dormir`."""
    parts = []
    for _ in range(2):
        subject = w.subject()
        tense = w.weighted({PAST: 3, FUTURE: 1.5, PROGRESSIVE: 1, MUST: 1, WANT: 1, CAN: 0.5})
        parts.append(w.does(subject, tense, ACTIVITIES, LASTING_DEEDS, negative=w.chance(0.2)))
    return stop(parts[0] + w.pick(BUT_OR_AND) + parts[1])


def it_pronoun(w: Writer) -> Phrase:
    """`o livro é caro, mas eu o comprei`: the noun decides between it and them."""
    noun = w.noun(GOODS + CLOTHES + TEXTS + LARGE_GOODS)
    thing = w.noun_phrase(noun, adjective=0, definite=True)
    quality = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, quality.pt)
    subject = w.subject()
    frame = w.pick(transitive_frames(noun))
    w.pair(subject.key, frame.key, noun.key)
    clitic = determiner("the", thing.feminine, thing.plural).pt  # looks like the article
    deed = Deed(frame.pt, "", f"{frame.en} {'them' if thing.plural else 'it'}")
    first = clause(thing, PRESENT, be(thing, quality))
    negative = w.chance(0.4)
    second = clause(subject, PAST, deed, negative=negative, clitic=clitic)
    second += w.time(PAST, 0.5, negative)
    return stop(first + w.pick(BUT_OR_AND) + second)


# --- One clause within the other ----------------------------------------------------------------


def thought(w: Writer) -> Phrase:
    """`a menina acha que o trem vai chegar`."""
    subject = w.subject(pronouns=0.45)
    verb, tense, en, negative = w.pick(
        [
            ("achar", PRESENT, "think", False),
            ("achar", PRESENT, "think", True),
            ("dizer", PAST, "say", False),
            ("saber", PRESENT, "know", False),
        ]
    )
    opening = w.say(subject, tense, Deed(verb, "", en), negative=negative)
    w.pair(subject.key, verb)
    return stop(opening + Phrase("que", "that") + content(w, negatable=not negative))


def content(w: Writer, negatable: bool) -> Phrase:
    """The clause after "thinks that"."""
    if w.chance(0.3):
        subject = w.subject(pronouns=0.2, definite=1)
        return w.say(subject, PRESENT, feeling(w, subject), negative=negatable and w.chance(0.25))
    subject = w.subject(definite=1)
    tense = w.weighted({PAST: 3, FUTURE: 2, MUST: 1, CAN: 1})
    frames = ACTIVITIES + EVENTS if tense in (PAST, FUTURE) else ACTIVITIES
    return w.does(subject, tense, frames, LASTING_DEEDS, negative=negatable and w.chance(0.2))


def indirect_question(w: Writer) -> Phrase:
    """`eu não sei por que ela chorou`."""
    subject = w.subject(pronouns=0.6)
    opening = w.say(subject, PRESENT, Deed("saber", "", "know"), negative=w.chance(0.7))
    inner = w.subject()
    word = w.pick((*WH_ADVERBS, IF_WORD))
    deed = w.act(inner, ACTIVITIES, LASTING_DEEDS)
    tense = w.weighted({PAST: 2, FUTURE: 1})
    return stop(opening + word + w.say(inner, tense, deed))


def request(w: Writer) -> Phrase:
    """`o médico pediu ao homem para fechar a janela`."""
    subject, helper = w.subject(), w.somebody(definite=True)
    w.pair(subject.key, "pedir")
    w.pair("pedir a", helper.key)
    frame = w.pick(ACTIVITIES)
    noun = w.noun(frame.objects)
    w.pair(helper.key, frame.key, noun.key)
    deed = with_object(frame, w.noun_phrase(noun, definite=True))
    not_ = Phrase("não", "not") if w.chance(0.2) else EMPTY
    asked = Deed(
        "pedir",
        f"a {helper.pt} para {not_.pt} {deed.pt} {deed.rest}",
        f"ask {helper.en} {not_.en} to {deed.en}",
    )
    tense = w.weighted({PAST: 3, FUTURE: 1})
    return stop(w.say(subject, tense, asked))
