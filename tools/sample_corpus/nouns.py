"""The nouns of the `sample` corpus in both languages, grouped by what one does with them."""

from __future__ import annotations

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


_OF_ADULTS = "alto jovem velho inteligente famoso rico simpático forte"

CHILDREN = nouns(
    "alto inteligente simpático forte",
    """
    menino meninos m boy boys
    menina meninas f girl girls
    """,
)
MAN_AND_WOMAN = nouns(
    _OF_ADULTS,
    """
    homem homens m man men
    mulher mulheres f woman women
    """,
)
TEACHERS_AND_DOCTORS = nouns(
    _OF_ADULTS,
    """
    professor professores m teacher teachers
    professora professoras f teacher teachers
    médico médicos m doctor doctors
    médica médicas f doctor doctors
    """,
)
STUDENTS = nouns(
    _OF_ADULTS,
    """
    aluno alunos m student students
    aluna alunas f student students
    """,
)
ARTISTS_AND_ENGINEERS = nouns(
    _OF_ADULTS,
    """
    artista artistas m artist artists
    artista artistas f artist artists
    engenheiro engenheiros m engineer engineers
    engenheira engenheiras f engineer engineers
    """,
)
NEIGHBORS = nouns(
    _OF_ADULTS,
    """
    vizinho vizinhos m neighbor neighbors
    vizinha vizinhas f neighbor neighbors
    """,
)
FRIENDS = nouns(  # always somebody's: `o amigo da menina`
    _OF_ADULTS,
    """
    amigo amigos m friend friends
    amiga amigas f friend friends
    """,
)
PROFESSIONS = TEACHERS_AND_DOCTORS + ARTISTS_AND_ENGINEERS
SERVED = TEACHERS_AND_DOCTORS + STUDENTS  # `a minha professora`, but not `a professora do homem`
COMPANIONS = SERVED + NEIGHBORS + FRIENDS
STRANGERS = (  # `a professora`
    CHILDREN + MAN_AND_WOMAN + SERVED + ARTISTS_AND_ENGINEERS + NEIGHBORS
)
PEOPLE = STRANGERS + FRIENDS
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
TOWN = nouns(
    "grande pequeno antigo bonito famoso",
    """
    cidade - f city -
    escola - f school -
    museu - m museum -
    biblioteca - f library -
    mercado - m market -
    """,
)
PLACES = TOWN + nouns(
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


def without(table: tuple[Noun, ...], words: str) -> tuple[Noun, ...]:
    left_out = named(words)
    return tuple(noun for noun in table if noun not in left_out)


YOUNG = CHILDREN + STUDENTS + named("irmão irmã filho filha")  # of any age below forty
LARGE_ANIMALS = named("cavalo vaca elefante")
PORTABLE = GOODS + CLOTHES + named("livro carta")
