"""The embedded corpus `sample`: Portuguese to English, written by a small grammar.

Every template below says one thing in both languages at once, so a pair is a translation by
construction; agreement, word order and idiom differ as they do between the real languages. The
style is that of the TED corpus: lower case, Penn-Treebank tokens (`do n't`, `it 's`).

Validation and test are held out by combination: each of their sentences pairs two lexemes (verb
and object, noun and adjective, subject and verb, ...) that no training sentence pairs in that way.
A source has one translation in the whole corpus. Ambiguities are settled by convention: `seu` is
the subject's own, a bare `nós` form of the present that equals the preterite is the preterite,
`este` is "this" and `aquele` is "that", `quem` before a verb asks for its subject.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from keras_transformer.data import sample_lexicon as lexicon
from keras_transformer.data.sample_lexicon import (
    ADJECTIVES,
    HE,
    THEY,
    WE,
    Adjective,
    Deed,
    Frame,
    I,
    Noun,
    english,
    named,
    portuguese,
)

T = TypeVar("T")
Pair = tuple[str, str]


@dataclass(frozen=True)
class SampleCorpus:
    """Pairs of (Portuguese, English) sentences; the three parts share no sentence."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]


# --- Phrases ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrase:
    """The same meaning in both languages."""

    pt: str
    en: str

    def __add__(self, other: Phrase) -> Phrase:
        return Phrase(f"{self.pt} {other.pt}", f"{self.en} {other.en}")


EMPTY = Phrase("", "")


def phrases(table: str) -> tuple[Phrase, ...]:
    """Reads lines of `portuguese | english`."""
    return tuple(
        Phrase(*(side.strip() for side in line.split("|"))) for line in table.strip().splitlines()
    )


@dataclass(frozen=True)
class NounPhrase(Phrase):
    person: int = HE
    feminine: bool = False
    key: str = ""  # of the noun; empty for pronouns
    agreement: str = "singular"  # in English: "i", "singular" or "plural", as also "you" is
    en_object: str = ""  # of pronouns: "him"
    clitic: str = ""  # of pronouns: "o"

    @property
    def plural(self) -> bool:
        return self.person in (WE, THEY)

    @property
    def is_pronoun(self) -> bool:
        return not self.key

    @property
    def object(self) -> str:
        return self.en_object or self.en

    @property
    def own(self) -> tuple[str, str]:
        """The possessive that points back to this subject: (Portuguese masculine, English)."""
        if self.is_pronoun:
            return OWN[self.en]
        return "seu", "their" if self.plural else "her" if self.feminine else "his"


PRONOUNS = (
    NounPhrase("eu", "i", I, False, "", "i", "me", "me"),
    NounPhrase("ele", "he", HE, False, "", "singular", "him", "o"),
    NounPhrase("ela", "she", HE, True, "", "singular", "her", "a"),
    NounPhrase("nós", "we", WE, False, "", "plural", "us", "nos"),
    NounPhrase("eles", "they", THEY, False, "", "plural", "them", "os"),
    NounPhrase("você", "you", HE, False, "", "plural", "you", ""),
    NounPhrase("elas", "they", THEY, True, "", "plural", "them", "as"),
)
YOU = PRONOUNS[5]
# As often as each is drawn for a subject: the first persons have verb forms of their own to teach.
SUBJECT_PRONOUNS = (*PRONOUNS, *PRONOUNS[4:6], *(PRONOUNS[0], PRONOUNS[3]) * 3)
OWN = {
    "i": ("meu", "my"),
    "you": ("seu", "your"),
    "he": ("seu", "his"),
    "she": ("seu", "her"),
    "we": ("nosso", "our"),
    "they": ("seu", "their"),
}

CONTRACTIONS = {
    (preposition, article): contracted + article
    for preposition, contracted in (("de", "d"), ("em", "n"), ("por", "pel"))
    for article in ("o", "a", "os", "as")
}
CONTRACTIONS |= {
    (preposition, word): letter + word
    for preposition, letter in (("de", "d"), ("em", "n"))
    for ending in ("e", "a", "es", "as")
    for word in ("est" + ending, "aquel" + ending)
}
CONTRACTIONS |= {
    ("a", "o"): "ao",
    ("a", "a"): "à",
    ("a", "os"): "aos",
    ("a", "as"): "às",
    ("a", "aquele"): "àquele",
    ("a", "aquela"): "àquela",
    ("a", "aqueles"): "àqueles",
    ("a", "aquelas"): "àquelas",
    ("de", "ele"): "dele",
    ("de", "ela"): "dela",
    ("de", "eles"): "deles",
    ("de", "elas"): "delas",
    ("com", "eu"): "comigo",
    ("com", "nós"): "conosco",
    ("de", "eu"): "de mim",
    ("em", "eu"): "em mim",
    ("para", "eu"): "para mim",
    ("por", "eu"): "por mim",
}


def written(phrase: Phrase) -> Pair:
    """The pair as tokenised text: Portuguese contractions made, `a` or `an` chosen."""
    source: list[str] = []
    for word in phrase.pt.split():
        if source and (source[-1], word) in CONTRACTIONS:
            source[-1] = CONTRACTIONS[source[-1], word]
        else:
            source.append(word)
    target = phrase.en.split()
    for index, word in enumerate(target[:-1]):
        if word == "a" and target[index + 1][0] in "aeiou":
            target[index] = "an"
    return " ".join(source), " ".join(target)


# --- Clauses ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # compared by identity
class Tense:
    """How both languages build a verb group."""

    form: str  # of the finite Portuguese verb
    auxiliary: str  # the English one; `do` shows in questions and negations alone
    shape: str = "base"  # of the English verb
    helper: str = ""  # Portuguese verb that is finite in place of the main one
    link: str = ""  # between helper and main verb
    nonfinite: str = "infinitive"  # form of the main verb after a helper
    words: str = ""  # English words between auxiliary and verb
    adverb: str = ""  # before the Portuguese verb
    tail: str = ""  # at the end of the English clause


PRESENT = Tense("present", "do")
PAST = Tense("preterite", "did")
STATE_PAST = Tense("imperfect", "did")  # tinha fome: was hungry
BACKGROUND = Tense("imperfect", "was", "ing")  # quando ela chegou, ele lia: was reading
USED_TO = Tense("imperfect", "did", words="use to")  # antes ele lia: used to read
PROGRESSIVE = Tense("present", "be", "ing", "estar", nonfinite="gerund")
PAST_PROGRESSIVE = Tense("imperfect", "was", "ing", "estar", nonfinite="gerund")
FUTURE = Tense("present", "will", helper="ir")
CAN = Tense("present", "can", helper="poder")
MUST = Tense("present", "do", helper="ter", link="que", words="have to")
HAD_TO = Tense("preterite", "did", helper="ter", link="que", words="have to")
WANT = Tense("present", "do", helper="querer", words="want to")
JUST = Tense("preterite", "have", "participle", "acabar", "de", words="just")
ALREADY = Tense("preterite", "have", "participle", words="already", adverb="já")
NEVER = Tense("preterite", "have", "participle", words="never", adverb="nunca")
EVER = Tense("preterite", "have", "participle", words="ever", adverb="já")  # in questions
NOT_YET = Tense("preterite", "have", "participle", adverb="ainda", tail="yet")  # negative
SINCE = Tense("present", "have", "participle")  # with "há três anos": for three years
IF = Tense("infinitive", "do")  # se ela chegar: if she arrives

AUXILIARIES = {  # by agreement
    "do": {"i": "do", "singular": "does", "plural": "do"},
    "did": {"i": "did", "singular": "did", "plural": "did"},
    "be": {"i": "am", "singular": "is", "plural": "are"},
    "was": {"i": "was", "singular": "was", "plural": "were"},
    "have": {"i": "have", "singular": "has", "plural": "have"},
}
NEGATED = {"can": "ca n't", "will": "wo n't", "am": "am not"}
SHORT = {"am": "'m", "is": "'s", "are": "'re", "will": "'ll"}


