"""Templates with a relative clause: `o livro que eu li`, "the book i read"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sample_corpus.adjectives import ADJECTIVES, COLORS, LARGER, UNGRADED, agree
from sample_corpus.clauses import (
    CAN,
    EVER,
    FUTURE,
    MUST,
    PAST,
    PAST_PROGRESSIVE,
    PRESENT,
    PROGRESSIVE,
    WANT,
    clause,
    with_object,
)
from sample_corpus.conjugation import HE, THEY
from sample_corpus.fixed_phrases import PLACES_OF_RANK, RANKS, VERY
from sample_corpus.nouns import (
    CLOTHES,
    FAMILY,
    GOODS,
    PEOPLE,
    PROFESSIONS,
    SHOWS,
    TEXTS,
    TOPICS,
    TOWN,
    Noun,
    named,
)
from sample_corpus.parts import be, stop, transitive_frames
from sample_corpus.phrases import ELA, ELE, EMPTY, NounPhrase, Phrase
from sample_corpus.verbs import (
    ACTIVITIES,
    EVENTS,
    LASTING_DEEDS,
    STATES,
    Deed,
    frames_of,
)
from sample_corpus.writer import Writer, determiner

# Seldom done to a thing that something else was done to.
UNRELATED = frozenset(["write", "make", "miss", "learn", "tell", "drink", "eat", "use"])


def relative(w: Writer, noun: Noun, adjective: float, apart_from: str = "") -> NounPhrase:
    """The noun with an object relative clause: `o livro que eu li`, "the book i read"."""
    frame = w.pick([f for f in frames_of(noun) if f.key != apart_from])
    head = w.noun_phrase(noun, "the", adjective=adjective)
    subject = w.subject(pronouns=0.4, definite=0.9)
    w.pair(subject.key, frame.key, noun.key)
    tense = PRESENT if frame.aspect == "state" else PAST
    if frame.aspect == "activity":
        tense = w.weighted(
            {PAST: 6, PAST_PROGRESSIVE: 1, (MUST if frame.en != "write" else PAST): 1}
        )
    said = w.say(subject, tense, Deed(frame.pt, "", frame.en))
    pt = f"{head.pt} {linking(frame.preposition, noun, head)} {said.pt}"
    return replace(head, pt=pt, en=f"{head.en} {said.en}")


def linking(preposition: str, noun: Noun, head: NounPhrase) -> str:
    """The Portuguese relative pronoun, which takes the preposition with it."""
    if not preposition:
        return "que"
    if noun in PEOPLE:
        return f"{preposition} quem"
    if preposition == "sobre":
        article = determiner("the", head.feminine, head.plural).pt
        return f"sobre {article} {agree('qual', head.feminine, head.plural)}"
    return f"{preposition} que"


def related_object(w: Writer) -> Phrase:
    """`a mulher comprou o livro que eu escrevi`."""
    subject = w.subject()
    frame = w.pick([f for f in ACTIVITIES + EVENTS if f.en not in UNRELATED])
    nouns = [n for n in frame.objects if len(frames_of(n)) > 1]
    if not nouns:
        return related_object(w)
    noun = w.noun(nouns)
    w.pair(subject.key, frame.key, noun.key)
    tense = w.weighted({PAST: 3, FUTURE: 1} | ({MUST: 1} if frame.aspect == "activity" else {}))
    deed = with_object(frame, relative(w, noun, 0.3, apart_from=frame.key))
    return stop(w.say(subject, tense, deed, negative=w.chance(0.2)))


def related_thing(w: Writer) -> Phrase:
    """`o livro que eu li ontem é interessante`."""
    noun = w.noun(TEXTS + SHOWS + GOODS + CLOTHES + TOPICS)
    quality = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, quality.pt)
    thing = relative(w, noun, 0)
    very = quality.pt not in COLORS and w.chance(0.25)
    return stop(clause(thing, PRESENT, be(thing, quality, before=VERY if very else EMPTY)))


def who(w: Writer, table: Sequence[Noun] = PEOPLE) -> NounPhrase:
    """Somebody with a subject relative clause: "the man who bought the house"."""
    head = w.noun_phrase(w.noun(table), "the", adjective=0.15)
    deed = w.act(head, ACTIVITIES + EVENTS)
    said = clause(replace(head, pt="que", en="who"), PAST, deed)
    return replace(head, pt=f"{head.pt} {said.pt}", en=f"{head.en} {said.en}")


def related_person(w: Writer) -> Phrase:
    """`o homem que comprou a casa é médico`."""
    if w.chance(0.3):
        somebody = who(w, named("homem mulher vizinho vizinha amigo amiga"))
        return stop(clause(somebody, PRESENT, profession(w, somebody)))
    somebody = who(w)
    if w.chance(0.5):
        subject = w.subject()
        frame = w.pick([f for f in EVENTS + STATES + ACTIVITIES if PEOPLE[0] in f.objects])
        w.pair(subject.key, frame.key)
        tense = PRESENT if frame.aspect == "state" else PAST
        return stop(w.say(subject, tense, with_object(frame, somebody), negative=w.chance(0.2)))
    tense = w.weighted({FUTURE: 1, PROGRESSIVE: 1, PAST: 1})
    return stop(clause(somebody, tense, w.act(somebody, (), LASTING_DEEDS)))


def profession(w: Writer, subject: NounPhrase) -> Deed:
    """`é médica`: the profession goes without article in Portuguese."""
    noun = w.noun([n for n in PROFESSIONS if n.feminine == subject.feminine])
    w.pair(subject.key, noun.key)
    if subject.plural:
        return Deed("ser", noun.pt_plural, f"be {noun.en_plural}")
    return Deed("ser", noun.pt, f"be a {noun.en}")


def this_is(w: Writer) -> Phrase:
    """`este é um problema que temos que resolver`, `este é o primeiro livro que eu fiz`."""
    table = TOPICS + TEXTS + SHOWS + GOODS + CLOTHES
    noun = w.noun(named("livro") if w.chance(0.1) else table)
    plural = w.chance(0.2)
    this = determiner("this" if w.chance(0.6) else "that", noun.feminine, plural)
    person, agreement = (THEY, "plural") if plural else (HE, "singular")
    this = NounPhrase(this.pt, this.en, person, noun.feminine, noun.key, agreement)
    frame = w.pick([f for f in frames_of(noun) if f.aspect != "state"])
    subject = w.subject(pronouns=0.6)
    w.pair(subject.key, frame.key, noun.key)
    lasting = {MUST: 3, WANT: 2, FUTURE: 1, CAN: 1} if frame.aspect == "activity" else {}
    tense = w.weighted({PAST: 2} | lasting)
    done = Deed(frame.pt, "", frame.en)
    if tense == PAST and w.chance(0.6):
        head = ranked(w, noun, plural)
        if noun.pt == "livro" and w.chance(0.6):
            done = Deed("fazer", "", "do")
    else:
        article = "bare" if plural else "a" if w.chance(0.7) else "the"
        head = w.noun_phrase(noun, article, plural=plural, adjective=0.35)
    negative = w.chance(0.2)
    said = w.say(subject, tense, done)
    is_ = clause(this, PRESENT, Deed("ser", "", "be"), negative=negative)
    if is_.en == "that is":
        is_ = Phrase(is_.pt, "that 's")
    return stop(is_ + head + Phrase(linking(frame.preposition, noun, this), "") + said)


def ranked(w: Writer, noun: Noun, plural: bool) -> Phrase:
    """`o primeiro livro`."""
    rank = w.pick(RANKS)
    thing = w.noun_phrase(noun, "the", plural=plural, adjective=0)
    pt = agree(rank.pt, noun.feminine, plural)
    return Phrase(thing.pt.replace(" ", f" {pt} ", 1), thing.en.replace(" ", f" {rank.en} ", 1))


def superlative(w: Writer) -> Phrase:
    """`o livro mais interessante que eu já li`, "the most interesting book i 've ever read"."""
    noun = w.noun(w.pick((TEXTS, PEOPLE, SHOWS, TOWN)))
    word = ADJECTIVES[w.pick([a for a in noun.adjectives if a not in UNGRADED])]
    w.pair(noun.key, word.pt)
    article = determiner("the", noun.feminine, False).pt
    if word.pt in LARGER:
        pt = f"{article} {LARGER[word.pt]} {noun.pt}"
    else:
        pt = f"{article} {noun.pt} mais {word.agree(noun.feminine, False)}"
    en = f"the {word.superlative} {noun.en}"
    if noun in PEOPLE and w.chance(0.7):
        subject = w.pick([p for p in (ELE, ELA) if p.feminine == noun.feminine])
        if w.chance(0.5):
            relatives = [n for n in FAMILY if n.feminine == noun.feminine]
            subject = w.noun_phrase(w.noun(relatives), plural=False)
            w.pair(subject.key, word.pt)
        site = w.pick(PLACES_OF_RANK)
        w.pair(word.pt, site.pt)
        return stop(w.say(subject, PRESENT, Deed("ser", f"{pt} {site.pt}", f"be {en} {site.en}")))
    frame = w.pick(transitive_frames(noun))
    subject = w.subject(pronouns=0.5)
    w.pair(subject.key, frame.key, noun.key)
    said = w.say(subject, EVER, Deed(frame.pt, "", frame.en))
    this = determiner("this", noun.feminine, False)
    return stop(this + Phrase(f"é {pt} que {said.pt}", f"is {en} {said.en}"))


def cleft(w: Writer) -> Phrase:
    """`foi a menina quem abriu a porta`."""
    agent = w.somebody(definite=True)
    if agent.plural:
        return cleft(w)
    deed = w.act(agent, ACTIVITIES + EVENTS)
    it_was = w.weighted({Phrase("foi", "it was"): 3, Phrase("não foi", "it was n't"): 1})
    return stop(it_was + agent + clause(replace(agent, pt="quem", en="who"), PAST, deed))
