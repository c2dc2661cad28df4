"""The corpus `sample`: sentences of the grammar, divided into training, validation and test.

Every template of the grammar says one thing in both languages at once, so a pair is a translation
by construction; agreement, word order and idiom differ as they do between the real languages. The
style is that of the TED corpus: lower case, Penn-Treebank tokens (`do n't`, `it 's`).

Validation and test are held out by combination: each of their sentences pairs two lexemes (verb
and object, noun and adjective, subject and verb, ...) that no training sentence pairs in that way.
A source has one translation in the whole corpus. Ambiguities are settled by convention: `seu` is
the subject's own, a bare `nós` form of the present that equals the preterite is the preterite,
`este` is "this" and `aquele` is "that", `quem` before a verb asks for its subject.
"""

from __future__ import annotations

import random
from collections import Counter

from sample_corpus.sentences import Sentence, generate_pairs

TRAIN_PAIRS, HELD_OUT_PAIRS = 25_000, 600  # the second for validation and test each
HELD_OUT_COMBINATIONS = 0.025
MINIMUM_COUNT = 5  # of every held-out word in the training pairs


def corpus_table(seed: int = 0) -> str:
    """The corpus as a table, a line for each pair: split, source and target, tab-separated."""
    return "".join(
        f"{split}\t{sentence.source}\t{sentence.target}\n"
        for split, sentences in divide_sentences(seed).items()
        for sentence in sentences
    )


def divide_sentences(seed: int) -> dict[str, list[Sentence]]:
    """Writes the sentences of the corpus, the same for the same seed on every platform.

    Args:
        seed: of the writer's draws and of the choice of the held-out combinations.

    Returns:
        `"train"` (25,000), `"validation"` and `"test"` (600 each). Every word of the last two
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
    return {"train": train, "validation": validation, "test": test}


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
