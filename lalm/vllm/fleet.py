"""Requests spread over replicas so that each is answered exactly once, whatever a replica does meanwhile.

A request goes to the healthy replica with the fewest outstanding ones. A replica that fails is taken out until its
health check passes. When one dies, a request may have killed it: those it held are bisected, each half alone on a
replica, until a request that kills its replica twice with nothing beside it becomes a `Failure`; all others are
answered. Knows neither HTTP nor vLLM, and lives on an event loop of its own so that many threads may ask.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lalm.engine import Answer, AnyRequest, Failure
from lalm.errors import EngineError
from lalm.vllm.replica import BusyError, Replica, ReplicaError

MAX_ERRORS = 6
"""Server errors after which a request is given up; with the waits between them that is over 15 seconds."""
MAX_STRIKES = 2
"""Deaths of a replica that worked on nothing else."""
MAX_DEATHS_IN_A_ROW = 24
"""Enough to bisect a million requests; more without a single answer is not one request's fault."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0


@dataclass(slots=True, eq=False)
class _Ticket:
    """A request on its way; `deliver` is called once, on the loop's thread."""

    request: AnyRequest
    adapter: Path | None
    deliver: Callable[[Answer | Exception], None]
    errors: int = 0
    strikes: int = 0
    busy_since: float | None = None
    over: bool = False
    work: asyncio.Task[None] | None = None

    def finish(self, result: Answer | Exception) -> None:
        if not self.over:
            self.over = True
            self.deliver(result)


@dataclass(slots=True, eq=False)
class _Seat:
    """A replica's place in the fleet; `group` are tickets that have the replica for themselves."""

    replica: Replica
    ready: bool = True
    lost: EngineError | None = None
    group: bool = False
    working: set[_Ticket] = field(default_factory=set)
    failed: list[tuple[_Ticket, ReplicaError]] = field(default_factory=list)


