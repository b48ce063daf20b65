"""Clauses: one English word order, and the German orders that a main or a subordinate clause demands."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from demo.dice import Dice
from demo.lexicon import ACTIVITIES, MOTIONS, OBJECTS, PERSONS, TRANSITIVES, Verb
from demo.particles import GOALS, MODALS, PLACES, TIMES, WISHES
from demo.phrases import Phrase, Token, Tokens, Word, fixed_phrase, keyed, noun_phrase, object_phrase
from demo.phrases import subject_phrase as any_subject
from demo.verbs import VerbForm, VerbGroup, modal_group, past_group, perfect_group, present_group

Order = Literal["main", "inverted", "final"]
Tense = Literal["modal", "wish", "perfect", "past", "present"]
TENSES: tuple[tuple[Tense, float], ...] = (
    ("modal", 4.0),
    ("wish", 1.0),
    ("perfect", 2.0),
    ("past", 2.0),
    ("present", 2.0),
)
_TIME_TAG = {"modal": "future", "wish": "future", "perfect": "past", "past": "past", "present": "present"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause; ``pair`` is the verb and object whose combination may be held out of training."""

    subject: Phrase
    verb: VerbGroup
    target: Phrase | None = None
    place: Phrase | None = None
    time: Phrase | None = None
    time_first: bool = False
    question: bool = False
    pair: tuple[str, str] | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        """English: time first or last, subject, verb, object, place."""
        time = self.time.words if self.time else ()
        target = self.target.words if self.target else ()
        place = self.place.words if self.place else ()
        fronted = self.verb.fronted if self.question else 0
        core = (*self.verb.words[:fronted], *self.subject.words, *self.verb.words[fronted:], *target, *place)
        return (*time, *core) if self.time_first else (*core, *time)

    def german(self, order: Order) -> tuple[Tokens, ...]:
        """Every valid rendering in the given order, the preferred one first."""
        targets, places, times = map(_renderings, (self.target, self.place, self.time))
        fronts = (True, False) if self.time_first and order == "main" else (False,)
        return tuple(
            _arrange(order, subject, form, time, middle, front)
            for front, subject, target, place, time, form in product(
                fronts, self.subject.german, targets, places, times, self.verb.forms
            )
            for middle in self._middles(target, place, () if front else time)
        )

    def _middles(self, target: Tokens, place: Tokens, time: Tokens) -> tuple[Tokens, ...]:
        """Time, object, ``nicht``, place; a definite object may also precede the time."""
        rest = (*self.verb.negation, *place)
        middle = (*time, *target, *rest)
        if time and target and self.target and self.target.definite:
            return (middle, (*target, *time, *rest))
        return (middle,)


def _renderings(phrase: Phrase | None) -> tuple[Tokens, ...]:
    return phrase.german if phrase else ((),)


def _arrange(
    order: Order, subject: Tokens, form: VerbForm, time: Tokens, middle: Tokens, time_first: bool
) -> Tokens:
    if order == "final":
        return (*subject, *middle, *form.cluster)
    if order == "inverted":
        return (form.finite, *subject, *middle, *form.tail)
    if time_first:
        return (*time, form.finite, *subject, *middle, *form.tail)
    return (*subject, form.finite, *middle, *form.tail)


def verb_group(
    prefix: str, dice: Dice, verb: Verb, subject: Phrase, tense: Tense, negated: bool
) -> VerbGroup:
    """The verb in the given tense, agreeing with its subject."""
    if tense in ("modal", "wish"):
        modal = dice.pick("modal", MODALS if tense == "modal" else WISHES)
        return modal_group(prefix, modal, verb, subject.agreement, negated and tense == "modal")
    build = {"perfect": perfect_group, "past": past_group, "present": present_group}[tense]
    return build(prefix, verb, subject.agreement, negated)


def _time(prefix: str, dice: Dice, tense: Tense) -> Phrase:
    return fixed_phrase(prefix, dice.pick("time", [t for t in TIMES if _TIME_TAG[tense] in t.tags]))


