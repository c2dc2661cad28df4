"""Templates that ask."""

from __future__ import annotations

from sample_corpus.adjectives import agree
from sample_corpus.clauses import (
    ALREADY,
    CAN,
    FUTURE,
    MUST,
    PAST,
    PRESENT,
    PROGRESSIVE,
    WANT,
    clause,
)
from sample_corpus.conjugation import HE
from sample_corpus.fixed_phrases import WH_ADVERBS
from sample_corpus.nouns import CLOTHES, GOODS, PEOPLE, SHOWS, TEXTS
from sample_corpus.parts import ask, feeling
from sample_corpus.phrases import EMPTY, PRONOUNS, VOCE, NounPhrase, Phrase
from sample_corpus.verbs import (
    ACTIVITIES,
    EVENTS,
    LASTING_DEEDS,
    STATES,
    Deed,
    frames_of,
)
from sample_corpus.writer import Writer

WHO = NounPhrase("quem", "who", HE, key="quem")


def asked(w: Writer) -> NounPhrase:
    """The subject of a question: never the speaker alone."""
    if w.chance(0.35):
        return w.pick((*PRONOUNS[1:], VOCE, VOCE))
    return w.somebody(definite=True)


def yes_no(w: Writer) -> Phrase:
    """`os alunos leram o livro ontem ?`: only "did" tells in English."""
    subject = asked(w)
    tense = w.weighted({PAST: 3, FUTURE: 1, PROGRESSIVE: 1, CAN: 1, WANT: 1, MUST: 1, ALREADY: 1})
    frames = ACTIVITIES + EVENTS if tense in (PAST, FUTURE) else ACTIVITIES
    deed = w.act(subject, frames, LASTING_DEEDS, definite=tense == ALREADY)
    return ask(clause(subject, tense, deed, question=True) + w.time(tense, 0.5))


def state_question(w: Writer) -> Phrase:
    """`a professora tem fome ?`."""
    subject = asked(w)
    deed = feeling(w, subject) if w.chance(0.4) else w.act(subject, STATES)
    return ask(clause(subject, PRESENT, deed, question=True))


def wh_adverb(w: Writer) -> Phrase:
    """`por que ela não dormiu ?`."""
    subject = asked(w)
    word = w.pick(WH_ADVERBS)
    tense = w.weighted({PAST: 3, FUTURE: 1} | ({PROGRESSIVE: 1} if word.en == "why" else {}))
    deed = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    negative = word.en == "why" and tense == PAST and w.chance(0.5)
    return ask(word + clause(subject, tense, deed, question=True, negative=negative))


def wh_object(w: Writer) -> Phrase:
    """What, who(m), which or how many: the object comes first and `do` helps."""
    subject = asked(w)
    noun = w.noun(TEXTS + GOODS + CLOTHES + PEOPLE + SHOWS)
    frame = w.pick([f for f in frames_of(noun) if not f.preposition or noun in PEOPLE])
    w.pair(subject.key, frame.key, noun.key)
    if frame.aspect == "state":
        tense = PRESENT
    elif frame.aspect == "event":
        tense = w.pick([PAST, FUTURE])
    else:
        tense = w.pick([PAST, PAST, FUTURE, PROGRESSIVE, WANT])
    which = Phrase(f"qual {noun.pt}", f"which {noun.en}")
    how_many = f"{agree('quanto', noun.feminine, True)} {noun.pt_plural}"
    options = [which, Phrase(how_many, f"how many {noun.en_plural}")]
    if noun in PEOPLE:
        options = [Phrase("quem", "who"), which]
    elif tense != PRESENT:
        options.append(Phrase("o que", "what"))
    word = w.pick(options)
    said = clause(subject, tense, Deed(frame.pt, "", frame.en), question=True)
    time = w.time(tense, 0.6) if tense in (PAST, FUTURE) else EMPTY
    return ask(Phrase(f"{frame.preposition} {word.pt}", word.en) + said + time)


def wh_subject(w: Writer) -> Phrase:
    """`quem abriu a porta ?`."""
    tense = w.weighted({PAST: 4, FUTURE: 1, PROGRESSIVE: 1})
    deed = w.act(WHO, ACTIVITIES, LASTING_DEEDS)
    return ask(clause(WHO, tense, deed) + w.time(tense, 0.6))