def english_verb(
    subject: NounPhrase, tense: Tense, verb: str, *, negative: bool = False, question: bool = False
) -> tuple[str, str]:
    """Returns the auxiliary (possibly empty) and the rest of the verb group with its complement."""
    first, *others = verb.split()
    words = [*tense.words.split(), english(first, tense.shape), *others]
    auxiliary = tense.auxiliary
    if auxiliary in ("do", "did") and words[0] == "be":
        auxiliary = "be" if auxiliary == "do" else "was"
        words = words[1:]
    if auxiliary in ("do", "did") and not (negative or question):
        third = subject.agreement == "singular"
        form = "past" if auxiliary == "did" else "third" if third else "base"
        return "", " ".join([english(words[0], form), *words[1:]])
    auxiliary = AUXILIARIES[auxiliary][subject.agreement] if auxiliary in AUXILIARIES else auxiliary
    if negative:
        auxiliary = NEGATED.get(auxiliary, f"{auxiliary} n't")
    return auxiliary, " ".join(words)


def shortened(subject: NounPhrase, auxiliary: str) -> str:
    """`i 'm`, `she 'll`, `they 've`; nouns and negations stay in full, `i 'm not` apart."""
    if not subject.is_pronoun:
        return auxiliary
    if auxiliary == "am not":
        return "'m not"
    if auxiliary == "have":
        return "'ve"
    return SHORT.get(auxiliary, auxiliary)


def clause(
    subject: NounPhrase,
    tense: Tense,
    deed: Deed,
    *,
    negative: bool = False,
    question: bool = False,
    dropped: bool = False,
    adverb: Phrase = EMPTY,
    clitic: str = "",
) -> Phrase:
    """A clause without its end: subject, verb group and complement.

    Args:
        adverb: stands before the verb in both languages (`sempre`, always).
        clitic: object pronoun before the Portuguese verb; `deed.en` names it already.
        dropped: Portuguese leaves the subject out.
    """
    finite = portuguese(tense.helper or deed.pt, tense.form, subject.person)
    pt = ["" if dropped else subject.pt, tense.adverb, adverb.pt, "não" if negative else ""]
    if tense.helper:
        pt += [finite, tense.link, clitic, portuguese(deed.pt, tense.nonfinite), deed.rest]
    else:
        pt += [clitic, finite, deed.rest]
    auxiliary, rest = english_verb(subject, tense, deed.en, negative=negative, question=question)
    if question:
        en = [auxiliary, subject.en, adverb.en, rest, tense.tail]
    else:
        en = [subject.en, shortened(subject, auxiliary), adverb.en, rest, tense.tail]
    return Phrase(" ".join(filter(None, pt)), " ".join(filter(None, en)))


def can_drop(subject: NounPhrase, tense: Tense, deed: Deed) -> bool:
    """Whether the verb form alone tells the subject."""
    if not subject.is_pronoun or subject.person == HE:
        return False
    verb = tense.helper or deed.pt
    ambiguous = portuguese(verb, tense.form, I) == portuguese(verb, tense.form, HE)
    return subject.person != I or not ambiguous


# --- The writer ---------------------------------------------------------------------------------

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
NUMBERS = phrases(
    """
    dois | two
    três | three
    quatro | four
    cinco | five
    seis | six
    sete | seven
    dez | ten
    vinte | twenty
    12 | 12
    15 | 15
    30 | 30
    """
)
YESTERDAY = phrases(
    """
    ontem | yesterday
    ontem à noite | last night
    hoje de manhã | this morning
    na semana passada | last week
    no domingo | on sunday
    na segunda-feira | on monday
    """
)
TOMORROW = phrases(
    """
    amanhã | tomorrow
    amanhã de manhã | tomorrow morning
    na próxima semana | next week
    depois de amanhã | the day after tomorrow
    hoje à noite | tonight
    no domingo | on sunday
    na segunda-feira | on monday
    """
)
DAILY = phrases(
    """
    todos os dias | every day
    todas as noites | every night
    aos domingos | on sundays
    às vezes | sometimes
    """
)
OFTEN = phrases(
    """
    sempre | always
    nunca | never
    quase nunca | hardly ever
    """
)
SPANS = phrases(
    """
    horas | hours
    dias | days
    semanas | weeks
    meses | months
    anos | years
    """
)
SITES = phrases(
    """
    em casa | at home
    na cozinha | in the kitchen
    no jardim | in the garden
    na praia | on the beach
    na biblioteca | at the library
    no parque | in the park
    na escola | at school
    no mercado | at the market
    no hospital | at the hospital
    """
)
OUTDOORS = tuple(site for site in SITES if site.en.split()[-1] in ("garden", "beach", "park"))
NOW = Phrase("agora", "right now")
AND_OR_BUT = phrases(", mas | , but") + phrases("e | and")


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

    def pair(self, one: str, other: str) -> None:
        """Notes that the sentence combines two lexemes."""
        if one and other:
            self.combinations.append((one, other))

    def noun(self, options: Sequence[Noun]) -> Noun:
        """A noun this sentence has not used yet, if there is one."""
        fresh = [noun for noun in options if noun.en not in self._used]
        noun = self.pick(fresh or options)
        self._used.append(noun.en)
        return noun

    # Noun phrases.

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
        determiner = determiner or self.determiner(noun, owner, definite)
        if determiner in ("some", "many", "all", "number"):
            plural = True
        if plural is None:
            plural = (
                determiner not in ("a", "another", "this", "that")
                and noun.has_plural
                and self.chance(0.2)
            )
        en_noun = noun.en_plural if plural else noun.en
        pt_noun = noun.pt_plural if plural else noun.pt
        if noun.adjectives and self.chance(adjective):
            described = ADJECTIVES[self.pick(noun.adjectives)]
            self.pair(noun.key, described.pt)
            if described.pt == "novo" and self.chance(0.5):
                pt_noun = f"{described.agree(noun.feminine, plural)} {pt_noun}"
            else:
                pt_noun = f"{pt_noun} {described.agree(noun.feminine, plural)}"
            en_noun = f"{described.en} {en_noun}"
        elif adjective and noun.adjectives and noun.has_plural and self.chance(0.04):
            good = (("bom", "bons"), ("boa", "boas"))[noun.feminine][plural]
            pt_noun, en_noun = f"{good} {pt_noun}", f"good {en_noun}"
        cell = 2 * plural + noun.feminine
        article = DETERMINERS["the"][cell]
        if determiner == "of":
            holder = self.holder(noun)
            self.pair(holder.key, noun.key)
            pt, en = f"{article} {pt_noun} de {holder.pt}", f"{holder.en} 's {en_noun}"
        elif determiner in OWNERS:
            pt, en = f"{article} {pt_noun} de {OWNERS[determiner]}", f"{determiner} {en_noun}"
        elif determiner == "own":
            word, en_word = owner.own
            pt = f"{article} {possessive(word, noun.feminine, plural)} {pt_noun}"
            en = f"{en_word} {en_noun}"
        elif determiner == "number":
            number = self.pick(NUMBERS)
            count = "duas" if number.pt == "dois" and noun.feminine else number.pt
            pt, en = f"{count} {pt_noun}", f"{number.en} {en_noun}"
        elif determiner == "bare":
            pt, en = pt_noun, en_noun
        else:
            row = DETERMINERS[determiner]
            pt, en = f"{row[cell]} {pt_noun}", f"{row[4 + plural]} {en_noun}"
        person, agreement = (THEY, "plural") if plural else (HE, "singular")
        return NounPhrase(pt, en, person, noun.feminine, noun.key, agreement)

    def determiner(self, noun: Noun, owner: NounPhrase | None, definite: bool) -> str:
        own = 2.0 if owner else 0.0
        if noun in lexicon.LANGUAGES:
            return "bare"
        if noun in lexicon.VEHICLES:
            return "the"
        if noun in lexicon.FAMILY:
            return self.weighted(
                {"my": 4, "our": 2, "his": 1, "her": 1, "their": 1, "of": 1.5, "own": own}
            )
        if noun in lexicon.PLACES:
            return self.weighted({"the": 5, "this": 1, "that": 2, "a": 0.0 if definite else 2})
        if not noun.has_plural:  # mass nouns
            return self.weighted({"the": 3, "bare": 0.0 if definite else 3, "this": 0.5})
        choices = {"the": 6, "that": 1.5, "this": 1}
        if noun not in lexicon.PEOPLE or noun in lexicon.COMPANIONS:
            choices |= {"my": 1, "our": 0.5, "his": 0.5, "her": 0.5, "own": own, "of": 3}
        if noun in lexicon.FRIENDS:
            choices["the"] = 0
        elif noun in lexicon.PEOPLE and noun in lexicon.STRANGERS[:14]:
            choices["of"] = 0
        if noun in lexicon.OPENINGS:
            return self.weighted({"the": 6, "that": 1.5, "this": 1})
        if not definite:
            choices |= {"a": 4, "some": 1, "many": 0.7, "number": 1.2, "another": 0.5, "all": 0.3}
        return self.weighted(choices)

    def holder(self, noun: Noun) -> NounPhrase:
        """Somebody to whom the noun belongs: `a professora`, `o meu irmão`."""
        if noun not in lexicon.FAMILY and self.chance(0.3):
            return self.noun_phrase(self.noun(lexicon.FAMILY), "my", plural=False)
        return self.noun_phrase(self.noun(lexicon.STRANGERS), "the", plural=False, adjective=0.15)

    def somebody(self, *, adjective: float = 0.35, definite: bool = False) -> NounPhrase:
        table = lexicon.FAMILY if self.chance(0.2) else lexicon.PEOPLE
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

    def time_ago(self) -> Phrase:
        number, span = self.pick(NUMBERS[:7]), self.pick(SPANS[:3])
        count = "duas" if number.pt == "dois" and span.pt != "dias" else number.pt
        return Phrase(f"há {count} {span.pt}", f"{number.en} {span.en} ago")

    def time(self, tense: Tense, negative: bool = False) -> Phrase:
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

    # Verb phrases.

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
        self.pair(subject.key, frame.key)
        self.pair(frame.key, noun.key)
        if generic and noun.has_plural and noun not in lexicon.PEOPLE + lexicon.PLACES:
            thing = self.noun_phrase(noun, "bare", plural=True)
        elif generic and noun in lexicon.FOOD + lexicon.DRINKS + lexicon.LANGUAGES:
            thing = self.noun_phrase(noun, "bare")
        else:
            thing = self.noun_phrase(
                noun,
                owner=subject,
                definite=definite or generic or frame.aspect == "state" or frame.en in SINGLE,
            )
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
            return Phrase(f"{time.pt} {said.pt}", f"{said.en} {time.en}")
        return said + time