def make_clause(
    prefix: str,
    dice: Dice,
    *,
    subject: Phrase | None = None,
    tense: Tense | None = None,
    time: float = 0.45,
    front: float = 0.0,
    negation: float = 0.12,
) -> Clause:
    """A clause with an object or a place; ``front`` is the share of its times that come first."""
    subject = subject or any_subject(f"{prefix}.s", dice.at("subject"))
    drawn: Tense = dice.weighted("tense", TENSES)
    tense = tense or drawn
    timed = dice.chance("time?", time)
    clause = Clause(
        subject=subject,
        verb=VerbGroup(words=(), forms=()),
        time=_time(f"{prefix}.t", dice, tense) if timed else None,
        time_first=timed and dice.chance("front?", front),
    )
    if dice.chance("transitive?", 0.72):
        return _transitive(prefix, dice, clause, tense, negation)
    return _intransitive(prefix, dice, clause, tense, negation)


def _transitive(prefix: str, dice: Dice, clause: Clause, tense: Tense, negation: float) -> Clause:
    verb = dice.pick("verb", TRANSITIVES)
    noun = dice.pick("object", [n for n in OBJECTS if n.kind in verb.kinds])
    target = object_phrase(f"{prefix}.o", dice.at("target"), noun)
    negated = target.definite and dice.chance("not?", negation)
    group = verb_group(f"{prefix}.v", dice, verb, clause.subject, tense, negated)
    with_place = noun.kind == "person" and dice.chance("place?", 0.25)
    place = fixed_phrase(f"{prefix}.p", dice.pick("place", PLACES)) if with_place else None
    return replace(clause, verb=group, target=target, place=place, pair=(verb.base, noun.english))


def _intransitive(prefix: str, dice: Dice, clause: Clause, tense: Tense, negation: float) -> Clause:
    verb = dice.pick("verb", (*MOTIONS, *ACTIVITIES))
    negated = dice.chance("not?", negation)
    group = verb_group(f"{prefix}.v", dice, verb, clause.subject, tense, negated)
    place = fixed_phrase(f"{prefix}.p", dice.pick("place", GOALS if "goal" in verb.kinds else PLACES))
    return replace(clause, verb=group, place=place, pair=(verb.base, place.words[-1].text))


def passive_clause(prefix: str, dice: Dice) -> Clause:
    """``the house was sold by the teacher in june`` -> ``das Haus wurde im Juni vom Lehrer verkauft``."""
    verb = dice.pick("verb", [v for v in TRANSITIVES if v.kinds != ("person",)])
    noun = dice.pick("object", [n for n in OBJECTS if n.kind in verb.kinds and n.kind != "person"])
    subject = noun_phrase(f"{prefix}.s", dice.at("subject"), noun, "nominative")
    words = keyed(f"{prefix}.v", ("was", verb.participle))
    finite = Token("wurde", words[0].key)
    participles = [(Token(german.participle, words[1].key),) for german in verb.german]
    forms = tuple(VerbForm(finite=finite, tail=p, cluster=(*p, finite)) for p in participles)
    return Clause(
        subject=subject,
        verb=VerbGroup(words=words, forms=forms),
        target=_agent(f"{prefix}.o", dice.at("agent")),
        time=_time(f"{prefix}.t", dice, "past") if dice.chance("time?", 0.6) else None,
        pair=(verb.base, noun.english),
    )


def _agent(prefix: str, dice: Dice) -> Phrase:
    """``by the teacher`` -> ``vom Lehrer``."""
    person = noun_phrase(prefix, dice, dice.pick("person", PERSONS), "dative")
    by = Word(f"{prefix}.by", "by")
    german = tuple(
        (Token("vom", tokens[0].needs), *tokens[1:])
        if tokens[0].text == "dem"
        else (Token("von", by.key), *tokens)
        for tokens in person.german
    )
    return replace(person, words=(by, *person.words), german=german)


def with_relative(prefix: str, dice: Dice) -> Phrase:
    """``the doctor who lives in berlin`` -> ``der Arzt der in Berlin wohnt``."""
    head = noun_phrase(
        f"{prefix}.h", dice.at("head"), dice.pick("person", PERSONS), "nominative", adjective=0.1
    )
    gap = Phrase(words=(), german=((),))
    tense = dice.weighted("relative tense", TENSES)
    clause = make_clause(
        f"{prefix}.r", dice.at("relative"), subject=gap, tense=tense, time=0.15, negation=0.0
    )
    who = Word(f"{prefix}.who", "who")
    pronoun = Token({"m": "der", "f": "die", "n": "das"}[head.gender], who.key)
    german = tuple((*h, pronoun, *r) for h in head.german for r in clause.german("final"))
    return replace(head, words=(*head.words, who, *clause.words), german=german)
