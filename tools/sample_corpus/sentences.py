"""Sentence pairs: draws templates by weight and writes what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sample_corpus.fixed_phrases import OPENERS
from sample_corpus.phrases import Phrase, written
from sample_corpus.templates_actions import (
    action,
    encounter,
    giving,
    habit,
    liking,
    motion,
    object_pronoun,
    passive,
    rumor,
    sharing,
    state,
)
from sample_corpus.templates_descriptions import (
    age,
    comparison,
    contrast,
    location,
    preference,
    price,
    since,
    there_is,
)
from sample_corpus.templates_joined import (
    because,
    before_after,
    feeling_because,
    if_,
    indirect_question,
    it_pronoun,
    request,
    thought,
    two_clauses,
    weather,
    when,
    while_,
)
from sample_corpus.templates_questions import (
    state_question,
    wh_adverb,
    wh_object,
    wh_subject,
    yes_no,
)
from sample_corpus.templates_relative import (
    cleft,
    related_object,
    related_person,
    related_thing,
    superlative,
    this_is,
)
from sample_corpus.writer import Writer

TEMPLATES: dict[Callable[[Writer], Phrase], float] = {
    action: 8,
    habit: 4,
    state: 3,
    encounter: 5,
    giving: 5,
    object_pronoun: 2.5,
    it_pronoun: 3,
    when: 7,
    while_: 5,
    because: 5,
    if_: 6,
    weather: 1.5,
    related_object: 5,
    related_thing: 4,
    related_person: 4,
    this_is: 5,
    rumor: 1.5,
    sharing: 1.5,
    thought: 4,
    indirect_question: 2.5,
    request: 4,
    age: 2,
    there_is: 2,
    location: 2,
    since: 2,
    contrast: 4,
    comparison: 3,
    superlative: 2.5,
    preference: 2,
    passive: 3,
    yes_no: 3,
    state_question: 1.5,
    wh_adverb: 2.5,
    wh_object: 3,
    wh_subject: 1.5,
    cleft: 2.5,
    before_after: 3,
    two_clauses: 4,
    motion: 2,
    price: 1.5,
    liking: 2.5,
    feeling_because: 3,
}
UNOPENED = frozenset([sharing])  # without one of the OPENERS before it


@dataclass(frozen=True)
class Sentence:
    """A pair with the template it comes from and the lexemes it combines."""

    source: str
    target: str
    template: str
    combinations: frozenset[tuple[str, str]]


def generate_pairs(seed: int, count: int) -> list[Sentence]:
    """`count` sentences of distinct sources, each with what it combines."""
    writer = Writer(seed)
    sentences: dict[str, Sentence] = {}
    while len(sentences) < count:
        writer.start()
        template = writer.weighted(TEMPLATES)
        phrase = template(writer)
        if phrase.pt.endswith(".") and template not in UNOPENED and writer.chance(0.1):
            phrase = writer.pick([o for o in OPENERS if o.pt not in phrase.pt.split()]) + phrase
        source, target = written(phrase)
        sentence = Sentence(source, target, template.__name__, frozenset(writer.combinations))
        known = sentences.setdefault(source, sentence)
        assert known.target == target, f"{source!r}: {known.target!r} or {target!r}?"
    return list(sentences.values())