def possessive(word: str, feminine: bool, plural: bool) -> str:
    """`meu`, `seu`, `nosso` in agreement with the thing possessed."""
    if feminine:
        word = {"meu": "minha", "seu": "sua", "nosso": "nossa"}[word]
    return word + "s" if plural else word


def with_object(frame: Frame, thing: NounPhrase) -> Deed:
    return Deed(frame.pt, f"{frame.preposition} {thing.pt}", f"{frame.en} {thing.object}")


# --- Templates ----------------------------------------------------------------------------------

# Hardly done to a number of things.
SINGLE = frozenset(["wear", "use", "follow", "wait for", "think about"])
ACTIVITIES = tuple(f for f in lexicon.FRAMES if f.aspect == "activity")
EVENTS = tuple(f for f in lexicon.FRAMES if f.aspect == "event")
STATES = tuple(f for f in lexicon.FRAMES if f.aspect == "state")
HABITS = tuple(f for f in lexicon.FRAMES if f.habitual)
LASTING_DEEDS = tuple(d for d in lexicon.DEEDS if not d.event)
DAILY_DEEDS = tuple(d for d in LASTING_DEEDS if d.pt in lexicon.DAILY_VERBS)
SUDDEN_DEEDS = tuple(d for d in lexicon.DEEDS if d.event)
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
FRAMES_OF = {}  # noun key -> frames whose relative clause is plain in both languages
for _frame in ACTIVITIES + EVENTS + STATES:
    for _noun in _frame.objects if " " not in _frame.preposition else ():
        FRAMES_OF.setdefault(_noun.key, []).append(_frame)


def be(
    subject: NounPhrase, adjective: Adjective, verb: str = "ser", before: Phrase = EMPTY
) -> Deed:
    agreed = adjective.agree(subject.feminine, subject.plural)
    return Deed(verb, f"{before.pt} {agreed}", f"be {before.en} {adjective.en}")


def stop(phrase: Phrase) -> Phrase:
    return phrase + Phrase(".", ".")


def ask(phrase: Phrase) -> Phrase:
    return phrase + Phrase("?", "?")


def sudden(w: Writer, tense: Tense = PAST) -> Phrase:
    """A short event: "the girl arrived", "the boy opened the door"."""
    subject = w.subject()
    return w.say(subject, tense, w.act(subject, EVENTS + ACTIVITIES, SUDDEN_DEEDS * 2))


def ongoing(w: Writer, feelings: float = 0.25) -> Phrase:
    """What was going on: "the man was reading a book", "she was hungry"."""
    subject = w.subject()
    if w.chance(feelings):
        return w.say(subject, STATE_PAST, feeling(w, subject))
    tense = BACKGROUND if subject.person == HE and w.chance(0.6) else PAST_PROGRESSIVE
    return w.say(subject, tense, w.act(subject, ACTIVITIES, LASTING_DEEDS))


def feeling(w: Writer, subject: NounPhrase) -> Deed:
    """Hungry, tired, ...: `ter` with a noun or `estar` with an adjective."""
    if w.chance(0.5):
        deed = w.pick(lexicon.CONDITIONS)
        w.pair(subject.key, deed.key)
        return deed
    mood = w.pick(lexicon.MOODS)
    w.pair(subject.key, mood.pt)
    return be(subject, mood, "estar", w.weighted({EMPTY: 3, Phrase("muito", "very"): 1}))


def action(w: Writer) -> Phrase:
    subject = w.subject()
    tense = w.weighted(
        {PAST: 5, FUTURE: 3, PROGRESSIVE: 2, MUST: 1.5, HAD_TO: 1, CAN: 1, WANT: 1.5}
        | {JUST: 1, ALREADY: 0.8, NEVER: 0.8, NOT_YET: 0.8}
    )
    frames = ACTIVITIES if tense in (PROGRESSIVE, MUST, HAD_TO, CAN, WANT) else ACTIVITIES + EVENTS
    negatable = tense in (PAST, FUTURE, PROGRESSIVE, MUST, CAN, WANT)
    negative = tense == NOT_YET or (negatable and w.chance(0.25))
    deed = w.act(subject, frames, LASTING_DEEDS, definite=negative or tense == ALREADY)
    time = w.time(tense, negative) if w.chance(0.6) else EMPTY
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def habit(w: Writer) -> Phrase:
    subject = w.subject(definite=1)
    deed = w.act(subject, HABITS, DAILY_DEEDS, generic=True)
    if w.chance(0.5) or subject.person == WE:
        return stop(w.say(subject, PRESENT, deed, time=w.pick(DAILY), front=0.6))
    return stop(w.say(subject, PRESENT, deed, adverb=w.pick(OFTEN)))


def state(w: Writer) -> Phrase:
    subject = w.subject(definite=1)
    deed = w.act(subject, STATES)
    tense = USED_TO if subject.person == HE and w.chance(0.3) else PRESENT
    return stop(w.say(subject, tense, deed, negative=tense == PRESENT and w.chance(0.35)))


def encounter(w: Writer) -> Phrase:
    """Two creatures and a verb: only the order tells who does it to whom."""
    tables = (lexicon.PEOPLE, lexicon.ANIMALS, lexicon.PEOPLE + lexicon.ANIMALS[:4])
    table = w.weighted(dict(zip(tables, (1, 2, 1), strict=True)))
    one, other = w.noun(table), w.noun(table)
    # People are met, not found.
    frame = w.pick(CREATURE_FRAMES if other in lexicon.ANIMALS else CREATURE_FRAMES[1:])
    subject, thing = (w.noun_phrase(n, adjective=0.4, definite=True) for n in (one, other))
    w.pair(one.key, frame.key)
    w.pair(frame.key, other.key)
    tense = w.weighted({PAST: 4, FUTURE: 1, JUST: 1})
    negative = tense != JUST and w.chance(0.2)
    deed = with_object(frame, thing)
    if w.chance(0.3):
        sites = SITES[1:] if table is lexicon.PEOPLE else OUTDOORS
        return stop(w.say(subject, tense, deed, negative=negative) + w.pick(sites))
    time = w.time(tense, negative) if w.chance(0.4) else EMPTY
    return stop(w.say(subject, tense, deed, time=time, front=0.6, negative=negative))


