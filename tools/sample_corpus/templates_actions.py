"""Templates of one clause in which somebody does something."""

from __future__ import annotations

from dataclasses import replace

from sample_corpus.adjectives import agree
from sample_corpus.clauses import (
    ALREADY,
    CAN,
    FUTURE,
    HAD_TO,
    JUST,
    MUST,
    NEVER,
    NOT_YET,
    PAST,
    PRESENT,
    PROGRESSIVE,
    USED_TO,
    WANT,
    clause,
    shortened,
    with_object,
)
from sample_corpus.conjugation import HE, WE, I, english, portuguese
from sample_corpus.fixed_phrases import DAILY, OFTEN, OUTDOORS, PUBLIC_SITES
from sample_corpus.nouns import (
    ANIMALS,
    PEOPLE,
    PLACES,
    SHOWS,
    TEXTS,
    TOPICS,
    named,
    without,
)
from sample_corpus.parts import stop
from sample_corpus.phrases import EMPTY, EU, NOS, Phrase, fronted, phrases
from sample_corpus.verbs import (
    ACTIVITIES,
    DAILY_DEEDS,
    EVENTS,
    FRAMES,
    GIVING,
    HABITS,
    LASTING_DEEDS,
    STATES,
    Deed,
    Frame,
)
from sample_corpus.writer import Writer

CREATURE_FRAMES = tuple(
    Frame(pt, "", en, ())
    for pt, en in (
        ("encontrar", "find"),
        ("ver", "see"),
        ("ouvir", "hear"),
        ("seguir", "follow"),
        ("acordar", "wake up"),
    )
)
PERSONAL_FRAMES = tuple(
    f for f in ACTIVITIES + EVENTS if PEOPLE[0] in f.objects and not f.preposition
)
PASSIVES = tuple(
    f
    for f in ACTIVITIES + EVENTS
    if f.en in ("read", "write", "buy", "sell", "open", "close", "find", "fix")
)


def action(w: Writer) -> Phrase:
    """`amanhã vamos abrir a porta`: any tense, negated or not, with its time."""
    subject = w.subject()
    tense = w.weighted(
        {PAST: 5, FUTURE: 3, PROGRESSIVE: 2, MUST: 1.5, HAD_TO: 1, CAN: 1, WANT: 1.5}
        | {JUST: 1, ALREADY: 0.8, NEVER: 0.8, NOT_YET: 0.8}
    )
    frames = ACTIVITIES if tense in (PROGRESSIVE, MUST, HAD_TO, CAN, WANT) else ACTIVITIES + EVENTS
    negatable = tense in (PAST, FUTURE, PROGRESSIVE, MUST, CAN, WANT)
    negative = tense == NOT_YET or (negatable and w.chance(0.25))
    deed = w.act(subject, frames, LASTING_DEEDS, definite=negative or tense == ALREADY)
    time = w.time(tense, 0.6, negative)
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def habit(w: Writer) -> Phrase:
    """`às vezes ela come laranjas`."""
    subject = w.subject(definite=1)
    deed = w.act(subject, HABITS, DAILY_DEEDS, generic=True)
    if w.chance(0.5) or subject.person == WE:
        return stop(w.say(subject, PRESENT, deed, time=w.pick(DAILY), front=0.6))
    return stop(w.say(subject, PRESENT, deed, adverb=w.pick(OFTEN)))


def state(w: Writer) -> Phrase:
    """`ele gostava do cachorro`: "used to like"."""
    subject = w.subject(definite=1)
    deed = w.act(subject, STATES)
    tense = USED_TO if subject.person == HE and w.chance(0.3) else PRESENT
    return stop(w.say(subject, tense, deed, negative=tense == PRESENT and w.chance(0.35)))


