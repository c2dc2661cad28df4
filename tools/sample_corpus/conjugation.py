"""Portuguese and English verb forms: spelling rules and tables of what they cannot derive."""

from __future__ import annotations

import functools

# --- Portuguese ---------------------------------------------------------------------------------

# The persons are the rows eu, ele, nós, eles; `você` conjugates like `ele`.
I, HE, WE, THEY = range(4)

REGULAR_ENDINGS = {
    "ar": {
        "present": "o a amos am",
        "preterite": "ei ou amos aram",
        "imperfect": "ava ava ávamos avam",
        "gerund": "ando",
        "participle": "ado",
    },
    "er": {
        "present": "o e emos em",
        "preterite": "i eu emos eram",
        "imperfect": "ia ia íamos iam",
        "gerund": "endo",
        "participle": "ido",
    },
    "ir": {
        "present": "o e imos em",
        "preterite": "i iu imos iram",
        "imperfect": "ia ia íamos iam",
        "gerund": "indo",
        "participle": "ido",
    },
}
IRREGULAR_PORTUGUESE = {
    ("abrir", "participle"): "aberto",
    ("conhecer", "present"): "conheço conhece conhecemos conhecem",
    ("dar", "present"): "dou dá damos dão",
    ("dar", "preterite"): "dei deu demos deram",
    ("dizer", "preterite"): "disse disse dissemos disseram",
    ("dormir", "present"): "durmo dorme dormimos dormem",
    ("escrever", "participle"): "escrito",
    ("estar", "present"): "estou está estamos estão",
    ("fazer", "present"): "faço faz fazemos fazem",
    ("fazer", "preterite"): "fiz fez fizemos fizeram",
    ("fazer", "participle"): "feito",
    ("ir", "present"): "vou vai vamos vão",
    ("ir", "preterite"): "fui foi fomos foram",
    ("ler", "present"): "leio lê lemos leem",
    ("ouvir", "present"): "ouço ouve ouvimos ouvem",
    ("pedir", "present"): "peço pede pedimos pedem",
    ("perder", "present"): "perco perde perdemos perdem",
    ("poder", "present"): "posso pode podemos podem",
    ("preferir", "present"): "prefiro prefere preferimos preferem",
    ("querer", "present"): "quero quer queremos querem",
    ("saber", "present"): "sei sabe sabemos sabem",
    ("sair", "present"): "saio sai saímos saem",
    ("sair", "preterite"): "saí saiu saímos saíram",
    ("sair", "imperfect"): "saía saía saíamos saíam",
    ("seguir", "present"): "sigo segue seguimos seguem",
    ("ser", "present"): "sou é somos são",
    ("ser", "preterite"): "fui foi fomos foram",
    ("ser", "imperfect"): "era era éramos eram",
    ("ter", "present"): "tenho tem temos têm",
    ("ter", "preterite"): "tive teve tivemos tiveram",
    ("ter", "imperfect"): "tinha tinha tínhamos tinham",
    ("trazer", "present"): "trago traz trazemos trazem",
    ("trazer", "preterite"): "trouxe trouxe trouxemos trouxeram",
    ("ver", "present"): "vejo vê vemos veem",
    ("ver", "preterite"): "vi viu vimos viram",
    ("ver", "participle"): "visto",
}
BEFORE_E = {"c": "qu", "g": "gu", "ç": "c"}  # toquei, cheguei, comecei


@functools.cache
def portuguese(infinitive: str, form: str, person: int = I) -> str:
    """One form of a verb.

    Args:
        infinitive: the verb.
        form: `present`, `preterite`, `imperfect`, `gerund`, `participle`, or `infinitive`, which
            in the singular is also the future subjunctive of regular verbs (`se ela chegar`).
        person: `I`, `HE`, `WE` or `THEY`; the forms without person ignore it.
    """
    if form == "infinitive":
        return infinitive
    stem, ending = infinitive[:-2], infinitive[-2:]
    given = IRREGULAR_PORTUGUESE.get((infinitive, form))
    endings = (given or REGULAR_ENDINGS[ending][form]).split()
    last = endings[person if len(endings) > 1 else 0]
    if given:
        return last
    if ending == "ar" and last[0] == "e" and stem[-1] in BEFORE_E:
        stem = stem[:-1] + BEFORE_E[stem[-1]]
    return stem + last


# --- English ------------------------------------------------------------------------------------

IRREGULAR_ENGLISH = {  # past and past participle
    row[0]: row[1:]
    for row in map(
        str.split,
        """
        be was been
        bring brought brought
        buy bought bought
        come came come
        do did done
        drink drank drunk
        eat ate eaten
        fall fell fallen
        find found found
        forget forgot forgotten
        give gave given
        go went gone
        have had had
        hear heard heard
        know knew known
        leave left left
        lend lent lent
        lose lost lost
        make made made
        meet met met
        read read read
        run ran run
        say said said
        see saw seen
        sell sold sold
        send sent sent
        sing sang sung
        sleep slept slept
        speak spoke spoken
        swim swam swum
        take took taken
        teach taught taught
        tell told told
        think thought thought
        understand understood understood
        wake woke woken
        wear wore worn
        write wrote written
        """.strip().splitlines(),
    )
}
DOUBLING = frozenset(["run", "swim"])


@functools.cache
def english(base: str, form: str) -> str:
    """One form of a verb: `base`, `third` person, `past`, `participle` or `ing`."""
    if form == "base":
        return base
    if form == "third":
        if base == "have":
            return "has"
        if base.endswith(("s", "sh", "ch", "x", "o")):
            return base + "es"
        return base[:-1] + "ies" if base.endswith("y") and base[-2] not in "aeou" else base + "s"
    if form == "ing":
        if base in DOUBLING:
            return base + base[-1] + "ing"
        return (base[:-1] if base.endswith("e") and base not in ("be", "see") else base) + "ing"
    if base in IRREGULAR_ENGLISH:
        return IRREGULAR_ENGLISH[base][form == "participle"]
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ied"
    return base + ("d" if base.endswith("e") else "ed")
