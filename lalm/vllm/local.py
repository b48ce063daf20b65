"""`vllm.LLM` in this process: one thread steps the engine, so its batch stays full while others prepare requests.

When the engine dies (an exception in a step, or its own process where it has one), it is built again.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from lalm.adapters import adapter_digest
from lalm.batching import answer_ids
from lalm.engine import Answer, AnyRequest, GenerateRequest
from lalm.errors import EngineError
from lalm.loading import SAMPLE_RATE_HZ
from lalm.vllm.answers import Candidates, generation, refusal, sampling_parameters, score
from lalm.vllm.memory import GpuMemory
from lalm.vllm.replica import ReplicaError

STOP = None


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """A request for the stepping thread, and where its answer goes (on the event loop's thread)."""

    request: AnyRequest
    adapter: Path | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def settle(self, result: Any) -> None:
        self.loop.call_soon_threadsafe(self._settle, result)

    def _settle(self, result: Any) -> None:
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class LocalReplica:
    """A `Replica` around what `make_llm` makes; made at once, so that a wrong model fails early.

    `gpus` are those whose memory must be back when it is closed.
    """

    name = "vllm in this process"

    def __init__(
        self, make_llm: Callable[[], Any], stop_ids: tuple[int, ...], *, gpus: Sequence[str] = ()
    ) -> None:
        self._make_llm = make_llm
        self._stop_ids = stop_ids
        self._adapter_numbers: dict[str, int] = {}
        self._memory = GpuMemory(gpus)
        self._memory.remember()
        self._stepper = _Stepper(self._make_llm(), self._lora, stop_ids)

    async def answer(self, request: AnyRequest, adapter: Path | None) -> Answer:
        """Answer one request; ReplicaError(lost=True) when the engine dies meanwhile."""
        loop = asyncio.get_running_loop()
        order = _Order(request, adapter, loop, loop.create_future())
        self._stepper.put(order)
        answer: Answer = await order.future
        return answer

    async def healthy(self) -> bool:
        """Whether the stepping thread is alive."""
        return self._stepper.is_alive()

    async def revive(self) -> None:
        """Build the engine again; EngineError when that fails."""
        self._stepper.release()
        try:
            llm = await asyncio.to_thread(self._make_llm)
        except Exception as error:
            raise EngineError(f"{self.name} died and cannot be started again: {error}") from error
        self._stepper = _Stepper(llm, self._lora, self._stop_ids)

    async def close(self) -> None:
        """End the engine; returns when its memory is back."""
        await asyncio.to_thread(self._stepper.stop)
        self._stepper.release()
        await asyncio.to_thread(self._memory.wait_until_free)

    def _lora(self, adapter: Path | None) -> Any:
        """vLLM's request for an adapter; equal adapters have equal numbers wherever they lie."""
        if adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        digest = adapter_digest(adapter)
        number = self._adapter_numbers.setdefault(digest, len(self._adapter_numbers) + 1)
        return LoRARequest(digest[:16], number, str(adapter))


class _Stepper:
    """The thread that owns the engine: takes orders, steps, hands answers back."""

    def __init__(self, llm: Any, lora: Callable[[Path | None], Any], stop_ids: tuple[int, ...]) -> None:
        self._llm = llm
        self._lora = lora
        self._stop_ids = stop_ids
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._working: dict[str, _Order] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._dead: ReplicaError | None = None
        self._thread = threading.Thread(target=self._main, name="vllm-stepper", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._dead is None and self._thread.is_alive()

    def put(self, order: _Order) -> None:
        with self._lock:  # between the last order taken and the death of the thread there is no gap
            if self._dead is not None:
                order.settle(self._dead)
            else:
                self._orders.put(order)

    def stop(self) -> None:
        self._orders.put(STOP)
        self._thread.join()

    def release(self) -> None:
        """Shut the engine down and drop it, so that another may have its memory."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        llm.llm_engine.engine_core.shutdown()
        del llm
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()
        gc.collect()

    def _main(self) -> None:
        try:
            while self._take_orders():
                self._step()
            self._die(ReplicaError("the engine was closed", lost=False))
        except Exception as error:  # noqa: BLE001 - whatever kills the engine is the fleet's to judge
            self._die(ReplicaError(f"{type(error).__name__}: {error}", lost=True))

    def _die(self, failure: ReplicaError) -> None:
        with self._lock:
            self._dead = failure
        orders = list(self._working.values())
        while not self._orders.empty():
            if (order := self._orders.get()) is not STOP:
                orders.append(order)
        for order in orders:
            order.settle(failure)

    def _take_orders(self) -> bool:
        """Add every waiting order, and wait for one when there is nothing to do; False: time to stop."""
        while not self._working or not self._orders.empty():
            order = self._orders.get()
            if order is STOP:
                return False
            self._add(order)
        return True

    def _add(self, order: _Order) -> None:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        request = order.request
        prompt = TokensPrompt(
            prompt_token_ids=[*request.prompt_ids, *answer_ids(request)],
            multi_modal_data={"audio": [(request.audio.waveform, SAMPLE_RATE_HZ)]},
        )
        params = SamplingParams(**sampling_parameters(request, self._stop_ids), flat_logprobs=True)
        number = str(next(self._numbers))
        try:
            engine_input = self._llm.renderer.render_cmpl([prompt])[0]
            self._llm.llm_engine.add_request(
                number, engine_input, params, lora_request=self._lora(order.adapter)
            )
        except ValueError as error:  # vLLM's word for a request it will not take
            order.settle(refusal(request, str(error)))
            return
        self._working[number] = order

    def _step(self) -> None:
        for output in self._llm.llm_engine.step():
            if output.finished:
                order = self._working.pop(output.request_id)
                order.settle(self._read(order.request, output))

    def _read(self, request: AnyRequest, output: Any) -> Answer:
        if isinstance(request, GenerateRequest):
            (choice,) = output.outputs
            return generation(choice.token_ids, [_candidates(p) for p in choice.logprobs], self._stop_ids)
        positions = output.prompt_logprobs[-len(request.continuation_ids) :]
        return score(request.continuation_ids, [_candidates(position) for position in positions])


def _candidates(position: Any) -> Candidates:
    return {token: (entry.logprob, entry.rank) for token, entry in position.items()}