def encounter(w: Writer) -> Phrase:
    """Two creatures and a verb: only the order tells who does it to whom."""
    table = w.weighted({PEOPLE: 1, ANIMALS: 2, PEOPLE + ANIMALS[:4]: 1})
    one, other = w.noun(table), w.noun(table)
    # People are met, not found.
    frame = w.pick(CREATURE_FRAMES if other in ANIMALS else CREATURE_FRAMES[1:])
    subject, thing = (w.noun_phrase(n, adjective=0.4, definite=True) for n in (one, other))
    w.pair(one.key, frame.key, other.key)
    tense = w.weighted({PAST: 4, FUTURE: 1, JUST: 1})
    negative = tense != JUST and w.chance(0.2)
    deed = with_object(frame, thing)
    if w.chance(0.3):
        sites = PUBLIC_SITES if table is PEOPLE else OUTDOORS
        return stop(w.say(subject, tense, deed, negative=negative) + w.pick(sites))
    time = w.time(tense, 0.4, negative)
    return stop(w.say(subject, tense, deed, time=time, front=0.6, negative=negative))


def giving(w: Writer) -> Phrase:
    """`a menina deu o livro ao aluno`, "gave the student the book"."""
    subject = w.subject()
    frame = w.pick(GIVING)
    noun = w.noun(frame.objects)
    w.pair(subject.key, frame.key, noun.key)
    tense = w.weighted({PAST: 5, FUTURE: 2, WANT: 1, MUST: 1})
    negative = w.chance(0.15)
    thing = w.noun_phrase(noun, owner=subject, definite=negative)
    time = w.time(tense, 0.3, negative)
    if w.chance(0.3):
        receiver = w.other_pronoun(subject)
    else:
        receiver = w.somebody(adjective=0.2, definite=True)
        w.pair(frame.key + " to", receiver.key)
    en = f"{frame.en} {receiver.object} {thing.en}"
    if receiver.clitic in ("me", "nos"):
        deed = Deed(frame.pt, thing.pt, en)
        return stop(clause(subject, tense, deed, negative=negative, clitic=receiver.clitic) + time)
    deed = Deed(frame.pt, f"{thing.pt} a {receiver.pt}", en)
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def object_pronoun(w: Writer) -> Phrase:
    """`a professora nos ajudou ontem`."""
    subject = w.subject()
    frame = w.pick(PERSONAL_FRAMES)
    w.pair(subject.key, frame.key)
    thing = w.other_pronoun(subject)
    tense = PAST
    if thing.clitic in ("me", "nos"):
        tense = w.weighted({PAST: 2, FUTURE: 1, WANT: 1, CAN: 1})
    deed = Deed(frame.pt, "", f"{frame.en} {thing.object}")
    negative = tense != CAN and w.chance(0.3)
    said = clause(subject, tense, deed, negative=negative, clitic=thing.clitic)
    if tense == PAST and w.chance(0.6):
        said += w.pick(PUBLIC_SITES)
    return stop(fronted(w.time(tense, 0.5, negative), said))


def passive(w: Writer) -> Phrase:
    """`o livro foi escrito pela professora`."""
    frame = w.pick(PASSIVES)
    noun = w.noun([n for n in frame.objects if n.has_plural])
    thing = w.noun_phrase(noun, definite=True)
    agent = w.somebody(definite=True)
    w.pair(agent.key, frame.key, noun.key)
    done = agree(portuguese(frame.pt, "participle"), thing.feminine, thing.plural)
    en = f"be {english(frame.en, 'participle')} by {agent.en}"
    tense = w.weighted({PAST: 3, FUTURE: 1})
    negative = w.chance(0.2)
    time = w.time(tense, 0.35, negative)
    deed = Deed("ser", f"{done} por {agent.pt}", en)
    return stop(w.say(thing, tense, deed, negative=negative, time=time, front=0.3))


def rumor(w: Writer) -> Phrase:
    """`os meus vizinhos ouviram sobre esta ideia`."""
    noun = w.noun(named("vizinho amigo professor aluno amiga vizinha"))
    subject = w.noun_phrase(noun, w.pick(["my", "our", "his", "her"]), plural=w.chance(0.6))
    frame = w.pick([f for f in FRAMES if f.preposition in ("sobre", "em")])
    topic = w.noun(TOPICS)
    w.pair(noun.key, frame.key, topic.key)
    thing = w.noun_phrase(topic, w.pick(["this", "that", "the", "our"]))
    tense = w.weighted({PAST: 4, FUTURE: 1})
    time = w.time(tense, 0.3)
    return stop(w.say(subject, tense, with_object(frame, thing), time=time, front=0.3))


