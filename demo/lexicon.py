"""Every word of the toy language, English and German side by side.

The tables say what a word is; how words combine is known to ``demo.phrases`` and ``demo.clauses`` only.
A ``|`` separates German synonyms: the first is preferred, all are valid translations.
"""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f", "n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GermanNoun:
    """One German rendering of a noun; ``oblique`` is its accusative and dative singular."""

    text: str
    gender: Gender
    oblique: str
    plural: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """An English noun with its German renderings; ``plural`` is empty for words only used in the singular."""

    english: str
    plural: str
    german: tuple[GermanNoun, ...]
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GermanVerb:
    """One German rendering of a verb; ``prefix`` is the separable part, ``present`` the bare 3sg form."""

    infinitive: str
    present: str
    participle: str
    auxiliary: Literal["haben", "sein"]
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """An English verb with its German renderings and the kinds of complement that it takes."""

    base: str
    third: str
    past: str
    participle: str
    german: tuple[GermanVerb, ...]
    kinds: tuple[str, ...]


_GENDERS: dict[str, Gender] = {"m": "m", "f": "f", "n": "n"}


def _german_noun(entry: str) -> GermanNoun:
    """Read ``Junge.m.Jungen`` or ``Buch.n..Bücher``: text, gender, oblique form, plural form."""
    text, gender, oblique, plural = [*entry.split("."), "", ""][:4]
    return GermanNoun(text=text, gender=_GENDERS[gender], oblique=oblique or text, plural=plural)


def _nouns(kind: str, table: str) -> tuple[Noun, ...]:
    nouns = []
    for line in table.strip().splitlines():
        english, german = line.split()
        singular, _, plural = english.partition("/")
        renderings = tuple(map(_german_noun, german.split("|")))
        nouns.append(Noun(english=singular, plural=plural, german=renderings, kind=kind))
    return tuple(nouns)


def _german_verb(entry: str) -> GermanVerb:
    """Read ``ein+laden.lädt.geladen`` (a ``*`` after the infinitive: perfect with *sein*)."""
    infinitive, present, participle = entry.split(".")
    auxiliary: Literal["haben", "sein"] = "sein" if infinitive.endswith("*") else "haben"
    prefix, _, bare = infinitive.rstrip("*").rpartition("+")
    return GermanVerb(
        infinitive=bare, present=present, participle=prefix + participle, auxiliary=auxiliary, prefix=prefix
    )


def _verbs(table: str) -> tuple[Verb, ...]:
    verbs = []
    for line in table.strip().splitlines():
        english, german, kinds = line.split()
        base, third, past, participle = [*english.split("/"), ""][:4]
        renderings = tuple(map(_german_verb, german.split("|")))
        verbs.append(
            Verb(
                base=base,
                third=third,
                past=past,
                participle=participle or past,
                german=renderings,
                kinds=tuple(kinds.split(",")),
            )
        )
    return tuple(verbs)


PERSONS = _nouns(
    "person",
    """
doctor Arzt.m
teacher Lehrer.m
mother Mutter.f
father Vater.m
sister Schwester.f
brother Bruder.m
daughter Tochter.f
uncle Onkel.m
neighbor Nachbar.m.Nachbarn
student Student.m.Studenten
farmer Bauer.m.Bauern
lawyer Anwalt.m
judge Richter.m
nurse Krankenschwester.f
woman Frau.f
man Mann.m
girl Mädchen.n
boy Junge.m.Jungen
child Kind.n
singer Sänger.m
grandmother Großmutter.f|Oma.f
author Schriftsteller.m|Autor.m
waiter Kellner.m
pilot Pilot.m.Piloten
professor Professor.m
boss Chef.m
guest Gast.m
friend Freund.m
""",
)

FOODS = _nouns(
    "food",
    """
bread Brot.n
apple/apples Apfel.m..Äpfel
cake/cakes Kuchen.m..Kuchen
soup Suppe.f
cheese Käse.m
orange/oranges Orange.f..Orangen
fish Fisch.m
potato/potatoes Kartoffel.f..Kartoffeln
""",
)

TEXTS = _nouns(
    "text",
    """
book/books Buch.n..Bücher
letter/letters Brief.m..Briefe
newspaper/newspapers Zeitung.f..Zeitungen
report/reports Bericht.m..Berichte
story/stories Geschichte.f..Geschichten
poem/poems Gedicht.n..Gedichte
""",
)

THINGS = _nouns(
    "thing",
    """
car/cars Auto.n..Autos|Wagen.m..Wagen
house/houses Haus.n..Häuser
bicycle/bicycles Fahrrad.n..Fahrräder|Rad.n..Räder
ticket/tickets Fahrkarte.f..Fahrkarten|Ticket.n..Tickets
key/keys Schlüssel.m..Schlüssel
picture/pictures Bild.n..Bilder
table/tables Tisch.m..Tische
chair/chairs Stuhl.m..Stühle
lamp/lamps Lampe.f..Lampen
camera/cameras Kamera.f..Kameras
shirt/shirts Hemd.n..Hemden
guitar/guitars Gitarre.f..Gitarren
piano Klavier.n
gift/gifts Geschenk.n..Geschenke
flower/flowers Blume.f..Blumen
""",
)

