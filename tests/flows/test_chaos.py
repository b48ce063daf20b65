"""Two seeds of benchmarks/chaos.py: a run whose process dies, and one whose machine does, end with equal results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.chaos import Seed, undisturbed
from benchmarks.chaos_site import IN_FLIGHT, Outcome, Site, site
from tests.support.postgres import require_postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_postgres()
    with site(tmp_path_factory.mktemp("chaos")) as parts:
        yield parts


@pytest.fixture(scope="module")
def expected(parts: Site) -> tuple[Outcome, int]:
    return undisturbed(parts)


@pytest.mark.parametrize(("number", "kind"), [(1, "flow"), (2, "worker and flow")])
def test_a_killed_run_is_complete_after_the_documented_recovery(
    parts: Site, expected: tuple[Outcome, int], number: int, kind: str
) -> None:
    outcome, total = expected
    seed = Seed(number, kind, total).run(parts)
    assert seed.struck, "the run ended before the kill: the test proves nothing"
    assert seed.outcome == outcome
    assert seed.outcome.commits == 1
    assert seed.recorded_again == 0
    assert seed.begun_again <= IN_FLIGHT
