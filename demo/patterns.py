"""Sentence patterns: how one to three clauses join, in English and in German.

Clauses keep their order in German; inside a clause the order depends on how the clause is joined.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from demo.clauses import Clause, Order, Tense, make_clause, passive_clause, verb_group, with_relative
from demo.dice import Dice
from demo.lexicon import ATTEMPTS, OBJECTS, REPORTS, TRANSITIVES
from demo.phrases import Token, Tokens, Word, object_phrase, subject_phrase
from demo.verbs import to_infinitive

OPENING_TENSES: tuple[tuple[Tense, float], ...] = (
    ("present", 5.0),
    ("past", 3.0),
    ("perfect", 1.0),
    ("modal", 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of the sentence whose German follows the German of the stretch before it."""

    words: tuple[Word, ...]
    german: tuple[Tokens, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    comma: bool = False


def _segment(
    clause: Clause, order: Order, conjunction: str = "", *german: str, comma: bool = True
) -> Segment:
    """A clause behind its conjunction; several German conjunctions are synonyms."""
    pairs = (clause.pair,) if clause.pair else ()
    if not conjunction:
        return Segment(words=clause.words, german=clause.german(order), pairs=pairs)
    first = Word(f"{clause.words[0].key}.c", conjunction)
    heads = [(Token(text, first.key),) for text in german]
    renderings = tuple((*head, *tokens) for head in heads for tokens in clause.german(order))
    return Segment(words=(first, *clause.words), german=renderings, pairs=pairs, comma=comma)


def _coordinate(english: str, german: str) -> Callable[[Dice], list[Segment]]:
    def pattern(dice: Dice) -> list[Segment]:
        first = make_clause("a", dice.at("a"), front=0.4)
        second = make_clause("b", dice.at("b"), front=0.3)
        return [_segment(first, "main"), _segment(second, "main", english, german)]

    return pattern


def _subordinate(english: str, *german: str) -> Callable[[Dice], list[Segment]]:
    def pattern(dice: Dice) -> list[Segment]:
        first = make_clause("a", dice.at("a"), front=0.4)
        return [_segment(first, "main"), _segment(make_clause("b", dice.at("b")), "final", english, *german)]

    return pattern


def _fronted(english: str, *german: str) -> Callable[[Dice], list[Segment]]:
    def pattern(dice: Dice) -> list[Segment]:
        first = _segment(make_clause("a", dice.at("a")), "final", english, *german, comma=False)
        second = _segment(make_clause("b", dice.at("b")), "inverted")
        return [first, Segment(words=second.words, german=second.german, pairs=second.pairs, comma=True)]

    return pattern


def _because(dice: Dice) -> list[Segment]:
    first = make_clause("a", dice.at("a"), front=0.4)
    reason = make_clause("b", dice.at("b"))
    final = _segment(reason, "final", "because", "weil")
    main = _segment(reason, "main", "because", "denn")
    both = Segment(words=final.words, german=(*final.german, *main.german), pairs=final.pairs, comma=True)
    return [_segment(first, "main"), both]


def _so(dice: Dice) -> list[Segment]:
    first = make_clause("a", dice.at("a"), front=0.4)
    second = make_clause("b", dice.at("b"))
    return [_segment(first, "main"), _segment(second, "inverted", "so", "deshalb", "also")]


def _opening(dice: Dice, verbs: str) -> Clause:
    """``the doctor has said``: a subject and a verb that a clause or an infinitive will complete."""
    subject = subject_phrase("m.s", dice.at("subject"))
    verb = dice.pick("verb", REPORTS if verbs == "report" else ATTEMPTS)
    tense = dice.weighted("tense", OPENING_TENSES)
    group = verb_group("m.v", dice, verb, subject, tense, negated=dice.chance("not?", 0.08))
    return Clause(subject=subject, verb=group)


def _that(dice: Dice) -> list[Segment]:
    content = make_clause("a", dice.at("a"), time=0.6)
    return [
        _segment(_opening(dice.at("m"), "report"), "main"),
        _segment(content, "final", "that", "dass", comma=False),
    ]


def _that_because(dice: Dice) -> list[Segment]:
    reason = make_clause("b", dice.at("b"), time=0.2)
    return [*_that(dice), _segment(reason, "final", "because", "weil")]


def _infinitive(dice: Dice) -> list[Segment]:
    verb = dice.pick("verb", TRANSITIVES)
    noun = dice.pick("object", [n for n in OBJECTS if n.kind in verb.kinds])
    target = object_phrase("i.o", dice.at("i"), noun)
    words = (Word("i.to", "to"), Word("i.v", verb.base), *target.words)
    german = tuple((*t, *v) for t in target.german for v in to_infinitive(verb, "i.v"))
    pairs = ((verb.base, noun.english),)
    return [
        _segment(_opening(dice.at("m"), "attempt"), "main"),
        Segment(words=words, german=german, pairs=pairs),
    ]


def _infinitive_and(dice: Dice) -> list[Segment]:
    return [*_infinitive(dice), _segment(make_clause("b", dice.at("b"), front=0.3), "main", "and", "und")]


def _infinitive_because(dice: Dice) -> list[Segment]:
    return [*_infinitive(dice), _segment(make_clause("b", dice.at("b")), "final", "because", "weil")]


def _passive_and(dice: Dice) -> list[Segment]:
    second = make_clause("b", dice.at("b"), front=0.3)
    return [_segment(passive_clause("a", dice.at("a")), "main"), _segment(second, "main", "and", "und")]


def _that_passive(dice: Dice) -> list[Segment]:
    content = passive_clause("a", dice.at("a"))
    return [
        _segment(_opening(dice.at("m"), "report"), "main"),
        _segment(content, "final", "that", "dass", comma=False),
    ]


def _relative(dice: Dice) -> list[Segment]:
    subject = with_relative("a", dice.at("r"))
    return [_segment(make_clause("a", dice.at("a"), subject=subject), "main")]


def _question_or(dice: Dice) -> list[Segment]:
    segments: list[Segment] = []
    for name in ("a", "b"):
        clause = make_clause(name, dice.at(name), tense="modal", negation=0.0)
        question = replace(clause, question=True)
        conjunction = ("or", "oder") if segments else ()
        segments.append(_segment(question, "inverted", *conjunction))
    return segments


def _three(dice: Dice) -> list[Segment]:
    clauses = [make_clause(name, dice.at(name), time=0.2, front=0.5) for name in "ab"]
    reason = make_clause("c", dice.at("c"), time=0.1)
    return [
        _segment(clauses[0], "main"),
        _segment(clauses[1], "main", "and", "und"),
        _segment(reason, "final", "because", "weil"),
    ]


def _single(dice: Dice) -> list[Segment]:
    return [_segment(make_clause("a", dice.at("a"), time=1.0, front=0.5), "main")]


PATTERNS: tuple[tuple[str, Callable[[Dice], list[Segment]], float], ...] = (
    ("clause", _single, 4.0),
    ("and", _coordinate("and", "und"), 8.0),
    ("but", _coordinate("but", "aber"), 8.0),
    ("because", _because, 8.0),
    ("although", _subordinate("although", "obwohl"), 6.0),
    ("before", _subordinate("before", "bevor"), 6.0),
    ("while", _subordinate("while", "während"), 6.0),
    ("if first", _fronted("if", "wenn", "falls"), 6.0),
    ("when first", _fronted("when", "wenn"), 6.0),
    ("so", _so, 6.0),
    ("that", _that, 7.0),
    ("that because", _that_because, 6.0),
    ("that passive", _that_passive, 5.0),
    ("infinitive and", _infinitive_and, 5.0),
    ("infinitive because", _infinitive_because, 5.0),
    ("passive and", _passive_and, 5.0),
    ("relative", _relative, 7.0),
    ("question", _question_or, 5.0),
    ("three clauses", _three, 7.0),
)
