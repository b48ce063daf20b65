"""German word order of single clauses, written out by hand."""

import pytest

from demo.clauses import Clause, Order, verb_group
from demo.dice import Dice
from demo.lexicon import MOTIONS, OBJECTS, PERSONS, TRANSITIVES, VERBS
from demo.particles import GOALS, MODALS, TIMES, Fixed
from demo.phrases import Phrase, Tokens, fixed_phrase, keyed
from demo.verbs import modal_group, past_group, perfect_group, present_group, to_infinitive


def named(options: tuple[Fixed, ...], english: str) -> Fixed:
    return next(option for option in options if " ".join(option.english) == english)


def verb(base: str) -> object:
    return next(v for v in VERBS if v.base == base)


def say(tokens: Tokens) -> str:
    return " ".join(token.text for token in tokens)


def needs(clause: Clause, tokens: Tokens) -> list[int]:
    position = {word.key: i + 1 for i, word in enumerate(clause.words)}
    return [position[token.needs] for token in tokens]


def clause_with(group: object, target: str = "museum", time: str = "tomorrow", **changes: object) -> Clause:
    noun = next(n for n in OBJECTS if n.english == target)
    german = noun.german[0]
    article = {"m": "den", "f": "die", "n": "das"}[german.gender]
    words = keyed("o", ("the", noun.english))
    tokens = fixed_phrase(
        "o", Fixed(english=("the", noun.english), german=(f"{article} {german.oblique}",), tags=())
    )
    assert words == tokens.words
    fields: dict[str, object] = {
        "subject": fixed_phrase("s", Fixed(english=("the", "doctor"), german=("der Arzt",), tags=())),
        "verb": group,
        "target": tokens,
        "time": fixed_phrase("t", named(TIMES, time)),
    }
    return Clause(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_modal_sends_the_infinitive_to_the_end_and_time_before_the_object() -> None:
    group = modal_group("v", named(MODALS, "will"), verb("visit"), "third", negated=False)
    clause = clause_with(group)
    assert " ".join(w.text for w in clause.words) == "the doctor will visit the museum tomorrow"
    first, second = clause.german("main")
    assert say(first) == "der Arzt wird morgen das Museum besuchen"
    assert needs(clause, first) == [2, 2, 3, 7, 6, 6, 4]
    assert say(second) == "der Arzt wird das Museum morgen besuchen"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("main", "der Arzt ruft morgen den Lehrer an"),
        ("final", "der Arzt morgen den Lehrer anruft"),
        ("inverted", "ruft der Arzt morgen den Lehrer an"),
    ],
)
def test_a_separable_verb_splits_in_main_clauses_and_joins_at_the_end_of_others(
    order: Order, expected: str
) -> None:
    clause = clause_with(present_group("v", verb("call"), "third", negated=False), "teacher")
    assert say(clause.german(order)[0]) == expected


def test_a_negated_past_keeps_nicht_after_the_object() -> None:
    clause = clause_with(past_group("v", verb("buy"), "third", negated=True), "car", "yesterday")
    assert say(clause.german("main")[0]) == "der Arzt hat gestern das Auto nicht gekauft"


def test_time_first_inverts_the_subject_and_the_plain_order_is_also_valid() -> None:
    clause = clause_with(
        perfect_group("v", verb("find"), "third", negated=False), "key", "today", time_first=True
    )
    renderings = [say(tokens) for tokens in clause.german("main")]
    assert renderings[0] == "heute hat der Arzt den Schlüssel gefunden"
    assert "der Arzt hat heute den Schlüssel gefunden" in renderings


def test_verbs_of_motion_form_their_perfect_with_sein() -> None:
    goal = fixed_phrase("p", named(GOALS, "to berlin"))
    clause = clause_with(
        perfect_group("v", verb("travel"), "third", negated=False), target="car", time="yesterday"
    )
    moving = Clause(subject=clause.subject, verb=clause.verb, place=goal, time=clause.time)
    assert say(moving.german("main")[0]) == "der Arzt ist gestern nach Berlin gereist"


def test_zu_goes_between_prefix_and_stem() -> None:
    opening = [say(tokens) for tokens in to_infinitive(verb("open"), "k")]  # type: ignore[arg-type]
    assert opening == ["zu öffnen", "aufzumachen"]


def test_verbs_agree_with_their_subject() -> None:
    subjects: dict[str, Phrase] = {
        a: Phrase(words=(), german=((),), agreement=a)
        for a in ("first", "third", "plural")  # type: ignore[arg-type]
    }
    told = [
        verb_group("v", Dice("x"), verb("forget"), s, "present", negated=False)
        for s in subjects.values()  # type: ignore[arg-type]
    ]
    assert [g.forms[0].finite.text for g in told] == ["vergesse", "vergisst", "vergessen"]
    assert [g.words[0].text for g in told] == ["forget", "forgets", "forget"]


def test_every_kind_that_a_verb_asks_for_has_nouns() -> None:
    kinds = {noun.kind for noun in OBJECTS}
    assert all(kind in kinds for v in TRANSITIVES for kind in v.kinds)
    assert len(PERSONS) > 20
    assert len(MOTIONS) > 3