def giving(w: Writer) -> Phrase:
    subject = w.subject()
    frame = w.pick(lexicon.GIVING)
    noun = w.noun(frame.objects)
    w.pair(subject.key, frame.key)
    w.pair(frame.key, noun.key)
    tense = w.weighted({PAST: 5, FUTURE: 2, WANT: 1, MUST: 1})
    negative = w.chance(0.15)
    thing = w.noun_phrase(noun, owner=subject, definite=negative)
    time = w.time(tense, negative) if w.chance(0.3) else EMPTY
    if w.chance(0.3):
        receiver = w.other_pronoun(subject)
    else:
        receiver = w.somebody(adjective=0.2, definite=True)
        w.pair(frame.key + " to", receiver.key)
    english_side = f"{frame.en} {receiver.object} {thing.en}"
    if receiver.clitic in ("me", "nos"):
        said = clause(
            subject,
            tense,
            Deed(frame.pt, thing.pt, english_side),
            negative=negative,
            clitic=receiver.clitic,
        )
        return stop(said + time)
    deed = Deed(frame.pt, f"{thing.pt} a {receiver.pt}", english_side)
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def object_pronoun(w: Writer) -> Phrase:
    subject = w.subject()
    frames = [
        f for f in ACTIVITIES + EVENTS if lexicon.PEOPLE[0] in f.objects and not f.preposition
    ]
    frame = w.pick(frames)
    w.pair(subject.key, frame.key)
    thing = w.other_pronoun(subject)
    tense = PAST
    if thing.clitic in ("me", "nos"):
        tense = w.weighted({PAST: 2, FUTURE: 1, WANT: 1, CAN: 1})
    deed = Deed(frame.pt, "", f"{frame.en} {thing.object}")
    negative = tense != CAN and w.chance(0.3)
    said = clause(subject, tense, deed, negative=negative, clitic=thing.clitic)
    if tense == PAST and w.chance(0.6):
        said += w.pick(SITES[1:])
    if w.chance(0.5):
        time = w.time(tense, negative)
        said = Phrase(f"{time.pt} {said.pt}", f"{said.en} {time.en}")
    return stop(said)


def it_pronoun(w: Writer) -> Phrase:
    """`o livro é caro, mas eu o comprei`: the noun decides between it and them."""
    noun = w.noun(lexicon.GOODS + lexicon.CLOTHES + lexicon.TEXTS + lexicon.LARGE_GOODS)
    thing = w.noun_phrase(noun, adjective=0, definite=True)
    quality = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, quality.pt)
    subject = w.subject()
    frame = w.pick([f for f in FRAMES_OF[noun.key] if f.aspect != "state" and not f.preposition])
    w.pair(frame.key, noun.key)
    w.pair(subject.key, frame.key)
    clitic = ("oa", ("os", "as"))[thing.plural][thing.feminine]
    pronoun = "them" if thing.plural else "it"
    deed = Deed(frame.pt, "", f"{frame.en} {pronoun}")
    first = clause(thing, PRESENT, be(thing, quality))
    negative = w.chance(0.4)
    second = clause(subject, PAST, deed, negative=negative, clitic=clitic)
    if w.chance(0.5):
        second += w.time(PAST, negative)
    link = w.pick(AND_OR_BUT)
    return stop(first + link + second)


def when(w: Writer) -> Phrase:
    event, background = sudden(w), ongoing(w)
    when_ = Phrase("quando", "when")
    if w.chance(0.5):
        return stop(when_ + event + Phrase(",", ",") + background)
    return stop(background + when_ + event)


def while_(w: Writer) -> Phrase:
    background = ongoing(w, feelings=0)
    other = ongoing(w, feelings=0) if w.chance(0.4) else sudden(w)
    while__ = Phrase("enquanto", "while")
    if w.chance(0.6):
        return stop(while__ + background + Phrase(",", ",") + other)
    return stop(other + while__ + background)


def because(w: Writer) -> Phrase:
    subject = w.subject()
    negative = w.chance(0.6)
    deed = w.act(subject, ACTIVITIES, LASTING_DEEDS + SUDDEN_DEEDS, definite=negative)
    effect = w.say(subject, PAST, deed, negative=negative)
    cause = w.pick(RAIN_PAST) if w.chance(0.15) else ongoing(w)
    return stop(effect + Phrase("porque", "because") + cause)


def if_(w: Writer) -> Phrase:
    condition_subject = w.pick([p for p in PRONOUNS if not p.plural])
    if w.chance(0.6):
        condition_subject = w.noun_phrase(w.noun(lexicon.STRANGERS), "the", plural=False)
    regular = [
        f for f in ACTIVITIES + EVENTS if f.pt not in ("ver", "fazer", "trazer", "dar", "seguir")
    ]
    deeds = [d for d in lexicon.DEEDS if d.pt not in ("dar", "fazer")]
    negative = w.chance(0.25)
    deed = w.act(condition_subject, regular, deeds, definite=negative)
    condition = clause(condition_subject, IF, deed, negative=negative)
    if w.chance(0.15):
        condition = Phrase("chover", "it rains") + w.pick(TOMORROW)
    subject = w.subject()
    tense = w.weighted({FUTURE: 3, CAN: 1})
    negative = w.chance(0.35)
    deed = w.act(subject, ACTIVITIES, LASTING_DEEDS, definite=negative)
    result = w.say(subject, tense, deed, negative=negative)
    if w.chance(0.65):
        return stop(Phrase("se", "if") + condition + Phrase(",", ",") + result)
    return stop(result + Phrase("se", "if") + condition)


RAIN_PAST = phrases(
    """
    estava chovendo | it was raining
    fazia frio | it was cold
    fazia muito calor | it was very hot
    """
)
RAIN_NOW = phrases(
    """
    está chovendo | it 's raining
    faz frio | it 's cold
    faz muito calor | it 's very hot
    começou a chover | it started to rain
    """
)


def weather(w: Writer) -> Phrase:
    subject = w.subject()
    tense = w.weighted({FUTURE: 1, CAN: 1, WANT: 1})
    negative = tense != WANT or w.chance(0.6)
    deed = w.act(subject, ACTIVITIES, LASTING_DEEDS, definite=negative)
    result = w.say(subject, tense, deed, negative=negative)
    so = w.pick(phrases(", então | , so") + phrases("e por isso | and that 's why"))
    return stop(w.pick(RAIN_NOW) + so + result)


def relative(w: Writer, noun: Noun, adjective: float, apart_from: str = "") -> NounPhrase:
    """The noun with an object relative clause: `o livro que eu li`, "the book i read"."""
    frame = w.pick([f for f in FRAMES_OF[noun.key] if f.key != apart_from])
    head = w.noun_phrase(noun, "the", adjective=adjective)
    subject = w.subject(pronouns=0.4, definite=0.9)
    w.pair(subject.key, frame.key)
    w.pair(frame.key, noun.key)
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
    if noun in lexicon.PEOPLE:
        return f"{preposition} quem"
    if preposition == "sobre":
        return ("sobre o qual", "sobre a qual", "sobre os quais", "sobre as quais")[
            2 * head.plural + head.feminine
        ]
    return f"{preposition} que"


UNRELATED = frozenset(["write", "make", "miss", "learn", "tell", "drink", "eat", "use"])


def related_object(w: Writer) -> Phrase:
    """`a mulher comprou o livro que eu escrevi`."""
    subject = w.subject()
    frame = w.pick([f for f in ACTIVITIES + EVENTS if f.en not in UNRELATED])
    nouns = [n for n in frame.objects if len(FRAMES_OF.get(n.key, ())) > 1]
    if not nouns:
        return related_object(w)
    noun = w.noun(nouns)
    w.pair(subject.key, frame.key)
    w.pair(frame.key, noun.key)
    tense = w.weighted({PAST: 3, FUTURE: 1} | ({MUST: 1} if frame.aspect == "activity" else {}))
    deed = with_object(frame, relative(w, noun, 0.3, apart_from=frame.key))
    return stop(w.say(subject, tense, deed, negative=w.chance(0.2)))