class Fleet:
    """Replicas behind one queue. `run` may be called from any thread, and from several at once.

    `busy_s` adds up the seconds of all requests: divided by wall time and `num_slots` it is the batch occupancy.
    """

    def __init__(
        self, replicas: Sequence[Replica], *, max_in_flight: int, patience_s: float, name: str = "engine"
    ) -> None:
        self._seats = [_Seat(replica) for replica in replicas]
        self._max_in_flight = max_in_flight
        self._patience_s = patience_s
        self._queue: deque[_Ticket] = deque()
        self._groups: deque[list[_Ticket]] = deque()
        self._chores: set[asyncio.Task[None]] = set()
        self._deaths_in_a_row = 0
        self._healthy_at = time.monotonic()
        self._jitter = random.Random()  # noqa: S311 - spreads retries, decides no result
        self.busy_s = 0.0
        self.quarantined = 0
        self.revived = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{name}-fleet", daemon=True)
        self._thread.start()

    @property
    def num_slots(self) -> int:
        """How many requests the whole fleet works on at once."""
        return self._max_in_flight * len(self._seats)

    def run(self, requests: Iterable[AnyRequest], adapter: Path | None) -> Iterator[tuple[str, Answer]]:
        """Answer lazily given requests, in the order in which they complete.

        Raises EngineError when no replica can answer any more; what was yielded by then stays true.
        """
        answers: queue.SimpleQueue[tuple[_Ticket, Answer | Exception]] = queue.SimpleQueue()
        waiting: set[_Ticket] = set()
        iterator = iter(requests)
        try:
            while True:
                while len(waiting) < self.num_slots + 1 and (request := next(iterator, None)) is not None:
                    waiting.add(self._submit(request, adapter, answers))
                if not waiting:
                    return
                ticket, answer = self._next(answers)
                waiting.discard(ticket)
                if isinstance(answer, Exception):
                    raise answer
                yield ticket.request.request_id, answer
        finally:
            if waiting and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._cancel, waiting)

    def close(self) -> None:
        """Close every replica and end the thread; safe to call twice."""
        if self._loop.is_closed():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _submit(
        self, request: AnyRequest, adapter: Path | None, answers: queue.SimpleQueue[tuple[_Ticket, Answer | Exception]]
    ) -> _Ticket:  # fmt: skip
        ticket: _Ticket = _Ticket(request, adapter, lambda answer: answers.put((ticket, answer)))
        if self._loop.is_closed():
            raise EngineError("the engine is closed: open another")
        self._loop.call_soon_threadsafe(self._enqueue, ticket)
        return ticket

    def _next(
        self, answers: queue.SimpleQueue[tuple[_Ticket, Answer | Exception]]
    ) -> tuple[_Ticket, Answer | Exception]:
        while True:
            try:
                return answers.get(timeout=5.0)
            except queue.Empty:
                if not self._thread.is_alive():
                    raise EngineError("the engine was closed while requests were waiting") from None

    # What follows runs on the loop's thread only.

    def _enqueue(self, ticket: _Ticket) -> None:
        if not ticket.over:
            self._put(ticket)
            self._assign()

    def _put(self, ticket: _Ticket) -> None:
        if ticket.request.alone:
            self._groups.append([ticket])
        else:
            self._queue.append(ticket)

    def _assign(self) -> None:
        """Hand out what waits: groups to idle replicas, the rest to the least loaded one with room."""
        if all(seat.lost for seat in self._seats):
            self._fail_all(self._seats[0].lost)
            return
        ready = [seat for seat in self._seats if seat.ready]
        for seat in ready:
            if self._groups and not seat.working:
                self._give_group(seat, self._groups.popleft())
        open_seats = [seat for seat in ready if not seat.group]
        if self._groups and open_seats:  # the least loaded one takes nothing new until it is idle
            open_seats.remove(min(open_seats, key=lambda seat: len(seat.working)))
        while self._queue:
            room = [seat for seat in open_seats if len(seat.working) < self._max_in_flight]
            if not room:
                return
            ticket = self._queue.popleft()
            if not ticket.over:
                self._give(min(room, key=lambda seat: len(seat.working)), ticket)

    def _give_group(self, seat: _Seat, group: list[_Ticket]) -> None:
        for ticket in group:
            if not ticket.over:
                seat.group = True
                self._give(seat, ticket)

    def _give(self, seat: _Seat, ticket: _Ticket) -> None:
        seat.working.add(ticket)
        ticket.work = self._loop.create_task(self._work(seat, ticket))

    async def _work(self, seat: _Seat, ticket: _Ticket) -> None:
        begun = time.monotonic()
        try:
            answer = await seat.replica.answer(ticket.request, ticket.adapter)
        except BusyError as busy:
            self._wait_in_line(ticket, busy)
        except ReplicaError as failed:
            if seat.ready:
                self._healthy_at = time.monotonic()  # it was, until now: a long rest is no illness
            seat.ready = False
            seat.failed.append((ticket, failed))
        except asyncio.CancelledError:
            pass  # nobody waits for it any more
        except Exception as error:  # noqa: BLE001 - handed to the caller, whatever it is
            ticket.finish(error)
        else:
            self._deaths_in_a_row = 0
            self._healthy_at = time.monotonic()
            ticket.finish(answer)
        self.busy_s += time.monotonic() - begun
        seat.working.discard(ticket)
        if not seat.working:
            self._rest(seat)
        self._assign()

    def _rest(self, seat: _Seat) -> None:
        """A replica without work: its failures are judged when the last of them is known."""
        in_group, seat.group = seat.group, False
        failed, seat.failed = seat.failed, []
        if failed:
            self._chore(self._mend(seat, failed, in_group))

    async def _mend(self, seat: _Seat, failed: list[tuple[_Ticket, ReplicaError]], in_group: bool) -> None:
        """Judge the failures and wait for the replica; whatever else goes wrong loses it, and nobody waits for ever."""
        await self._judge(seat, failed, in_group)
        try:
            await self._wait_until_healthy(seat)
        except Exception as error:  # noqa: BLE001 - a replica that cannot be mended is lost, whatever the reason
            seat.lost = EngineError(f"{seat.replica.name} cannot be mended: {type(error).__name__}: {error}")
            self._assign()

    async def _judge(self, seat: _Seat, failed: list[tuple[_Ticket, ReplicaError]], in_group: bool) -> None:
        """Decide what the failures mean and give the tickets back."""
        died = any(failure.lost for _, failure in failed) or not await seat.replica.healthy()
        if died:
            for ticket, failure in failed:
                if not failure.reached:
                    self._put(ticket)
            if suspects := [ticket for ticket, failure in failed if failure.reached]:
                self._suspect(suspects, in_group, str(failed[0][1]))
        else:
            self._try_again([ticket for ticket, _ in failed], str(failed[0][1]))
        self._assign()

    def _suspect(self, tickets: list[_Ticket], in_group: bool, why: str) -> None:
        """Halve the tickets that a dead replica held; one that killed it alone has a strike against it."""
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > MAX_DEATHS_IN_A_ROW:
            error = EngineError(
                f"the engine died {self._deaths_in_a_row} times without one answer in between (last: {why}): no single "
                "request is the cause; look at its log"
            )
            for ticket in tickets:
                ticket.finish(error)
            self._fail_all(error)
            return
        if len(tickets) > 1:
            half = len(tickets) // 2
            self._groups.extend((tickets[:half], tickets[half:]))
            return
        (ticket,) = tickets
        ticket.strikes += in_group
        if ticket.strikes < MAX_STRIKES:
            self._groups.append([ticket])
            return
        self.quarantined += 1
        ticket.finish(
            Failure(
                reason="engine_died",
                detail=f"request {ticket.request.request_id}: the engine died {MAX_STRIKES} times while it worked on "
                f"this request alone ({why})",
            )
        )

    def _try_again(self, tickets: list[_Ticket], why: str) -> None:
        for ticket in tickets:
            ticket.errors += 1
            if ticket.errors < MAX_ERRORS:
                self._later(ticket, FIRST_WAIT_S * 2 ** (ticket.errors - 1))
                continue
            detail = f"request {ticket.request.request_id}: no answer in {MAX_ERRORS} tries ({why})"
            ticket.finish(Failure(reason="engine_error", detail=detail))

    def _wait_in_line(self, ticket: _Ticket, busy: BusyError) -> None:
        """Ask again later, but not for longer than patience lasts."""
        ticket.busy_since = ticket.busy_since or time.monotonic()
        if time.monotonic() - ticket.busy_since < self._patience_s:
            self._later(ticket, busy.retry_after_s)
            return
        ticket.finish(
            EngineError(
                f"the replicas have been too busy for {self._patience_s:.0f} s (engine.patience_s): lower "
                "engine.max_in_flight or add replicas, then run the same command: what was answered is kept"
            )
        )

    def _later(self, ticket: _Ticket, wait_s: float) -> None:
        self._loop.call_later(self._jitter.uniform(0.75, 1.25) * wait_s, self._enqueue, ticket)

    async def _wait_until_healthy(self, seat: _Seat) -> None:
        """Ask for the replica's health with growing waits; gives up only when the whole fleet has been ill too long."""
        wait_s = FIRST_WAIT_S
        while not await seat.replica.healthy():
            if self._is_over(seat):
                return
            try:
                await seat.replica.revive()
            except EngineError as error:
                seat.lost = error
                self._assign()
                return
            await asyncio.sleep(self._jitter.uniform(0.5, 1.0) * wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        seat.ready = True
        self.revived += 1
        self._assign()

    def _is_over(self, seat: _Seat) -> bool:
        if any(other.ready for other in self._seats):
            self._healthy_at = time.monotonic()
            return False
        ill_s = time.monotonic() - self._healthy_at
        if ill_s < self._patience_s:
            return False
        names = ", ".join(other.replica.name for other in self._seats)
        seat.lost = EngineError(
            f"no replica has been healthy for {ill_s:.0f} s (engine.patience_s {self._patience_s:.0f}): {names}; start "
            "them again, then run the same command: what was answered is kept"
        )
        self._assign()
        return True

    def _fail_all(self, error: EngineError | None) -> None:
        assert error is not None
        waiting = [*self._queue, *(ticket for group in self._groups for ticket in group)]
        self._queue.clear()
        self._groups.clear()
        for ticket in waiting:
            ticket.finish(error)

    def _cancel(self, tickets: Iterable[_Ticket]) -> None:
        for ticket in tickets:
            ticket.over = True
            if ticket.work is not None:
                ticket.work.cancel()

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _close(self) -> None:
        closed = EngineError("the engine was closed while requests were waiting")
        for seat in self._seats:  # nothing is handed out any more
            seat.ready, seat.lost = False, closed
        self._fail_all(closed)
        waiting = {ticket for seat in self._seats for ticket in seat.working}
        tasks = [*self._chores, *(ticket.work for ticket in waiting if ticket.work is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in waiting:
            ticket.finish(closed)
        ends = await asyncio.gather(*(seat.replica.close() for seat in self._seats), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