WONDROUS = phrases(
    """
    mágicas | magical
    estranhas | strange
    bonitas | beautiful
    """
)


def sharing(w: Writer) -> Phrase:
    """`vou então muito rapidamente partilhar convosco algumas histórias`."""
    subject = w.pick([EU, EU, NOS, w.somebody()])
    noun = w.noun(without(TEXTS, "mensagem") + named("ideia plano") + SHOWS)
    determiner = w.pick(["some", "number", "a", "my" if subject == EU else "this"])
    things = w.noun_phrase(noun, determiner)
    w.pair("partilhar", noun.key)
    w.pair("partilhar by", subject.key)
    quickly = Phrase("muito rapidamente", "very quickly") if w.chance(0.4) else EMPTY
    so = Phrase("então", "so") if w.chance(0.4) else EMPTY
    kind = EMPTY
    if w.chance(0.5):
        word = w.pick(WONDROUS)
        w.pair(word.pt, noun.key)
        kind = Phrase(
            f"de algumas coisas {word.pt} que aconteceram",
            f"of some {word.en} things that happened",
        )
    auxiliary = shortened(subject, "will")
    pronoun = "" if subject.person in (I, WE) and w.chance(0.7) else subject.pt
    finite = portuguese("ir", "present", subject.person)
    return stop(
        Phrase(
            f"{pronoun} {finite} {so.pt} {quickly.pt} partilhar convosco {things.pt} {kind.pt}",
            f"{so.en} {subject.en} {auxiliary} share with you {things.en} {quickly.en} {kind.en}",
        )
    )


def motion(w: Writer) -> Phrase:
    """`ela voltou da praia com o meu irmão`."""
    subject = w.subject()
    spot = w.noun_phrase(w.noun(PLACES), plural=False, definite=True)
    verb, preposition, goes = w.pick(
        [("ir", "a", "go to"), ("ir", "a", "go to"), ("voltar", "de", "come back from")]
    )
    w.pair(subject.key, verb, spot.key)
    tense = w.weighted({PAST: 4, WANT: 1, MUST: 1, CAN: 0.5}) if verb == "ir" else PAST
    deed = Deed(verb, f"{preposition} {spot.pt}", f"{goes} {spot.en}")
    if w.chance(0.5):
        fellow = w.somebody(definite=True)
        if w.chance(0.3):
            fellow = w.other_pronoun(subject)
        w.pair(f"{verb} com", fellow.key)
        rest, en = f"{deed.rest} com {fellow.pt}", f"{deed.en} with {fellow.object}"
        deed = replace(deed, rest=rest, en=en)
    negative = w.chance(0.15)
    time = w.time(tense, 0.5, negative)
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def liking(w: Writer) -> Phrase:
    """`gostar de`, `começar a`, ... with an infinitive."""
    subject = w.subject()
    verb, link, en, tense = w.pick(
        [
            ("gostar", "de", "like to", PRESENT),
            ("começar", "a", "start to", PAST),
            ("precisar", "", "need to", PRESENT),
            ("esquecer", "de", "forget to", PAST),
            ("tentar", "", "try to", PAST),
        ]
    )
    w.pair(subject.key, verb)
    generic, negative = verb == "gostar", w.chance(0.25)
    deeds = [deed for deed in LASTING_DEEDS if deed.en != "cry"]
    frames = HABITS if generic else ACTIVITIES
    act = w.act(subject, frames, deeds, generic=generic, definite=negative)
    deed = Deed(verb, f"{link} {act.pt} {act.rest}", f"{en} {act.en}")
    time = w.time(tense, 0.4, negative) if tense == PAST else EMPTY
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.3))
