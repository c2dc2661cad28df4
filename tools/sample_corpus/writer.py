"""The writer of the `sample` corpus: draws the words of a sentence and dresses its nouns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from sample_corpus.adjectives import ADJECTIVES, agree
from sample_corpus.clauses import (
    CAN,
    FUTURE,
    HAD_TO,
    MUST,
    PAST,
    PRESENT,
    PROGRESSIVE,
    WANT,
    Tense,
    can_drop,
    clause,
    with_object,
)
from sample_corpus.conjugation import HE, THEY, WE, I
from sample_corpus.fixed_phrases import (
    DAILY,
    FEW,
    NOW,
    NUMBERS,
    SHORT_SPANS,
    TOMORROW,
    YESTERDAY,
    counting,
)
from sample_corpus.nouns import (
    COMPANIONS,
    DRINKS,
    FAMILY,
    FOOD,
    FRIENDS,
    LANGUAGES,
    OPENINGS,
    PEOPLE,
    PLACES,
    SERVED,
    STRANGERS,
    VEHICLES,
    Noun,
)
from sample_corpus.phrases import (
    EMPTY,
    PRONOUNS,
    SUBJECT_PRONOUNS,
    NounPhrase,
    Phrase,
    fronted,
)
from sample_corpus.verbs import SINGLE, Deed, Frame

T = TypeVar("T")

DETERMINERS = {  # Portuguese masculine and feminine, singular and plural; English likewise
    "the": ("o", "a", "os", "as", "the", "the"),
    "a": ("um", "uma", "", "", "a", ""),
    "this": ("este", "esta", "estes", "estas", "this", "these"),
    "that": ("aquele", "aquela", "aqueles", "aquelas", "that", "those"),
    "my": ("o meu", "a minha", "os meus", "as minhas", "my", "my"),
    "our": ("o nosso", "a nossa", "os nossos", "as nossas", "our", "our"),
    "another": ("outro", "outra", "outros", "outras", "another", "other"),
    "some": ("", "", "alguns", "algumas", "", "some"),
    "many": ("", "", "muitos", "muitas", "", "many"),
    "all": ("", "", "todos os", "todas as", "", "all the"),
}
OWNERS = {"his": "ele", "her": "ela", "their": "eles"}  # o livro dele


def determiner(name: str, feminine: bool, plural: bool) -> Phrase:
    row = DETERMINERS[name]
    return Phrase(row[2 * plural + feminine], row[4 + plural])


class Writer:
    """Draws the words of one sentence after the other and notes which lexemes it pairs."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.combinations: list[tuple[str, str]] = []
        self._used: list[str] = []

    def start(self) -> None:
        self.combinations, self._used = [], []

    # Only `random()` is drawn from: its sequence is the same on every version and platform.

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def weighted(self, options: dict[T, float]) -> T:
        point = self._random.random() * sum(options.values())
        for option, weight in options.items():
            point -= weight
            if point < 0:
                return option
        raise ValueError("no option has any weight")

    def pair(self, *keys: str) -> None:
        """Notes that the sentence combines each lexeme with the next; an empty key is none."""
        self.combinations += [(one, other) for one, other in pairwise(keys) if one and other]

    # Noun phrases.

    def noun(self, options: Sequence[Noun]) -> Noun:
        """A noun this sentence has not used yet, if there is one."""
        fresh = [noun for noun in options if noun.en not in self._used]
        noun = self.pick(fresh or options)
        self._used.append(noun.en)
        return noun

    def noun_phrase(
        self,
        noun: Noun,
        determiner: str = "",
        *,
        plural: bool | None = None,
        owner: NounPhrase | None = None,
        adjective: float = 0.4,
        definite: bool = False,
    ) -> NounPhrase:
        """Dresses a noun.

        Args:
            determiner: a key of DETERMINERS, or `his`, `her`, `their`, `own` (of `owner`), `of`
                (of somebody), `number`, `bare`; empty to draw one.
            owner: the subject whose own the thing may be.
            adjective: the chance of an adjective.
            definite: no indefinite determiner is drawn.
        """
        name = determiner or self._determiner_name(noun, owner, definite)
        if name in ("some", "many", "all", "number"):
            plural = True
        if plural is None:
            single = name in ("a", "another", "this", "that") or not noun.has_plural
            plural = not single and self.chance(0.2)
        described = self._described(noun, plural, adjective)
        phrase = self._determined(name, noun, described, plural, owner)
        person, agreement = (THEY, "plural") if plural else (HE, "singular")
        return NounPhrase(phrase.pt, phrase.en, person, noun.feminine, noun.key, agreement)

    def _determiner_name(self, noun: Noun, owner: NounPhrase | None, definite: bool) -> str:
        own = 2.0 if owner else 0.0
        if noun in LANGUAGES:
            return "bare"
        if noun in VEHICLES:
            return "the"
        if noun in FAMILY:
            return self.weighted(
                {"my": 4, "our": 2, "his": 1, "her": 1, "their": 1, "of": 1.5, "own": own}
            )
        if noun in PLACES:
            return self.weighted({"the": 5, "this": 1, "that": 2, "a": 0 if definite else 2})
        if not noun.has_plural:  # mass nouns
            return self.weighted({"the": 3, "bare": 0 if definite else 3, "this": 0.5})
        choices = {"the": 0 if noun in FRIENDS else 6, "that": 1.5, "this": 1}
        if noun in OPENINGS:
            return self.weighted(choices)
        if noun not in PEOPLE or noun in COMPANIONS:
            of = 0 if noun in SERVED else 3
            choices |= {"my": 1, "our": 0.5, "his": 0.5, "her": 0.5, "own": own, "of": of}
        if not definite:
            choices |= {"a": 4, "some": 1, "many": 0.7, "number": 1.2, "another": 0.5, "all": 0.3}
        return self.weighted(choices)

    def _described(self, noun: Noun, plural: bool, adjective: float) -> Phrase:
        """The noun, with an adjective at that chance."""
        pt, en = (noun.pt_plural, noun.en_plural) if plural else (noun.pt, noun.en)
        if not noun.adjectives:
            return Phrase(pt, en)
        if self.chance(adjective):
            word = ADJECTIVES[self.pick(noun.adjectives)]
            self.pair(noun.key, word.pt)
            agreed = word.agree(noun.feminine, plural)
            first = word.pt == "novo" and self.chance(0.5)
            return Phrase(f"{agreed} {pt}" if first else f"{pt} {agreed}", f"{word.en} {en}")
        if adjective and noun.has_plural and self.chance(0.04):
            return Phrase(f"{agree('bom', noun.feminine, plural)} {pt}", f"good {en}")
        return Phrase(pt, en)

    def _determined(
        self, name: str, noun: Noun, described: Phrase, plural: bool, owner: NounPhrase | None
    ) -> Phrase:
        """The described noun after the determiner of that name."""
        pt, en = described.pt, described.en
        article = determiner("the", noun.feminine, plural).pt
        if name == "bare":
            return described
        if name == "of":
            holder = self._holder(noun)
            self.pair(holder.key, noun.key)
            return Phrase(f"{article} {pt} de {holder.pt}", f"{holder.en} 's {en}")
        if name in OWNERS:
            return Phrase(f"{article} {pt} de {OWNERS[name]}", f"{name} {en}")
        if name == "own":
            possessive = agree(owner.own.pt, noun.feminine, plural)
            return Phrase(f"{article} {possessive} {pt}", f"{owner.own.en} {en}")
        if name == "number":
            number = self.pick(NUMBERS)
            return Phrase(f"{counting(number, noun.feminine)} {pt}", f"{number.en} {en}")
        return determiner(name, noun.feminine, plural) + described

    def _holder(self, noun: Noun) -> NounPhrase:
        """Somebody to whom the noun belongs: `a professora`, `o meu irmão`."""
        if noun not in FAMILY and self.chance(0.3):
            return self.noun_phrase(self.noun(FAMILY), "my", plural=False)
        return self.noun_phrase(self.noun(STRANGERS), "the", plural=False, adjective=0.15)

    def somebody(self, *, adjective: float = 0.35, definite: bool = False) -> NounPhrase:
        table = FAMILY if self.chance(0.2) else PEOPLE
        return self.noun_phrase(self.noun(table), adjective=adjective, definite=definite)

    def subject(self, *, pronouns: float = 0.36, definite: float = 0.8) -> NounPhrase:
        if self.chance(pronouns):
            pronoun = self.pick([p for p in SUBJECT_PRONOUNS if p.en not in self._used])
            self._used += ("i", "we") if pronoun.person in (I, WE) else (pronoun.en,)
            return pronoun
        return self.somebody(definite=self.chance(definite))

    def other_pronoun(self, subject: NounPhrase) -> NounPhrase:
        """A pronoun for an object, which cannot be the subject's own."""
        taken = (I, WE) if subject.person in (I, WE) else (subject.person,)
        return self.pick([p for p in PRONOUNS if p.clitic and p.person not in taken])

    # Times.

    def time_ago(self) -> Phrase:
        number, span = self.pick(FEW), self.pick(SHORT_SPANS)
        count = counting(number, feminine=span.pt != "dias")
        return Phrase(f"há {count} {span.pt}", f"{number.en} {span.en} ago")

    def time(self, tense: Tense, chance: float, negative: bool = False) -> Phrase:
        """At that chance a time that goes with the tense; else, and for others, nothing."""
        if not self.chance(chance):
            return EMPTY
        if tense in (PAST, HAD_TO):
            ago = self.chance(0.35) and not negative
            return self.time_ago() if ago else self.pick(YESTERDAY)
        if tense in (FUTURE, MUST, CAN, WANT):
            return self.pick(TOMORROW)
        if tense == PROGRESSIVE:
            return NOW
        if tense == PRESENT:
            return self.pick(DAILY)
        return EMPTY

    # Verb phrases and clauses.

    def act(
        self,
        subject: NounPhrase,
        frames: Sequence[Frame],
        deeds: Sequence[Deed] = (),
        *,
        generic: bool = False,
        definite: bool = False,
    ) -> Deed:
        """Something the subject does: a frame with its object, or a deed without."""
        if deeds and (not frames or self.chance(0.3)):
            deed = self.pick(deeds)
            self.pair(subject.key, deed.key)
            return deed
        frame = self.pick(frames)
        noun = self.noun(frame.objects)
        self.pair(subject.key, frame.key, noun.key)
        if generic and noun.has_plural and noun not in PEOPLE + PLACES:
            thing = self.noun_phrase(noun, "bare", plural=True)
        elif generic and noun in FOOD + DRINKS + LANGUAGES:
            thing = self.noun_phrase(noun, "bare")
        else:
            definite = definite or generic or frame.aspect == "state" or frame.en in SINGLE
            thing = self.noun_phrase(noun, owner=subject, definite=definite)
        return with_object(frame, thing)

    def say(
        self,
        subject: NounPhrase,
        tense: Tense,
        deed: Deed,
        *,
        time: Phrase = EMPTY,
        front: float = 0.0,
        **options: object,
    ) -> Phrase:
        """A declarative clause with its time, which Portuguese may put first."""
        dropped = can_drop(subject, tense, deed) and self.chance(0.5)
        said = clause(subject, tense, deed, dropped=dropped, **options)
        if time.pt and self.chance(front):
            return fronted(time, said)
        return said + time

    def does(
        self,
        subject: NounPhrase,
        tense: Tense,
        frames: Sequence[Frame],
        deeds: Sequence[Deed],
        negative: bool = False,
    ) -> Phrase:
        """A declarative clause in which the subject does something, or does not."""
        deed = self.act(subject, frames, deeds, definite=negative)
        return self.say(subject, tense, deed, negative=negative)
