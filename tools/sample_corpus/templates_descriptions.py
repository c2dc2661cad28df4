"""Templates that tell what things are like, how old, how many, where and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from sample_corpus.adjectives import ADJECTIVES, COLORS, LARGER, UNGRADED, agree
from sample_corpus.clauses import (
    AUXILIARIES,
    PAST,
    PRESENT,
    SINCE,
    STATE_PAST,
    clause,
)
from sample_corpus.conjugation import WE
from sample_corpus.fixed_phrases import (
    ADULT_AGES,
    AGES,
    BUT,
    BUT_OR_AND,
    FEW,
    HIGHER_NUMBERS,
    MONTHS,
    NEAR,
    OUTDOORS,
    PUBLIC_SITES,
    UPON,
    VERY,
    WHEN,
    YEARS,
)
from sample_corpus.nouns import (
    ANIMALS,
    CLOTHES,
    DRINKS,
    FAMILY,
    FOOD,
    GOODS,
    LANGUAGES,
    LARGE_ANIMALS,
    LARGE_GOODS,
    OPENINGS,
    PEOPLE,
    PLACES,
    SHOWS,
    STRANGERS,
    TEXTS,
    TOPICS,
    TOWN,
    YOUNG,
    Noun,
    named,
)
from sample_corpus.parts import ask, be, stop, sudden
from sample_corpus.phrases import EMPTY, NounPhrase, Phrase
from sample_corpus.verbs import Deed
from sample_corpus.writer import Writer

# --- Qualities ----------------------------------------------------------------------------------

THINGS = GOODS + CLOTHES + LARGE_GOODS
QUALIFIED = (PEOPLE, ANIMALS, TOPICS, TEXTS + SHOWS, THINGS, FOOD, DRINKS, PLACES)


def quality(w: Writer, table: Sequence[Noun]) -> Phrase:
    """`a casa é velha`, with its degree or negation."""
    noun = w.noun(table)
    thing = w.noun_phrase(noun, adjective=0.0, definite=True)
    word = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, word.pt)
    verb = "estar" if word.pt in ("quente", "frio") else "ser"
    before = w.weighted({EMPTY: 4, VERY: 2})
    if word.pt in COLORS:
        before = EMPTY
    return clause(thing, PRESENT, be(thing, word, verb, before), negative=w.chance(0.25))


def contrast(w: Writer) -> Phrase:
    """`a casa é velha , mas o carro não é caro`."""
    table = w.pick(QUALIFIED)
    first, second = quality(w, table), quality(w, table)
    return stop(first + w.pick(BUT_OR_AND) + second)


def comparison(w: Writer) -> Phrase:
    """`o gato é menor do que o cavalo`."""
    table = w.pick((PEOPLE, ANIMALS, GOODS, TEXTS, CLOTHES))
    one, other = w.noun(table), w.noun(table)
    word = ADJECTIVES[w.pick([a for a in one.adjectives if a not in UNGRADED])]
    subject = w.noun_phrase(one, adjective=0.15, definite=True)
    rival = w.noun_phrase(other, adjective=0.15, definite=True)
    w.pair(one.key, word.pt)
    w.pair(f"{word.pt} than", other.key)
    agreed = word.agree(subject.feminine, subject.plural)
    larger = f"mais {agreed}"
    if word.pt in LARGER:
        larger = agree(LARGER[word.pt], subject.feminine, subject.plural)
    ways = [(f"{larger} do que", f"be {word.comparative} than")] * 2
    ways.append((f"tão {agreed} quanto", f"be as {word.en} as"))
    if not word.degrees:
        ways.append((f"menos {agreed} do que", f"be less {word.en} than"))
    pt, en = w.pick(ways)
    deed = Deed("ser", f"{pt} {rival.pt}", f"{en} {rival.en}")
    if w.chance(0.2):
        return ask(clause(subject, PRESENT, deed, question=True))
    return stop(clause(subject, PRESENT, deed, negative="menos" not in pt and w.chance(0.15)))


BARE_PREFERRED = (DRINKS, FOOD, ANIMALS, LANGUAGES)
PREFERRED = (*BARE_PREFERRED, TEXTS, CLOTHES, TOWN + named("praia"))


def preference(w: Writer) -> Phrase:
    """`prefere café a chá`, `prefere o livro ao poema`."""
    subject = w.subject()
    table = w.pick(PREFERRED)
    one, other = w.noun(table), w.noun(table)
    w.pair("preferir", one.key)
    w.pair("preferir a", other.key)
    w.pair(subject.key, "preferir")
    if table in BARE_PREFERRED:
        liked, left = (w.noun_phrase(n, "bare", plural=n.has_plural) for n in (one, other))
    else:
        liked, left = (w.noun_phrase(n, definite=True) for n in (one, other))
    deed = Deed("preferir", f"{liked.pt} a {left.pt}", f"prefer {liked.en} to {left.en}")
    return stop(w.say(subject, PRESENT, deed))


# --- Numbers and times --------------------------------------------------------------------------


def age(w: Writer) -> Phrase:
    """`o aluno tem vinte anos`: "is", not "has"."""
    subject, years = aged(w)
    if w.chance(0.25):
        return ask(Phrase(f"quantos anos tem {subject.pt}", f"how old is {subject.en}"))
    deed = Deed("ter", f"{years.pt} anos", f"be {years.en} years old")
    if w.chance(0.3):
        return stop(clause(subject, PRESENT, deed))
    if w.chance(0.4):
        return stop(clause(subject, STATE_PAST, deed) + WHEN + sudden(w))
    other, other_years = aged(w)
    second = clause(other, PRESENT, Deed("ter", other_years.pt, f"be {other_years.en}"))
    return stop(clause(subject, PRESENT, deed) + w.pick(BUT_OR_AND) + second)


def aged(w: Writer) -> tuple[NounPhrase, Phrase]:
    """Somebody and a fitting age."""
    noun = w.noun(STRANGERS + FAMILY)
    subject = w.noun_phrase(noun, plural=False, definite=True)
    years = w.pick(AGES if noun in YOUNG else ADULT_AGES)
    w.pair(noun.key, years.pt)
    return subject, years


def price(w: Writer) -> Phrase:
    """`quanto custa este chapéu`."""
    noun = w.noun(GOODS + CLOTHES + named("mesa cadeira bolo maçã laranja"))
    thing = w.noun_phrase(noun, w.pick(["this", "that", "the"]), plural=False, adjective=0.4)
    w.pair("custar", noun.key)
    if w.chance(0.3):
        return ask(Phrase(f"quanto custa {thing.pt}", f"how much does {thing.en} cost"))
    number = w.pick(FEW if noun in FOOD else HIGHER_NUMBERS)
    w.pair(number.pt, noun.key)
    costs = Deed("custar", f"{number.pt} dólares", f"cost {number.en} dollars")
    said = clause(thing, PRESENT, costs)
    if w.chance(0.5):
        said += BUT + quality(w, FOOD if noun in FOOD else THINGS)
    return stop(said)


def since(w: Writer) -> Phrase:
    """`há três anos` with a present is "for three years", with a preterite "three years ago"."""
    subject = w.subject()
    if subject.person == WE:
        return since(w)
    verb = w.pick(["morar", "trabalhar", "estudar", "conhecer"])
    w.pair(subject.key, verb)
    deed = lasting(w, verb)
    number, span = w.pick(FEW), YEARS if w.chance(0.6) else MONTHS
    if verb != "conhecer" and w.chance(0.3):
        return stop(w.say(subject, PAST, deed, time=w.time_ago()))
    for_ = Phrase(f"há {number.pt} {span.pt}", f"for {number.en} {span.en}")
    return stop(w.say(subject, SINCE, deed) + for_)


def lasting(w: Writer, verb: str) -> Deed:
    """What one may do for years: live or work somewhere, study a language, know somebody."""
    if verb == "estudar":
        noun = w.noun(LANGUAGES)
        w.pair(verb, noun.key)
        return Deed(verb, noun.pt, f"study {noun.en}")
    if verb == "conhecer":
        other = w.somebody(definite=True)
        w.pair(f"{verb} since", other.key)
        return Deed(verb, other.pt, f"know {other.en}")
    works = verb == "trabalhar"
    noun = w.noun(named("escola museu biblioteca mercado" if works else "cidade casa"))
    spot = w.noun_phrase(noun, w.pick(["this", "that"]), plural=False)
    w.pair(verb, spot.key)
    return Deed(verb, f"em {spot.pt}", f"{'work at' if works else 'live in'} {spot.en}")


# --- Places -------------------------------------------------------------------------------------


def there_is(w: Writer) -> Phrase:
    """`há um gato debaixo da mesa`."""
    noun = w.noun(ANIMALS + PEOPLE + GOODS + TEXTS + CLOTHES)
    past, question = w.chance(0.35), w.chance(0.25)
    determiner = "a" if question else w.pick(["a", "a", "number", "some", "many"])
    thing = w.noun_phrase(noun, determiner, adjective=0.5)
    where = place(w, noun)
    has = "havia" if past else "há"
    is_ = AUXILIARIES["was" if past else "be"][thing.agreement]
    if question:
        return ask(Phrase(has, f"{is_} there") + thing + where)
    return stop(Phrase(has, f"there {is_}") + thing + where)


def location(w: Writer) -> Phrase:
    """`o gato está na cozinha`."""
    noun = w.noun(ANIMALS + PEOPLE + GOODS + named("livro carta"))
    thing = w.noun_phrase(noun, definite=True, adjective=0.5)
    where = place(w, noun)
    deed = Deed("estar", where.pt, f"be {where.en}")
    if w.chance(0.2):
        return ask(clause(thing, PRESENT, deed, question=True))
    return stop(clause(thing, w.pick([PRESENT, STATE_PAST]), deed, negative=w.chance(0.2)))


def place(w: Writer, noun: Noun) -> Phrase:
    """Where something is: `na cozinha`, `debaixo da mesa vermelha`."""
    if w.chance(0.3):
        site = w.pick(OUTDOORS if noun in ANIMALS else PUBLIC_SITES)
        w.pair(noun.key, site.pt)
        return site
    if noun in PEOPLE + LARGE_ANIMALS or w.chance(0.5):
        beside = w.pick(NEAR)
        options = LARGE_GOODS + OPENINGS + (PEOPLE if noun in PEOPLE + ANIMALS else ())
    else:
        options = named("mesa cadeira" if noun in ANIMALS else "mesa cadeira caixa mala")
        beside = w.pick(UPON)
    other = w.noun(options)
    w.pair(noun.key, other.key)
    near = w.noun_phrase(other, w.pick(["the", "the", "that", "this"]), plural=False)
    return beside + near
