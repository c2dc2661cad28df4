"""The building blocks that several sentence templates share."""

from __future__ import annotations

from sample_corpus.adjectives import MOODS, Adjective
from sample_corpus.clauses import BACKGROUND, PAST, PAST_PROGRESSIVE, STATE_PAST
from sample_corpus.conjugation import HE
from sample_corpus.fixed_phrases import VERY
from sample_corpus.nouns import Noun
from sample_corpus.phrases import COMMA, EMPTY, NounPhrase, Phrase
from sample_corpus.verbs import (
    ACTIVITIES,
    CONDITIONS,
    EVENTS,
    LASTING_DEEDS,
    SUDDEN_DEEDS,
    Deed,
    Frame,
    frames_of,
)
from sample_corpus.writer import Writer


def stop(phrase: Phrase) -> Phrase:
    return phrase + Phrase(".", ".")


def ask(phrase: Phrase) -> Phrase:
    return phrase + Phrase("?", "?")


def in_either_order(w: Writer, aside: Phrase, main: Phrase, first: float) -> Phrase:
    """The main clause with its aside, which at the chance `first` comes first."""
    return stop(aside + COMMA + main if w.chance(first) else main + aside)


def be(
    subject: NounPhrase, adjective: Adjective, verb: str = "ser", before: Phrase = EMPTY
) -> Deed:
    agreed = adjective.agree(subject.feminine, subject.plural)
    return Deed(verb, f"{before.pt} {agreed}", f"be {before.en} {adjective.en}")


def transitive_frames(noun: Noun) -> list[Frame]:
    """What one does to the noun with no preposition in Portuguese."""
    return [f for f in frames_of(noun) if f.aspect != "state" and not f.preposition]


def sudden(w: Writer) -> Phrase:
    """A short event: "the girl arrived", "the boy opened the door"."""
    return w.does(w.subject(), PAST, EVENTS + ACTIVITIES, SUDDEN_DEEDS * 2)


def ongoing(w: Writer, feelings: float = 0.25) -> Phrase:
    """What was going on: "the man was reading a book", "she was hungry"."""
    subject = w.subject()
    if w.chance(feelings):
        return w.say(subject, STATE_PAST, feeling(w, subject))
    tense = BACKGROUND if subject.person == HE and w.chance(0.6) else PAST_PROGRESSIVE
    return w.does(subject, tense, ACTIVITIES, LASTING_DEEDS)


def feeling(w: Writer, subject: NounPhrase) -> Deed:
    """Hungry, tired, ...: `ter` with a noun or `estar` with an adjective."""
    if w.chance(0.5):
        deed = w.pick(CONDITIONS)
        w.pair(subject.key, deed.key)
        return deed
    mood = w.pick(MOODS)
    w.pair(subject.key, mood.pt)
    return be(subject, mood, "estar", w.weighted({EMPTY: 3, VERY: 1}))