def related_thing(w: Writer) -> Phrase:
    """`o livro que eu li ontem é interessante`."""
    noun = w.noun(lexicon.TEXTS + lexicon.SHOWS + lexicon.GOODS + lexicon.CLOTHES + lexicon.TOPICS)
    quality = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, quality.pt)
    thing = relative(w, noun, 0)
    very = quality.pt not in lexicon.COLORS and w.chance(0.25)
    before = Phrase("muito", "very") if very else EMPTY
    return stop(clause(thing, PRESENT, be(thing, quality, before=before)))


def who(w: Writer, table: Sequence[Noun] = lexicon.PEOPLE) -> NounPhrase:
    """Somebody with a subject relative clause: "the man who bought the house"."""
    head = w.noun_phrase(w.noun(table), "the", adjective=0.15)
    deed = w.act(head, ACTIVITIES + EVENTS)
    said = clause(replace(head, pt="que", en="who"), PAST, deed)
    return replace(head, pt=f"{head.pt} {said.pt}", en=f"{head.en} {said.en}")


def related_person(w: Writer) -> Phrase:
    if w.chance(0.3):
        somebody = who(w, named("homem mulher vizinho vizinha amigo amiga"))
        return stop(clause(somebody, PRESENT, profession(w, somebody)))
    somebody = who(w)
    if w.chance(0.5):
        subject = w.subject()
        frame = w.pick([f for f in EVENTS + STATES + ACTIVITIES if lexicon.PEOPLE[0] in f.objects])
        w.pair(subject.key, frame.key)
        tense = PRESENT if frame.aspect == "state" else PAST
        return stop(w.say(subject, tense, with_object(frame, somebody), negative=w.chance(0.2)))
    tense = w.weighted({FUTURE: 1, PROGRESSIVE: 1, PAST: 1})
    return stop(clause(somebody, tense, w.act(somebody, (), LASTING_DEEDS)))


def profession(w: Writer, subject: NounPhrase) -> Deed:
    """`é médica`: the profession goes without article in Portuguese."""
    fitting = [n for n in lexicon.PROFESSIONS if n.feminine == subject.feminine]
    noun = w.noun(fitting)
    w.pair(subject.key, noun.key)
    if subject.plural:
        return Deed("ser", noun.pt_plural, f"be {noun.en_plural}")
    return Deed("ser", noun.pt, f"be a {noun.en}")


def this_is(w: Writer) -> Phrase:
    """`este é um problema que temos que resolver`, `este é o primeiro livro que eu fiz`."""
    table = lexicon.TOPICS + lexicon.TEXTS + lexicon.SHOWS + lexicon.GOODS + lexicon.CLOTHES
    noun = w.noun(lexicon.TEXTS[:1] if w.chance(0.1) else table)
    plural = w.chance(0.2)
    demonstrative = DETERMINERS["this" if w.chance(0.6) else "that"]
    this = NounPhrase(
        demonstrative[2 * plural + noun.feminine],
        demonstrative[4 + plural],
        THEY if plural else HE,
        noun.feminine,
        noun.key,
        "plural" if plural else "singular",
    )
    frame = w.pick([f for f in FRAMES_OF[noun.key] if f.aspect != "state"])
    subject = w.subject(pronouns=0.6)
    w.pair(frame.key, noun.key)
    w.pair(subject.key, frame.key)
    lasting = {MUST: 3, WANT: 2, FUTURE: 1, CAN: 1} if frame.aspect == "activity" else {}
    tense = w.weighted({PAST: 2} | lasting)
    done = Deed(frame.pt, "", frame.en)
    if tense == PAST and w.chance(0.6):
        rank = w.pick(RANKS)
        head = w.noun_phrase(noun, "the", plural=plural, adjective=0)
        ranked = rank.pt[:-1] + "a" * noun.feminine + "o" * (not noun.feminine) + "s" * plural
        pt = head.pt.replace(" ", f" {ranked} ", 1)
        if noun.pt == "livro" and w.chance(0.6):
            done = Deed("fazer", "", "do")
        head = Phrase(pt, head.en.replace(" ", f" {rank.en} ", 1))
    else:
        determiner = "bare" if plural else "a" if w.chance(0.7) else "the"
        head = w.noun_phrase(noun, determiner, plural=plural, adjective=0.35)
    negative = w.chance(0.2)
    said = w.say(subject, tense, done)
    is_ = clause(this, PRESENT, Deed("ser", "", "be"), negative=negative)
    if is_.en == "that is":
        is_ = Phrase(is_.pt, "that 's")
    return stop(is_ + head + Phrase(linking(frame.preposition, noun, this), "") + said)


RANKS = phrases(
    """
    primeiro | first
    segundo | second
    último | last
    """
)


def rumor(w: Writer) -> Phrase:
    """`os meus vizinhos ouviram sobre esta ideia`."""
    noun = w.noun(named("vizinho amigo professor aluno amiga vizinha"))
    subject = w.noun_phrase(noun, w.pick(["my", "our", "his", "her"]), plural=w.chance(0.6))
    frame = w.pick([f for f in lexicon.FRAMES if f.preposition in ("sobre", "em")])
    topic = w.noun(lexicon.TOPICS)
    w.pair(noun.key, frame.key)
    w.pair(frame.key, topic.key)
    thing = w.noun_phrase(topic, w.pick(["this", "that", "the", "our"]))
    tense = w.weighted({PAST: 4, FUTURE: 1})
    time = w.time(tense) if w.chance(0.3) else EMPTY
    return stop(w.say(subject, tense, with_object(frame, thing), time=time, front=0.3))


