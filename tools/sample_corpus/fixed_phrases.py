"""Numbers, times, places and links: the fixed phrases of the `sample` corpus."""

from __future__ import annotations

from sample_corpus.phrases import Phrase, phrases

FEW = phrases(
    """
    dois | two
    três | three
    quatro | four
    cinco | five
    seis | six
    sete | seven
    dez | ten
    """
)
NUMBERS = FEW + phrases(
    """
    vinte | twenty
    12 | 12
    15 | 15
    30 | 30
    """
)
ADULT_AGES = phrases(
    """
    vinte e três | twenty-three
    vinte e cinco | twenty-five
    trinta | thirty
    trinta e três | thirty-three
    trinta e cinco | thirty-five
    quarenta | forty
    """
)
AGES = NUMBERS[3:] + ADULT_AGES
HIGHER_NUMBERS = AGES[1:]
RANKS = phrases(
    """
    primeiro | first
    segundo | second
    último | last
    """
)


def counting(number: Phrase, feminine: bool) -> str:
    """The Portuguese number before a noun of that gender."""
    return "duas" if feminine and number.pt == "dois" else number.pt


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
LAST_NIGHT = YESTERDAY[:2]
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
NOW = Phrase("agora", "right now")
SHORT_SPANS = phrases(
    """
    horas | hours
    dias | days
    semanas | weeks
    """
)
MONTHS, YEARS = Phrase("meses", "months"), Phrase("anos", "years")
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

PUBLIC_SITES = phrases(
    """
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
OUTDOORS = tuple(
    site for site in PUBLIC_SITES if site.en.split()[-1] in ("garden", "beach", "park")
)
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
PLACES_OF_RANK = phrases(
    """
    da escola | in the school
    da cidade | in the city
    do hospital | in the hospital
    do mundo | in the world
    """
)

WH_ADVERBS = phrases(
    """
    onde | where
    por que | why
    quando | when
    como | how
    """
)
BUT = Phrase(", mas", ", but")
BUT_OR_AND = (BUT, Phrase("e", "and"))
WHEN = Phrase("quando", "when")
BECAUSE = Phrase("porque", "because")
VERY = Phrase("muito", "very")
OPENERS = phrases(
    """
    e | and
    mas | but
    infelizmente , | unfortunately ,
    na verdade , | actually ,
    """
)
