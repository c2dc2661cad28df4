"""Clauses: tenses, negation, questions, and what becomes of the subject in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from sample_corpus.conjugation import HE, I, english, portuguese
from sample_corpus.phrases import EMPTY, NounPhrase, Phrase
from sample_corpus.verbs import Deed, Frame


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


def with_object(frame: Frame, thing: NounPhrase) -> Deed:
    return Deed(frame.pt, f"{frame.preposition} {thing.pt}", f"{frame.en} {thing.object}")