def sharing(w: Writer) -> Phrase:
    """`vou então muito rapidamente partilhar convosco algumas histórias`."""
    subject = w.pick([PRONOUNS[0], PRONOUNS[0], PRONOUNS[3], w.somebody()])
    noun = w.noun(lexicon.TEXTS[:4] + lexicon.TOPICS[1:3] + lexicon.SHOWS)
    things = w.noun_phrase(
        noun, w.pick(["some", "number", "a", "my" if subject.en == "i" else "this"])
    )
    w.pair("partilhar", noun.key)
    w.pair("partilhar by", subject.key)
    quickly = Phrase("muito rapidamente", "very quickly") if w.chance(0.4) else EMPTY
    so = Phrase("então", "so") if w.chance(0.4) else EMPTY
    kind = EMPTY
    if w.chance(0.5):
        strange = w.pick(
            [("mágicas", "magical"), ("estranhas", "strange"), ("bonitas", "beautiful")]
        )
        w.pair(strange[0], noun.key)
        kind = Phrase(
            f"de algumas coisas {strange[0]} que aconteceram",
            f"of some {strange[1]} things that happened",
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


def content(w: Writer, negatable: bool = True) -> Phrase:
    """A clause for "thinks that", "i do n't know if", ..."""
    if w.chance(0.3):
        subject = w.subject(pronouns=0.2, definite=1)
        return w.say(subject, PRESENT, feeling(w, subject), negative=negatable and w.chance(0.25))
    subject = w.subject(definite=1)
    tense = w.weighted({PAST: 3, FUTURE: 2, MUST: 1, CAN: 1})
    frames = ACTIVITIES + EVENTS if tense in (PAST, FUTURE) else ACTIVITIES
    negative = negatable and w.chance(0.2)
    deed = w.act(subject, frames, LASTING_DEEDS, definite=negative)
    return w.say(subject, tense, deed, negative=negative)


def thought(w: Writer) -> Phrase:
    subject = w.subject(pronouns=0.45)
    verb, tense, english_verb_, negative = w.pick(
        [
            ("achar", PRESENT, "think", False),
            ("achar", PRESENT, "think", True),
            ("dizer", PAST, "say", False),
            ("saber", PRESENT, "know", False),
        ]
    )
    opening = w.say(subject, tense, Deed(verb, "", english_verb_), negative=negative)
    w.pair(subject.key, verb)
    return stop(opening + Phrase("que", "that") + content(w, not negative))


def indirect_question(w: Writer) -> Phrase:
    subject = w.subject(pronouns=0.6)
    opening = w.say(subject, PRESENT, Deed("saber", "", "know"), negative=w.chance(0.7))
    inner = w.subject()
    word = w.pick(WH_ADVERBS + phrases("se | if"))
    deed = w.act(inner, ACTIVITIES, LASTING_DEEDS)
    tense = w.weighted({PAST: 2, FUTURE: 1})
    return stop(opening + word + w.say(inner, tense, deed))


WH_ADVERBS = phrases(
    """
    onde | where
    por que | why
    quando | when
    como | how
    """
)


def request(w: Writer) -> Phrase:
    """`o médico pediu ao homem para fechar a janela`."""
    subject, helper = w.subject(), w.somebody(definite=True)
    w.pair(subject.key, "pedir")
    w.pair("pedir a", helper.key)
    frame = w.pick(ACTIVITIES)
    noun = w.noun(frame.objects)
    w.pair(frame.key, noun.key)
    w.pair(helper.key, frame.key)
    deed = with_object(frame, w.noun_phrase(noun, definite=True))
    not_ = Phrase("não", "not") if w.chance(0.2) else EMPTY
    asked = Deed(
        "pedir",
        f"a {helper.pt} para {not_.pt} {deed.pt} {deed.rest}",
        f"ask {helper.en} {not_.en} to {deed.en}",
    )
    tense = w.weighted({PAST: 3, FUTURE: 1})
    return stop(w.say(subject, tense, asked))


def age(w: Writer) -> Phrase:
    subject, years = aged(w)
    if w.chance(0.25):
        return ask(Phrase(f"quantos anos tem {subject.pt}", f"how old is {subject.en}"))
    deed = Deed("ter", f"{years.pt} anos", f"be {years.en} years old")
    if w.chance(0.3):
        return stop(clause(subject, PRESENT, deed))
    if w.chance(0.4):
        return stop(clause(subject, STATE_PAST, deed) + Phrase("quando", "when") + sudden(w))
    other, other_years = aged(w)
    second = clause(other, PRESENT, Deed("ter", other_years.pt, f"be {other_years.en}"))
    return stop(clause(subject, PRESENT, deed) + w.pick(AND_OR_BUT) + second)


def aged(w: Writer) -> tuple[NounPhrase, Phrase]:
    """Somebody and a fitting age."""
    noun = w.noun(lexicon.STRANGERS + lexicon.FAMILY)
    subject = w.noun_phrase(noun, plural=False, definite=True)
    years = w.pick(AGES if noun in lexicon.YOUNG else AGES[-6:])
    w.pair(noun.key, years.pt)
    return subject, years


AGES = NUMBERS[3:] + phrases(
    """
    vinte e três | twenty-three
    vinte e cinco | twenty-five
    trinta | thirty
    trinta e três | thirty-three
    trinta e cinco | thirty-five
    quarenta | forty
    """
)


def there_is(w: Writer) -> Phrase:
    noun = w.noun(
        lexicon.ANIMALS + lexicon.PEOPLE + lexicon.GOODS + lexicon.TEXTS + lexicon.CLOTHES
    )
    past, question = w.chance(0.35), w.chance(0.25)
    determiner = "a" if question else w.pick(["a", "a", "number", "some", "many"])
    thing = w.noun_phrase(noun, determiner, adjective=0.5)
    where = place(w, noun)
    was = ("were" if thing.plural else "was") if past else ("are" if thing.plural else "is")
    has = "havia" if past else "há"
    if question:
        return ask(Phrase(has, f"{was} there") + thing + where)
    return stop(Phrase(has, f"there {was}") + thing + where)


def place(w: Writer, noun: Noun) -> Phrase:
    """Where something is: `na cozinha`, `debaixo da mesa vermelha`."""
    if w.chance(0.3):
        site = w.pick(OUTDOORS if noun in lexicon.ANIMALS else SITES[1:])
        w.pair(noun.key, site.pt)
        return site
    if noun in lexicon.PEOPLE + lexicon.LARGE_ANIMALS or w.chance(0.5):
        options, beside = lexicon.LARGE_GOODS + lexicon.OPENINGS, w.pick(NEAR)
        if noun in lexicon.PEOPLE + lexicon.ANIMALS:
            options += lexicon.PEOPLE
    else:
        heavy = named("mesa cadeira")
        options = heavy if noun in lexicon.ANIMALS else heavy + named("caixa mala")
        beside = w.pick(UPON)
    other = w.noun(options)
    w.pair(noun.key, other.key)
    near = w.noun_phrase(other, w.pick(["the", "the", "that", "this"]), plural=False)
    return Phrase(f"{beside.pt} {near.pt}", f"{beside.en} {near.en}")


NEAR = phrases(
    """
    atrás de | behind
    perto de | near
    ao lado de | next to
    em frente a | in front of
    """
)
UPON = phrases(
    """
    em cima de | on top of
    debaixo de | under
    """
)


def location(w: Writer) -> Phrase:
    noun = w.noun(lexicon.ANIMALS + lexicon.PEOPLE + lexicon.GOODS + lexicon.TEXTS[:2])
    thing = w.noun_phrase(noun, definite=True, adjective=0.5)
    where = place(w, noun)
    deed = Deed("estar", where.pt, f"be {where.en}")
    if w.chance(0.2):
        return ask(clause(thing, PRESENT, deed, question=True))
    return stop(clause(thing, w.pick([PRESENT, STATE_PAST]), deed, negative=w.chance(0.2)))


def since(w: Writer) -> Phrase:
    """`há três anos` with a present is "for three years", with a preterite "three years ago"."""
    subject = w.subject()
    if subject.person == WE:
        return since(w)
    choice = w.pick(["morar", "trabalhar", "estudar", "conhecer"])
    w.pair(subject.key, choice)
    if choice in ("morar", "trabalhar"):
        works = choice == "trabalhar"
        noun = w.noun(named("escola museu biblioteca mercado" if works else "cidade casa"))
        spot = w.noun_phrase(noun, w.pick(["this", "that"]), plural=False)
        w.pair(choice, spot.key)
        deed = Deed(choice, f"em {spot.pt}", f"{'work at' if works else 'live in'} {spot.en}")
    elif choice == "estudar":
        noun = w.noun(lexicon.LANGUAGES)
        w.pair(choice, noun.key)
        deed = Deed(choice, noun.pt, f"study {noun.en}")
    else:
        other = w.somebody(definite=True)
        w.pair(choice + " since", other.key)
        deed = Deed(choice, other.pt, f"know {other.en}")
    number, span = w.pick(NUMBERS[:7]), SPANS[4 if w.chance(0.6) else 3]
    if choice != "conhecer" and w.chance(0.3):
        return stop(w.say(subject, PAST, deed, time=w.time_ago()))
    for_ = Phrase(f"há {number.pt} {span.pt}", f"for {number.en} {span.en}")
    return stop(w.say(subject, SINCE, deed) + for_)


THINGS = lexicon.GOODS + lexicon.CLOTHES + lexicon.LARGE_GOODS
QUALIFIED = (
    lexicon.PEOPLE,
    lexicon.ANIMALS,
    lexicon.TOPICS,
    lexicon.TEXTS + lexicon.SHOWS,
    THINGS,
    lexicon.FOOD,
    lexicon.DRINKS,
    lexicon.PLACES,
)


def quality(w: Writer, table: Sequence[Noun]) -> Phrase:
    """`a casa é velha`, with its degree or negation."""
    noun = w.noun(table)
    thing = w.noun_phrase(noun, adjective=0.0, definite=True)
    word = ADJECTIVES[w.pick(noun.adjectives)]
    w.pair(noun.key, word.pt)
    verb = "estar" if word.pt in ("quente", "frio") else "ser"
    before = w.weighted({EMPTY: 4, Phrase("muito", "very"): 2})
    if word.pt in lexicon.COLORS:
        before = EMPTY
    return clause(thing, PRESENT, be(thing, word, verb, before), negative=w.chance(0.25))


def contrast(w: Writer) -> Phrase:
    table = w.pick(QUALIFIED)
    first, second = quality(w, table), quality(w, table)
    return stop(first + w.pick(AND_OR_BUT) + second)


def comparison(w: Writer) -> Phrase:
    table = w.pick((lexicon.PEOPLE, lexicon.ANIMALS, lexicon.GOODS, lexicon.TEXTS, lexicon.CLOTHES))
    one, other = w.noun(table), w.noun(table)
    word = ADJECTIVES[w.pick([a for a in one.adjectives if a not in lexicon.UNGRADED])]
    subject = w.noun_phrase(one, adjective=0.15, definite=True)
    rival = w.noun_phrase(other, adjective=0.15, definite=True)
    w.pair(one.key, word.pt)
    w.pair(f"{word.pt} than", other.key)
    agreed = word.agree(subject.feminine, subject.plural)
    more = word.comparative if word.comparative != "-" else f"more {word.en}"
    bigger = "mais " + agreed
    if word.pt in ("grande", "pequeno"):
        bigger = {"grande": "maior", "pequeno": "menor"}[word.pt] + "es" * subject.plural
    ways = [
        (f"{bigger} do que", f"be {more} than"),
        (f"{bigger} do que", f"be {more} than"),
        (f"tão {agreed} quanto", f"be as {word.en} as"),
    ]
    if word.comparative == "-":
        ways.append((f"menos {agreed} do que", f"be less {word.en} than"))
    pt, en = w.pick(ways)
    deed = Deed("ser", f"{pt} {rival.pt}", f"{en} {rival.en}")
    if w.chance(0.2):
        return ask(clause(subject, PRESENT, deed, question=True))
    return stop(clause(subject, PRESENT, deed, negative="menos" not in pt and w.chance(0.15)))


def superlative(w: Writer) -> Phrase:
    """`o livro mais interessante que eu já li`, "the most interesting book i 've ever read"."""
    tables = (lexicon.TEXTS, lexicon.PEOPLE, lexicon.SHOWS, lexicon.PLACES[:5])
    noun = w.noun(w.pick(tables))
    word = ADJECTIVES[w.pick([a for a in noun.adjectives if a not in lexicon.UNGRADED])]
    w.pair(noun.key, word.pt)
    best = word.superlative if word.superlative != "-" else f"most {word.en}"
    article = "a" if noun.feminine else "o"
    agreed = word.agree(noun.feminine, False)
    pt, en = f"{article} {noun.pt} mais {agreed}", f"the {best} {noun.en}"
    if word.pt in ("grande", "pequeno"):
        pt = f"{article} {'maior' if word.pt == 'grande' else 'menor'} {noun.pt}"
    if noun in lexicon.PEOPLE and w.chance(0.7):
        subject = w.pick([p for p in PRONOUNS[1:3] if p.feminine == noun.feminine])
        if w.chance(0.5):
            subject = w.noun_phrase(
                w.noun([n for n in lexicon.FAMILY if n.feminine == noun.feminine]), plural=False
            )
            w.pair(subject.key, word.pt)
        site = w.pick(PLACES_OF_RANK)
        w.pair(word.pt, site.pt)
        return stop(w.say(subject, PRESENT, Deed("ser", f"{pt} {site.pt}", f"be {en} {site.en}")))
    frame = w.pick([f for f in FRAMES_OF[noun.key] if f.aspect != "state" and not f.preposition])
    subject = w.subject(pronouns=0.5)
    w.pair(frame.key, noun.key)
    w.pair(subject.key, frame.key)
    said = w.say(subject, EVER, Deed(frame.pt, "", frame.en))
    demonstrative = "esta" if noun.feminine else "este"
    return stop(Phrase(f"{demonstrative} é {pt} que {said.pt}", f"this is {en} {said.en}"))


PLACES_OF_RANK = phrases(
    """
    da escola | in the school
    da cidade | in the city
    do hospital | in the hospital
    do mundo | in the world
    """
)


BARE_PREFERRED = (lexicon.DRINKS, lexicon.FOOD, lexicon.ANIMALS, lexicon.LANGUAGES)
PREFERRED = (*BARE_PREFERRED, lexicon.TEXTS, lexicon.CLOTHES, lexicon.PLACES[:6])


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


PASSIVES = tuple(
    f
    for f in ACTIVITIES + EVENTS
    if f.en in ("read", "write", "buy", "sell", "open", "close", "find", "fix")
)


def passive(w: Writer) -> Phrase:
    frame = w.pick(PASSIVES)
    noun = w.noun([n for n in frame.objects if n.has_plural])
    thing = w.noun_phrase(noun, definite=True)
    agent = w.somebody(definite=True)
    w.pair(frame.key, noun.key)
    w.pair(agent.key, frame.key)
    done = portuguese(frame.pt, "participle")
    done = done[:-1] + "oa"[thing.feminine] + "s" * thing.plural
    by = Deed(
        "ser", f"{done} por {agent.pt}", f"be {english(frame.en, 'participle')} by {agent.en}"
    )
    tense = w.weighted({PAST: 3, FUTURE: 1})
    negative = w.chance(0.2)
    time = w.time(tense, negative) if w.chance(0.35) else EMPTY
    return stop(w.say(thing, tense, by, negative=negative, time=time, front=0.3))


def asked(w: Writer) -> NounPhrase:
    """The subject of a question: seldom the speaker."""
    if w.chance(0.35):
        return w.pick((*PRONOUNS[1:], YOU, YOU))
    return w.somebody(definite=True)


def yes_no(w: Writer) -> Phrase:
    subject = asked(w)
    tense = w.weighted({PAST: 3, FUTURE: 1, PROGRESSIVE: 1, CAN: 1, WANT: 1, MUST: 1, ALREADY: 1})
    frames = ACTIVITIES + EVENTS if tense in (PAST, FUTURE) else ACTIVITIES
    deed = w.act(subject, frames, LASTING_DEEDS, definite=tense == ALREADY)
    said = clause(subject, tense, deed, question=True)
    return ask(said + w.time(tense) if w.chance(0.5) else said)


def state_question(w: Writer) -> Phrase:
    subject = asked(w)
    deed = feeling(w, subject) if w.chance(0.4) else w.act(subject, STATES)
    return ask(clause(subject, PRESENT, deed, question=True))


def wh_adverb(w: Writer) -> Phrase:
    subject = asked(w)
    word = w.pick(WH_ADVERBS)
    tense = w.weighted({PAST: 3, FUTURE: 1} | ({PROGRESSIVE: 1} if word.en == "why" else {}))
    deed = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    negative = word.en == "why" and tense == PAST and w.chance(0.5)
    return ask(word + clause(subject, tense, deed, question=True, negative=negative))


def wh_object(w: Writer) -> Phrase:
    """What, who(m), which or how many: the object comes first and `do` helps."""
    subject = asked(w)
    noun = w.noun(lexicon.TEXTS + lexicon.GOODS + lexicon.CLOTHES + lexicon.PEOPLE + lexicon.SHOWS)
    frame = w.pick([f for f in FRAMES_OF[noun.key] if not f.preposition or noun in lexicon.PEOPLE])
    w.pair(subject.key, frame.key)
    w.pair(frame.key, noun.key)
    if frame.aspect == "state":
        tense = PRESENT
    elif frame.aspect == "event":
        tense = w.pick([PAST, FUTURE])
    else:
        tense = w.pick([PAST, PAST, FUTURE, PROGRESSIVE, WANT])
    many = ("quantas" if noun.feminine else "quantos") + f" {noun.pt_plural}"
    options = [
        Phrase(f"qual {noun.pt}", f"which {noun.en}"),
        Phrase(many, f"how many {noun.en_plural}"),
    ]
    if noun in lexicon.PEOPLE:
        options = [Phrase("quem", "who"), options[0]]
    elif tense != PRESENT:
        options.append(Phrase("o que", "what"))
    word = w.pick(options)
    said = clause(subject, tense, Deed(frame.pt, "", frame.en), question=True)
    time = w.time(tense) if tense in (PAST, FUTURE) and w.chance(0.6) else EMPTY
    return ask(Phrase(f"{frame.preposition} {word.pt}", word.en) + said + time)


WHO = NounPhrase("quem", "who", HE, key="quem")


def wh_subject(w: Writer) -> Phrase:
    tense = w.weighted({PAST: 4, FUTURE: 1, PROGRESSIVE: 1})
    deed = w.act(WHO, ACTIVITIES, LASTING_DEEDS)
    time = w.time(tense) if w.chance(0.6) else EMPTY
    return ask(clause(WHO, tense, deed) + time)


def cleft(w: Writer) -> Phrase:
    """`foi a menina quem abriu a porta`."""
    agent = w.somebody(definite=True)
    if agent.plural:
        return cleft(w)
    deed = w.act(agent, ACTIVITIES + EVENTS)
    not_ = w.weighted({Phrase("foi", "it was"): 3, Phrase("não foi", "it was n't"): 1})
    who_ = replace(agent, pt="quem", en="who")
    return stop(not_ + agent + clause(who_, PAST, deed))


def before_after(w: Writer) -> Phrase:
    subject = w.subject()
    first = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    second = w.act(subject, ACTIVITIES, LASTING_DEEDS)
    word = w.pick(phrases("antes de | before") + phrases("depois de | after"))
    verb, *rest = first.en.split()
    aside = word + Phrase(f"{first.pt} {first.rest}", " ".join([english(verb, "ing"), *rest]))
    tense = w.weighted({PAST: 3, FUTURE: 1})
    main = w.say(subject, tense, second)
    if w.chance(0.5):
        return stop(aside + Phrase(",", ",") + main)
    return stop(main + aside)


def two_clauses(w: Writer) -> Phrase:
    parts = []
    for _ in range(2):
        subject = w.subject()
        tense = w.weighted({PAST: 3, FUTURE: 1.5, PROGRESSIVE: 1, MUST: 1, WANT: 1, CAN: 0.5})
        negative = w.chance(0.2)
        deed = w.act(subject, ACTIVITIES, LASTING_DEEDS, definite=negative)
        parts.append(w.say(subject, tense, deed, negative=negative))
    return stop(parts[0] + w.pick(AND_OR_BUT) + parts[1])


def motion(w: Writer) -> Phrase:
    subject = w.subject()
    spot = w.noun_phrase(w.noun(lexicon.PLACES), plural=False, definite=True)
    verb, preposition, goes = w.pick(
        [("ir", "a", "go to"), ("ir", "a", "go to"), ("voltar", "de", "come back from")]
    )
    w.pair(subject.key, verb)
    w.pair(verb, spot.key)
    tense = w.weighted({PAST: 4, WANT: 1, MUST: 1, CAN: 0.5}) if verb == "ir" else PAST
    deed = Deed(verb, f"{preposition} {spot.pt}", f"{goes} {spot.en}")
    if w.chance(0.5):
        fellow = w.somebody(definite=True)
        if w.chance(0.3):
            fellow = w.other_pronoun(subject)
        w.pair(f"{verb} com", fellow.key)
        deed = replace(
            deed, rest=f"{deed.rest} com {fellow.pt}", en=f"{deed.en} with {fellow.object}"
        )
    negative = w.chance(0.15)
    time = w.time(tense, negative) if w.chance(0.5) else EMPTY
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.6))


