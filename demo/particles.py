"""The closed classes of the toy language: adjectives, times, places, modals, conjunctions, numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """An English phrase with ready-made German renderings, and the tags that say where it may stand."""

    english: tuple[str, ...]
    german: tuple[str, ...]
    tags: tuple[str, ...]


def _fixed(table: str) -> tuple[Fixed, ...]:
    """Read ``english = german | synonym : tags`` line by line."""
    phrases = []
    for line in table.strip().splitlines():
        pair, _, tags = line.partition(":")
        english, _, german = pair.partition("=")
        renderings = tuple(text.strip() for text in german.split("|"))
        phrases.append(Fixed(english=tuple(english.split()), german=renderings, tags=tuple(tags.split())))
    return tuple(phrases)


NUMBERS = _fixed("""
two = zwei
three = drei
four = vier
five = fünf
six = sechs
seven = sieben
eight = acht
nine = neun
ten = zehn
""")

# The German stem takes the endings -e, -en, -er, -es.
ADJECTIVES = _fixed("""
old = alt : person thing text openable sight
young = jung : person
friendly = freundlich | nett : person
rich = reich : person
poor = arm : person
happy = glücklich : person
famous = berühmt : person sight text
tired = müd : person
clever = klug | schlau : person
new = neu : person thing text openable sight
red = rot : thing openable food
blue = blau : thing openable
green = grün : thing openable
black = schwarz : thing openable
white = weiß : thing openable
yellow = gelb : thing openable
small = klein : thing openable sight food
big = groß : thing openable sight food
heavy = schwer : thing openable
expensive = teur : thing food
cheap = billig | günstig : thing food
beautiful = schön : thing sight text
long = lang : text
warm = warm : food
fresh = frisch : food
""")

MONTHS = ("january=Januar", "march=März", "june=Juni", "august=August", "october=Oktober")
DAYS = (
    "monday=Montag",
    "tuesday=Dienstag",
    "wednesday=Mittwoch",
    "thursday=Donnerstag",
    "friday=Freitag",
    "saturday=Samstag",
    "sunday=Sonntag",
)

TIMES = (
    *_fixed("""
yesterday = gestern : past
last week = letzte Woche : past
last year = letztes Jahr : past
last night = letzte Nacht : past
this morning = heute Morgen : past
today = heute : past future present
now = jetzt : present
every day = jeden Tag | täglich : present
every evening = jeden Abend : present
tomorrow = morgen : future
soon = bald : future
later = später : future
next week = nächste Woche : future
next year = nächstes Jahr : future
tonight = heute Abend : future
in the evening = am Abend : past future present
at noon = am Mittag | mittags : past future present
in winter = im Winter : past future present
in summer = im Sommer : past future present
"""),
    *_fixed("\n".join(f"on {day.replace('=', ' = am ')} : past future" for day in DAYS)),
    *_fixed("\n".join(f"in {month.replace('=', ' = im ')} : past future" for month in MONTHS)),
)

_CITIES = _fixed("""
berlin = Berlin
hamburg = Hamburg
vienna = Wien
munich = München
paris = Paris
london = London
rome = Rom
prague = Prag
zurich = Zürich
cologne = Köln
""")

PLACES = (
    *_fixed("""
in the park = im Park
in the garden = im Garten
at the station = am Bahnhof
at home = zu Hause
in the kitchen = in der Küche
in the city = in der Stadt
on the beach = am Strand
in the office = im Büro
in the forest = im Wald
at the market = auf dem Markt
at the airport = am Flughafen
"""),
    *(Fixed(english=("in", *c.english), german=(f"in {c.german[0]}",), tags=()) for c in _CITIES),
)

GOALS = (
    *_fixed("""
to the park = in den Park
to the station = zum Bahnhof
to the city = in die Stadt
to the beach = zum Strand | an den Strand
to the market = zum Markt | auf den Markt
to the airport = zum Flughafen
"""),
    *(Fixed(english=("to", *c.english), german=(f"nach {c.german[0]}",), tags=()) for c in _CITIES),
)

# German forms: 1sg, 3sg, plural.
MODALS = _fixed("""
will = werde wird werden
must = muss muss müssen
can = kann kann können
should = sollte sollte sollten
could = könnte könnte könnten
may = darf darf dürfen
""")

# A third form distinguishes "wants to" from "want to".
WISHES = _fixed("""
want to = will will wollen
would like to = möchte möchte möchten
""")

PRONOUNS = _fixed("""
i = ich : first
he = er : third
she = sie : third
we = wir : plural
they = sie : plural
""")

NAMES = _fixed("""
anna = Anna : third
peter = Peter : third
maria = Maria : third
thomas = Thomas : third
""")

POSSESSIVES = _fixed("""
my = mein
our = unser
his = sein
""")
