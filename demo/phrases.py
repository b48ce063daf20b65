"""Noun phrases, times and places: English words with the German tokens that they license.

A token names the English word that must have been heard before it may be said. German articles and
adjective endings wait for the noun, because its gender decides them; numbers do not.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from demo.dice import Dice
from demo.lexicon import PERSONS, GermanNoun, Noun
from demo.particles import ADJECTIVES, NAMES, NUMBERS, POSSESSIVES, PRONOUNS, Fixed

Case = Literal["nominative", "accusative", "dative"]
Agreement = Literal["first", "third", "plural"]


class Word(NamedTuple):
    """A spoken English word; ``key`` is unique within its sentence."""

    key: str
    text: str


class Token(NamedTuple):
    """A German word and the key of the English word that licenses it (empty: licensed with its neighbours)."""

    text: str
    needs: str


Tokens = tuple[Token, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """One constituent: what is spoken, and every valid German rendering, the preferred one first."""

    words: tuple[Word, ...]
    german: tuple[Tokens, ...]
    definite: bool = True
    agreement: Agreement = "third"
    gender: str = "m"


_THE = {
    "nominative": {"m": "der", "f": "die", "n": "das"},
    "accusative": {"m": "den", "f": "die", "n": "das"},
    "dative": {"m": "dem", "f": "der", "n": "dem"},
}
_EIN = {
    "nominative": {"m": "", "f": "e", "n": ""},
    "accusative": {"m": "en", "f": "e", "n": ""},
    "dative": {"m": "em", "f": "er", "n": "em"},
}
_WEAK = {
    "nominative": {"m": "e", "f": "e", "n": "e"},
    "accusative": {"m": "en", "f": "e", "n": "e"},
    "dative": {"m": "en", "f": "en", "n": "en"},
}
_MIXED = {
    "nominative": {"m": "er", "f": "e", "n": "es"},
    "accusative": {"m": "en", "f": "e", "n": "es"},
    "dative": {"m": "en", "f": "en", "n": "en"},
}


def keyed(prefix: str, texts: tuple[str, ...]) -> tuple[Word, ...]:
    """Give each word of a constituent its key."""
    return tuple(Word(f"{prefix}.{i}", text) for i, text in enumerate(texts))


def fixed_phrase(prefix: str, fixed: Fixed) -> Phrase:
    """A ready-made phrase: all of its German waits for its last English word."""
    words = keyed(prefix, fixed.english)
    german = tuple(tuple(Token(t, words[-1].key) for t in text.split()) for text in fixed.german)
    return Phrase(words=words, german=german)


def _adjectives(dice: Dice, noun: Noun, probability: float) -> tuple[Fixed, ...]:
    fitting = [a for a in ADJECTIVES if noun.kind in a.tags]
    if not fitting or not dice.chance("adjective?", probability):
        return ()
    return (dice.pick("adjective", fitting),)


def _stems(adjectives: tuple[Fixed, ...]) -> tuple[str, ...]:
    return adjectives[0].german if adjectives else ("",)


def _plural(prefix: str, dice: Dice, noun: Noun) -> Phrase:
    """``three old books``: the number may be said at once, the rest waits for the noun."""
    number = dice.pick("number", NUMBERS)
    adjectives = _adjectives(dice, noun, 0.25)
    words = keyed(prefix, (*number.english, *(a.english[0] for a in adjectives), noun.plural))
    german = tuple(
        (
            Token(number.german[0], words[0].key),
            *((Token(stem + "e", words[-1].key),) if stem else ()),
            Token(rendering.plural, words[-1].key),
        )
        for rendering in noun.german
        for stem in _stems(adjectives)
    )
    return Phrase(words=words, german=german, definite=False, agreement="plural")


def _declined(determiner: str, stem: str, noun: GermanNoun, case: Case) -> tuple[str, ...]:
    """Article, adjective and noun in one case; the determiner is ``the`` or an ein-word's stem."""
    if determiner == "the":
        article, ending = _THE[case][noun.gender], _WEAK[case][noun.gender]
    else:
        article, ending = determiner + _EIN[case][noun.gender], _MIXED[case][noun.gender]
    text = noun.text if case == "nominative" else noun.oblique
    return (article, *((stem + ending,) if stem else ()), text)


def noun_phrase(prefix: str, dice: Dice, noun: Noun, case: Case, adjective: float = 0.3) -> Phrase:
    """``the old book``, ``a book``, ``my book``: all of its German waits for the noun."""
    kinds = [("the", 6.0), ("a", 2.0), ("possessive", 2.0)]
    kind = dice.weighted("determiner", kinds)
    possessive = dice.pick("possessive", POSSESSIVES)
    english = possessive.english[0] if kind == "possessive" else kind
    german = {"the": "the", "a": "ein", "possessive": possessive.german[0]}[kind]
    adjectives = _adjectives(dice, noun, adjective)
    described = (*(a.english[0] for a in adjectives), noun.english)
    if english == "a" and described[0][0] in "aeiou":
        english = "an"
    words = keyed(prefix, (english, *described))
    renderings = tuple(
        tuple(Token(text, words[-1].key) for text in _declined(german, stem, rendering, case))
        for rendering in noun.german
        for stem in _stems(adjectives)
    )
    return Phrase(words=words, german=renderings, definite=kind != "a", gender=noun.german[0].gender)


def object_phrase(prefix: str, dice: Dice, noun: Noun) -> Phrase:
    """A direct object, sometimes a counted plural."""
    if noun.plural and dice.chance("counted?", 0.3):
        return _plural(prefix, dice, noun)
    return noun_phrase(prefix, dice, noun, "accusative")


def subject_phrase(prefix: str, dice: Dice) -> Phrase:
    """A pronoun, a name or a person."""
    kind = dice.weighted("subject", [("pronoun", 3.0), ("name", 1.5), ("person", 5.5)])
    if kind == "person":
        noun = dice.pick("person", PERSONS)
        return noun_phrase(prefix, dice, noun, "nominative", adjective=0.25)
    fixed = dice.pick("fixed", PRONOUNS if kind == "pronoun" else NAMES)
    phrase = fixed_phrase(prefix, fixed)
    agreement: Agreement = (
        "first" if "first" in fixed.tags else "plural" if "plural" in fixed.tags else "third"
    )
    return Phrase(words=phrase.words, german=phrase.german, agreement=agreement)