def price(w: Writer) -> Phrase:
    noun = w.noun(lexicon.GOODS + lexicon.CLOTHES + lexicon.LARGE_GOODS[2:] + lexicon.FOOD[:3])
    thing = w.noun_phrase(noun, w.pick(["this", "that", "the"]), plural=False, adjective=0.4)
    w.pair("custar", noun.key)
    if w.chance(0.3):
        return ask(Phrase(f"quanto custa {thing.pt}", f"how much does {thing.en} cost"))
    number = w.pick(NUMBERS[:7] if noun in lexicon.FOOD else NUMBERS[4:] + AGES[-6:])
    w.pair(number.pt, noun.key)
    costs = Deed("custar", f"{number.pt} dólares", f"cost {number.en} dollars")
    said = clause(thing, PRESENT, costs)
    if w.chance(0.5):
        table = lexicon.FOOD if noun in lexicon.FOOD else THINGS
        said += Phrase(", mas", ", but") + quality(w, table)
    return stop(said)


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
    time = w.time(tense, negative) if tense == PAST and w.chance(0.4) else EMPTY
    return stop(w.say(subject, tense, deed, negative=negative, time=time, front=0.3))


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


def feeling_because(w: Writer) -> Phrase:
    """`a menina está cansada porque não dormiu`: the second clause keeps the subject silent."""
    subject = w.somebody(definite=True) if w.chance(0.8) else w.pick(PRONOUNS)
    name = w.pick(tuple(CAUSES))
    moods = {mood.pt: mood for mood in lexicon.MOODS}
    conditions = {condition.key: condition for condition in lexicon.CONDITIONS}
    w.pair(subject.key, name)
    deed = be(subject, moods[name], "estar") if name in moods else conditions[name]
    key, negative = w.pick(CAUSES[name])
    cause = next(d for d in lexicon.DEEDS if d.key == key)
    w.pair(subject.key, key)
    again = subject
    if not subject.is_pronoun:
        again = PRONOUNS[4 if subject.plural else 2 if subject.feminine else 1]
    tense = w.weighted({PRESENT: 2, STATE_PAST: 1})
    first = w.say(subject, tense, deed)
    time = w.pick(YESTERDAY[:2]) if w.chance(0.4) else EMPTY
    second = clause(again, PAST, cause, negative=negative, dropped=True) + time
    return stop(first + Phrase("porque", "because") + second)


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
OPENERS = phrases(
    """
    e | and
    mas | but
    infelizmente , | unfortunately ,
    na verdade , | actually ,
    """
)
UNOPENED = frozenset([sharing])