OPENABLES = _nouns(
    "openable",
    """
door/doors Tür.f..Türen
window/windows Fenster.n..Fenster
shop Laden.m|Geschäft.n
suitcase/suitcases Koffer.m..Koffer
bottle/bottles Flasche.f..Flaschen
""",
)

SIGHTS = _nouns(
    "sight",
    """
museum Museum.n
castle Schloss.n
church Kirche.f
hospital Krankenhaus.n
village Dorf.n
library Bibliothek.f|Bücherei.f
""",
)

OBJECTS = (*PERSONS, *FOODS, *TEXTS, *THINGS, *OPENABLES, *SIGHTS)

TRANSITIVES = _verbs("""
buy/buys/bought kaufen.kauft.gekauft food,text,thing
sell/sells/sold verkaufen.verkauft.verkauft food,thing
find/finds/found finden.findet.gefunden text,thing,sight
lose/loses/lost verlieren.verliert.verloren text,thing,openable
repair/repairs/repaired reparieren.repariert.repariert thing,openable
write/writes/wrote/written schreiben.schreibt.geschrieben text
eat/eats/ate/eaten essen.isst.gegessen food
cook/cooks/cooked kochen.kocht.gekocht food
bring/brings/brought mit+bringen.bringt.gebracht food,text,thing
send/sends/sent schicken.schickt.geschickt|senden.sendet.gesendet text,thing
forget/forgets/forgot/forgotten vergessen.vergisst.vergessen thing,text
see/sees/saw/seen sehen.sieht.gesehen person,thing,sight
visit/visits/visited besuchen.besucht.besucht person,sight
call/calls/called an+rufen.ruft.gerufen person
invite/invites/invited ein+laden.lädt.geladen person
collect/collects/collected ab+holen.holt.geholt person,thing
open/opens/opened öffnen.öffnet.geöffnet|auf+machen.macht.gemacht openable
close/closes/closed zu+machen.macht.gemacht|schließen.schließt.geschlossen openable
ask/asks/asked fragen.fragt.gefragt person
need/needs/needed brauchen.braucht.gebraucht thing,text,food
clean/cleans/cleaned putzen.putzt.geputzt|reinigen.reinigt.gereinigt openable,sight,thing
order/orders/ordered bestellen.bestellt.bestellt food,thing
steal/steals/stole/stolen stehlen.stiehlt.gestohlen thing
draw/draws/drew/drawn zeichnen.zeichnet.gezeichnet person,thing,sight
prepare/prepares/prepared vor+bereiten.bereitet.bereitet food,text
meet/meets/met treffen.trifft.getroffen person
""")

MOTIONS = _verbs("""
travel/travels/traveled reisen*.reist.gereist goal
drive/drives/drove/driven fahren*.fährt.gefahren goal
fly/flies/flew/flown fliegen*.fliegt.geflogen goal
return/returns/returned zurück+kehren*.kehrt.gekehrt|zurück+kommen*.kommt.gekommen goal
move/moves/moved um+ziehen*.zieht.gezogen goal
arrive/arrives/arrived an+kommen*.kommt.gekommen place
stay/stays/stayed bleiben*.bleibt.geblieben place
""")

ACTIVITIES = _verbs("""
work/works/worked arbeiten.arbeitet.gearbeitet place
sleep/sleeps/slept schlafen.schläft.geschlafen place
wait/waits/waited warten.wartet.gewartet place
sing/sings/sang/sung singen.singt.gesungen place
dance/dances/danced tanzen.tanzt.getanzt place
play/plays/played spielen.spielt.gespielt place
study/studies/studied studieren.studiert.studiert|lernen.lernt.gelernt place
live/lives/lived wohnen.wohnt.gewohnt|leben.lebt.gelebt place
""")

REPORTS = _verbs("""
think/thinks/thought denken.denkt.gedacht that
believe/believes/believed glauben.glaubt.geglaubt that
say/says/said sagen.sagt.gesagt that
know/knows/knew/known wissen.weiß.gewusst that
hope/hopes/hoped hoffen.hofft.gehofft that
""")

ATTEMPTS = _verbs("""
try/tries/tried versuchen.versucht.versucht to
plan/plans/planned planen.plant.geplant to
promise/promises/promised versprechen.verspricht.versprochen to
begin/begins/began/begun an+fangen.fängt.gefangen|beginnen.beginnt.begonnen to
""")

VERBS = (*TRANSITIVES, *MOTIONS, *ACTIVITIES, *REPORTS, *ATTEMPTS)
