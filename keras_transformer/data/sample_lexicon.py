"""The words of the `sample` corpus: nouns, adjectives and verbs of both languages, inflected.

Each table is plain text, one entry a line; what the spelling rules cannot derive stands in the
tables of irregular forms. `sample_corpus` builds the sentences.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)  # compared by identity
class Noun:
    pt: str
    pt_plural: str  # "-" for mass nouns and for those used in the singular only
    feminine: bool
    en: str
    en_plural: str
    adjectives: tuple[str, ...] = ()  # keys of ADJECTIVES that make sense with this noun

    @property
    def has_plural(self) -> bool:
        return self.pt_plural != "-"

    @property
    def key(self) -> str:
        """Names the lexeme; `o artista` and `a artista` are two."""
        return self.pt + "/" + "mf"[self.feminine]


def nouns(adjectives: str, table: str) -> tuple[Noun, ...]:
    """Reads lines of `singular plural gender singular plural`."""
    rows = (line.split() for line in table.strip().splitlines())
    fitting = tuple(adjectives.split())
    return tuple(
        Noun(pt, pts, gender == "f", en, ens, fitting) for pt, pts, gender, en, ens in rows
    )


CHILDREN = nouns(
    "alto inteligente simpático forte",
    """
    menino meninos m boy boys
    menina meninas f girl girls
    """,
)
PEOPLE = CHILDREN + nouns(
    "alto jovem velho inteligente famoso rico simpático forte",
    """
    homem homens m man men
    mulher mulheres f woman women
    professor professores m teacher teachers
    professora professoras f teacher teachers
    médico médicos m doctor doctors
    médica médicas f doctor doctors
    aluno alunos m student students
    aluna alunas f student students
    artista artistas m artist artists
    artista artistas f artist artists
    engenheiro engenheiros m engineer engineers
    engenheira engenheiras f engineer engineers
    vizinho vizinhos m neighbor neighbors
    vizinha vizinhas f neighbor neighbors
    amigo amigos m friend friends
    amiga amigas f friend friends
    """,
)
PROFESSIONS = PEOPLE[4:8] + PEOPLE[10:14]
FRIENDS = PEOPLE[16:18]  # always somebody's: `o amigo da menina`
COMPANIONS = PEOPLE[4:10] + PEOPLE[14:18]  # `a minha professora`
STRANGERS = PEOPLE[:16]  # `a professora`
FAMILY = nouns(
    "",
    """
    irmão irmãos m brother brothers
    irmã irmãs f sister sisters
    filho - m son -
    filha filhas f daughter daughters
    pai - m father -
    mãe - f mother -
    tio - m uncle -
    avó - f grandmother -
    """,
)
YOUNG = CHILDREN + PEOPLE[8:10] + FAMILY[:4]  # of any age below forty
ANIMALS = nouns(
    "preto branco pequeno grande velho bonito",
    """
    gato gatos m cat cats
    cachorro cachorros m dog dogs
    cavalo cavalos m horse horses
    pássaro pássaros m bird birds
    macaco macacos m monkey monkeys
    vaca vacas f cow cows
    coelho coelhos m rabbit rabbits
    elefante elefantes m elephant elephants
    """,
)
LARGE_ANIMALS = (ANIMALS[2], ANIMALS[5], ANIMALS[7])
TEXTS = nouns(
    "interessante curto longo bonito estranho",
    """
    livro livros m book books
    carta cartas f letter letters
    história histórias f story stories
    poema poemas m poem poems
    mensagem mensagens f message messages
    """,
)
SHOWS = nouns(
    "interessante curto longo bonito estranho",
    """
    filme filmes m movie movies
    música músicas f song songs
    """,
)
CLOTHES = nouns(
    "novo velho caro barato bonito vermelho azul preto branco",
    """
    casaco casacos m coat coats
    camisa camisas f shirt shirts
    chapéu chapéus m hat hats
    """,
)
GOODS = nouns(
    "novo velho caro barato pequeno vermelho azul preto",
    """
    bicicleta bicicletas f bike bikes
    relógio relógios m watch watches
    telefone telefones m phone phones
    mala malas f suitcase suitcases
    caixa caixas f box boxes
    chave chaves f key keys
    guarda-chuva guarda-chuvas m umbrella umbrellas
    """,
)
LARGE_GOODS = nouns(
    "novo velho caro barato grande pequeno bonito branco",
    """
    carro carros m car cars
    casa casas f house houses
    mesa mesas f table tables
    cadeira cadeiras f chair chairs
    """,
)
OPENINGS = nouns(
    "grande pequeno velho azul branco",
    """
    porta portas f door doors
    janela janelas f window windows
    """,
)
FOOD = nouns(
    "fresco delicioso caro",
    """
    bolo bolos m cake cakes
    maçã maçãs f apple apples
    laranja laranjas f orange oranges
    pão - m bread -
    queijo - m cheese -
    peixe - m fish -
    """,
)
DRINKS = nouns(
    "quente frio",
    """
    água - f water -
    café - m coffee -
    leite - m milk -
    chá - m tea -
    sopa - f soup -
    """,
)
TOPICS = nouns(
    "importante difícil interessante estranho simples novo",
    """
    problema problemas m problem problems
    ideia ideias f idea ideas
    plano planos m plan plans
    pergunta perguntas f question questions
    projeto projetos m project projects
    lição lições f lesson lessons
    """,
)
PLACES = nouns(
    "grande pequeno antigo bonito famoso",
    """
    cidade - f city -
    escola - f school -
    museu - m museum -
    biblioteca - f library -
    mercado - m market -
    """,
) + nouns(
    "grande pequeno bonito famoso",
    """
    praia - f beach -
    parque - m park -
    jardim - m garden -
    """,
)
VEHICLES = nouns(
    "",
    """
    trem - m train -
    ônibus - m bus -
    avião - m plane -
    """,
)
LANGUAGES = nouns(
    "",
    """
    inglês - m english -
    francês - m french -
    português - m portuguese -
    alemão - m german -
    """,
)


@dataclass(frozen=True, eq=False)  # compared by identity
class Adjective:
    pt: str
    en: str
    comparative: str  # "-" where English says "more ..."
    superlative: str

    def agree(self, feminine: bool, plural: bool) -> str:
        """The Portuguese form for that gender and number."""
        word = self.pt
        if word.endswith("o") and feminine:
            word = word[:-1] + "a"
        if not plural or word.endswith("s"):
            return word
        if word.endswith("il"):  # difícil
            return word[:-2] + "eis"
        if word.endswith("l"):  # azul
            return word[:-1] + "is"
        if word.endswith("m"):  # jovem
            return word[:-1] + "ns"
        return word + ("es" if word.endswith("z") else "s")


def _adjectives(table: str) -> dict[str, Adjective]:
    return {row[0]: Adjective(*row) for row in map(str.split, table.strip().splitlines())}


ADJECTIVES = _adjectives(
    """
    alto tall taller tallest
    jovem young younger youngest
    velho old older oldest
    antigo old older oldest
    inteligente intelligent - -
    famoso famous - -
    rico rich richer richest
    simpático nice nicer nicest
    forte strong stronger strongest
    preto black - -
    branco white - -
    pequeno small smaller smallest
    grande big bigger biggest
    bonito beautiful - -
    interessante interesting - -
    triste sad sadder saddest
    curto short shorter shortest
    longo long longer longest
    estranho strange stranger strangest
    novo new newer newest
    caro expensive - -
    barato cheap cheaper cheapest
    vermelho red - -
    azul blue - -
    fresco fresh - -
    delicioso delicious - -
    quente hot hotter hottest
    frio cold colder coldest
    importante important - -
    difícil difficult - -
    simples simple simpler simplest
    cansado tired - -
    doente sick - -
    feliz happy - -
    ocupado busy - -
    preocupado worried - -
    """
)
MOODS = tuple(
    ADJECTIVES[word] for word in ("cansado", "doente", "feliz", "ocupado", "preocupado", "triste")
)
COLORS = frozenset(["preto", "branco", "vermelho", "azul"])
UNGRADED = COLORS | {  # those that comparisons do without
    *("jovem", "rico", "simpático", "estranho", "simples", "novo"),
    *("fresco", "delicioso", "quente", "frio"),
}


# --- Portuguese verbs ---------------------------------------------------------------------------

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


# --- English verbs ------------------------------------------------------------------------------

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


# --- Verb frames --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # compared by identity
class Frame:
    """A verb with the nouns it takes. Its translation may hang on them: `perder` is to lose a key
    but to miss a train, `usar` is to use a phone but to wear a hat."""

    pt: str
    preposition: str
    en: str  # with its particle, as in "look for"
    objects: tuple[Noun, ...]
    aspect: str = "activity"  # or "event" (no progressive) or "state" (no preterite either)
    habitual: bool = False  # may be said to happen every day

    @property
    def key(self) -> str:
        return f"{self.pt} {self.en}"


BY_NAME = {
    noun.pt: noun
    for table in (
        *(PEOPLE, FAMILY, ANIMALS, TEXTS, SHOWS, CLOTHES, GOODS, LARGE_GOODS, OPENINGS),
        *(FOOD, DRINKS, TOPICS, PLACES, VEHICLES, LANGUAGES),
    )
    for noun in table
}


def named(words: str) -> tuple[Noun, ...]:
    return tuple(BY_NAME[word] for word in words.split())


PORTABLE = GOODS + CLOTHES + TEXTS[:2]
FRAMES = (
    Frame("ler", "", "read", TEXTS, habitual=True),
    Frame("escrever", "", "write", TEXTS),
    Frame("comprar", "", "buy", GOODS + LARGE_GOODS + CLOTHES + FOOD + TEXTS[:1]),
    Frame("vender", "", "sell", GOODS[:3] + LARGE_GOODS + CLOTHES + TEXTS[:1]),
    Frame("comer", "", "eat", (*FOOD, BY_NAME["sopa"]), habitual=True),
    Frame("beber", "", "drink", DRINKS[:4], habitual=True),
    Frame("abrir", "", "open", OPENINGS + named("caixa carta mala"), "activity"),
    Frame("fechar", "", "close", OPENINGS + named("caixa mala"), "activity"),
    Frame("encontrar", "", "find", PORTABLE, "event"),
    Frame("encontrar", "", "meet", PEOPLE, "event"),
    Frame("perder", "", "lose", PORTABLE, "event"),
    Frame("perder", "", "miss", VEHICLES, "event"),
    Frame("procurar", "", "look for", PORTABLE + ANIMALS[:2] + PEOPLE),
    Frame("ver", "", "see", PEOPLE + ANIMALS + SHOWS[:1], "event"),
    Frame("ouvir", "", "hear", PEOPLE + SHOWS[1:], "event"),
    Frame("assistir", "a", "watch", SHOWS[:1], habitual=True),
    Frame("ajudar", "", "help", PEOPLE, habitual=True),
    Frame("seguir", "", "follow", PEOPLE + ANIMALS[:4]),
    Frame("visitar", "", "visit", PEOPLE + PLACES[:6], habitual=True),
    Frame("conhecer", "", "know", PEOPLE + PLACES[:5], "state"),
    Frame("esperar", "", "wait for", PEOPLE + VEHICLES, habitual=True),
    Frame("gostar", "de", "like", PEOPLE + ANIMALS + TEXTS + SHOWS + CLOTHES + PLACES, "state"),
    Frame("precisar", "de", "need", GOODS + LARGE_GOODS + CLOTHES[:2], "state"),
    Frame("pensar", "em", "think about", PEOPLE + TOPICS),
    Frame("falar", "sobre", "talk about", TOPICS + SHOWS + TEXTS[:3]),
    Frame("ouvir", "sobre", "hear about", TOPICS, "event"),
    Frame("falar", "com", "talk to", PEOPLE, habitual=True),
    Frame("ligar", "para", "call", PEOPLE),
    Frame("cuidar", "de", "take care of", ANIMALS[:7], habitual=True),
    Frame("usar", "", "use", named("bicicleta telefone mala guarda-chuva")),
    Frame("usar", "", "wear", CLOTHES + named("relógio")),
    Frame("resolver", "", "solve", TOPICS[:1]),
    Frame("explicar", "", "explain", TOPICS),
    Frame("responder", "a", "answer", named("pergunta carta mensagem")),
    Frame("contar", "", "tell", TEXTS[2:3]),
    Frame("consertar", "", "fix", GOODS[:3] + LARGE_GOODS + OPENINGS),
    Frame("trazer", "", "bring", PORTABLE + FOOD),
    Frame("fazer", "", "make", named("bolo café chá sopa filme")),
    Frame("fazer", "", "do", named("projeto lição")),
    Frame("aprender", "", "learn", LANGUAGES),
    Frame("estudar", "", "study", LANGUAGES, habitual=True),
    Frame("falar", "", "speak", LANGUAGES, "state"),
    Frame("ter", "medo de", "be afraid of", ANIMALS, "state"),
    Frame("ter", "saudades de", "miss", PEOPLE + FAMILY, "state"),
)
GIVING = (  # the thing comes before the receiver in Portuguese, after it in English
    Frame("dar", "", "give", GOODS + CLOTHES + FOOD[:3] + TEXTS[:1]),
    Frame("mostrar", "", "show", GOODS + CLOTHES + LARGE_GOODS + TEXTS[:2]),
    Frame("emprestar", "", "lend", GOODS + TEXTS[:1] + LARGE_GOODS[:1]),
    Frame("mandar", "", "send", named("carta mensagem poema livro caixa casaco")),
    Frame("contar", "", "tell", TEXTS[2:3]),
    Frame("ensinar", "", "teach", LANGUAGES + named("música lição")),
)


@dataclass(frozen=True, eq=False)  # compared by identity
class Deed:
    """What one does without an object, often an idiom: `dar um passeio` is to go for a walk."""

    pt: str
    rest: str
    en: str
    event: bool = False  # no progressive

    @property
    def key(self) -> str:
        return self.en


DEEDS = (
    Deed("dormir", "", "sleep"),
    Deed("chorar", "", "cry"),
    Deed("correr", "", "run"),
    Deed("trabalhar", "", "work"),
    Deed("descansar", "", "rest"),
    Deed("cantar", "", "sing"),
    Deed("nadar", "", "swim"),
    Deed("dar", "um passeio", "go for a walk"),
    Deed("fazer", "uma pergunta", "ask a question"),
    Deed("fazer", "compras", "go shopping"),
    Deed("tomar", "banho", "take a shower"),
    Deed("tirar", "uma foto", "take a picture"),
    Deed("tocar", "piano", "play the piano"),
    Deed("jogar", "futebol", "play soccer"),
    Deed("jogar", "xadrez", "play chess"),
    Deed("almoçar", "", "have lunch"),
    Deed("jantar", "", "have dinner"),
    Deed("chegar", "", "arrive", True),
    Deed("sair", "", "leave", True),
    Deed("voltar", "para casa", "come back home", True),
    Deed("acordar", "", "wake up", True),
    Deed("pegar", "o ônibus", "take the bus", True),
)
DAILY_VERBS = ("dormir", "correr", "trabalhar", "nadar", "jogar", "almoçar", "jantar")
CONDITIONS = (  # said with `ter`: "to have hunger"
    Deed("ter", "fome", "be hungry"),
    Deed("ter", "sede", "be thirsty"),
    Deed("ter", "sono", "be sleepy"),
    Deed("ter", "frio", "be cold"),
    Deed("ter", "pressa", "be in a hurry"),
    Deed("ter", "razão", "be right"),
)