# --- The corpus ---------------------------------------------------------------------------------

TRAIN_PAIRS, HELD_OUT_PAIRS = 25_000, 600  # the second for validation and test each
HELD_OUT_COMBINATIONS = 0.025
MINIMUM_COUNT = 5  # of every held-out word in the training pairs


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


@functools.cache
def sample_corpus(seed: int = 0) -> SampleCorpus:
    """Writes the corpus, the same for the same seed on every platform.

    Args:
        seed: of the writer's draws and of the choice of the held-out combinations.

    Returns:
        25,000 training pairs, 600 validation and 600 test pairs. Every word of the last two
        occurs in training; their combinations of words do not.
    """
    sentences = generate_pairs(seed, round(1.15 * TRAIN_PAIRS))
    draws = random.Random(seed + 1)
    combinations = dict.fromkeys(c for s in sentences for c in sorted(s.combinations))
    held_out = {c for c in combinations if draws.random() < HELD_OUT_COMBINATIONS}
    train = [s for s in sentences if not s.combinations & held_out][:TRAIN_PAIRS]
    targets = {s.target for s in train}
    source_counts = Counter(word for s in train for word in s.source.split())
    target_counts = Counter(word for s in train for word in s.target.split())
    candidates = [
        s
        for s in sentences
        if s.combinations & held_out
        and s.target not in targets
        and min(source_counts[word] for word in s.source.split()) >= MINIMUM_COUNT
        and min(target_counts[word] for word in s.target.split()) >= MINIMUM_COUNT
    ]
    shuffled = _interleaved(candidates, Counter(s.template for s in train), draws)
    validation, test = shuffled[:HELD_OUT_PAIRS], shuffled[HELD_OUT_PAIRS : 2 * HELD_OUT_PAIRS]
    return SampleCorpus(_pairs(train), _pairs(validation), _pairs(test))


def _pairs(sentences: list[Sentence]) -> tuple[Pair, ...]:
    return tuple((sentence.source, sentence.target) for sentence in sentences)


def _interleaved(
    candidates: list[Sentence], shares: Counter[str], draws: random.Random
) -> list[Sentence]:
    """Draws `2 * HELD_OUT_PAIRS` candidates in random order.

    Args:
        shares: how often training uses each template; the draw follows it.
    """
    total = sum(shares.values())
    chosen, spare = [], []
    for template, share in shares.items():
        of_template = [s for s in candidates if s.template == template]
        quota = round(2 * HELD_OUT_PAIRS * share / total)
        chosen += of_template[:quota]
        spare += of_template[quota:]
    # Templates that combine little fall short of their share; the others fill up at random.
    spare.sort(key=lambda _: draws.random())
    chosen += spare[: max(0, 2 * HELD_OUT_PAIRS - len(chosen))]
    return sorted(chosen, key=lambda _: draws.random())
