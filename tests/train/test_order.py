"""The data order is a function of seed and position, and a control differs only where rows are inserted."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from train.order import DataOrder, Draw, derived_seed

OFFLINE = [f"u{i}" for i in range(23)]
ROWS = ["r0", "r1", "r2"]


def draws(order: DataOrder, steps: int) -> list[Draw]:
    return [draw for step in range(steps) for draw in order.step(step)]


def make(
    rows: list[str], *, offline: list[str] = OFFLINE, seed: int = 0, weight: float | None = None
) -> DataOrder:
    return DataOrder(offline, rows, seed=seed, batch_size=8, weight=weight)


@given(st.integers(0, 2**32), st.floats(0.01, 1.0))
def test_a_control_differs_only_in_the_slots_that_hold_rows(seed: int, weight: float) -> None:
    control = draws(make([], seed=seed), 10)
    simulsa = draws(make(ROWS, seed=seed, weight=weight), 10)

    assert all(a == b for a, b in zip(control, simulsa, strict=True) if b.source == "offline")
    assert {draw.source for draw in control} == {"offline"}


@given(st.integers(0, 2**32), st.floats(0.001, 1.0), st.integers(0, 20), st.integers(1, 20))
def test_the_share_of_rows_is_exact_to_one_draw_in_any_stretch(
    seed: int, weight: float, first: int, steps: int
) -> None:
    order = make(ROWS, seed=seed, weight=weight)
    stretch = [draw for step in range(first, first + steps) for draw in order.step(step)]

    found = sum(draw.source == "augmented" for draw in stretch)
    assert abs(found - weight * len(stretch)) <= 1


@given(st.integers(0, 2**32))
def test_every_row_is_met_equally_often_to_within_one(seed: int) -> None:
    met = Counter(d.index for d in draws(make(ROWS, seed=seed, weight=0.3), 25) if d.source == "augmented")

    assert set(met) == {0, 1, 2}
    assert max(met.values()) - min(met.values()) <= 1


def test_an_epoch_holds_every_utterance_once_and_the_next_another_order() -> None:
    indices = [draw.index for draw in draws(make([]), 6)][: 2 * len(OFFLINE)]
    one, two = indices[: len(OFFLINE)], indices[len(OFFLINE) :]

    assert sorted(one) == sorted(two) == list(range(len(OFFLINE)))
    assert one != two


def test_without_a_declared_weight_rows_have_their_natural_share() -> None:
    assert make(ROWS).weight == 3 / 26
    assert make([], weight=0.5).weight == 0.0


def test_the_order_follows_ids_and_not_the_order_of_the_corpus() -> None:
    backwards = OFFLINE[::-1]

    one = [OFFLINE[draw.index] for draw in draws(make([]), 4)]
    two = [backwards[draw.index] for draw in draws(make([], offline=backwards), 4)]
    assert one == two


def test_seeds_give_different_orders() -> None:
    orders = [tuple(draws(make([], seed=seed), 2)) for seed in range(20)]
    assert len(set(orders)) == 20


def test_any_step_can_be_asked_first() -> None:
    order = make(ROWS, weight=0.2)
    late = order.step(40)
    _ = draws(order, 10)

    assert order.step(40) == late
    assert all(a != b for a, b in pairwise(order.step(step) for step in range(10)))


def test_seeds_for_different_purposes_never_meet() -> None:
    seeds = [
        derived_seed(s, purpose, i) for s in range(5) for purpose in ("lora", "dropout") for i in range(5)
    ]
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
