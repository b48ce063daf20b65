"""What our generation stage costs over the bare engine, and what verification saves over generating and comparing.

    python benchmarks/generation.py --utterances 500

Everything runs side by side on the same truncated utterances of the toy corpus, with the micro LALM. The bare engine
is `vllm.LLM` given all requests at once; ours is the stage as a run has it: shards read and written, records flushed
to disk, near ties scored again alone. Predictions: 1.05 for the stage, since a record is 200 bytes and a request some
milliseconds; verification faster than decoding by about the tokens of a draft over the cost of a prefill in steps.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from cyclopts import App

from augment.audio import decode_flac
from augment.corpora import open_corpus
from augment.partial import PartialConfig
from augment.records import read_records
from augment.schema import PartialTarget, TruncatedUtterance
from augment.truncate import TruncateConfig
from demo.corpus import build_corpus
from flows.config import RunConfig, load_config
from flows.demo_inputs import resolve_model
from lalm.engine import AudioClip, Engine, GenerateRequest, Generation, ScoreRequest
from lalm.engine_config import EngineConfig
from lalm.loading import LoadedModel, load_model
from lalm.prompts import Prompt
from lalm.vllm.answers import sampling_parameters
from lalm.vllm.engine import VllmEngine
from lalm.vllm.environment import engine_arguments, set_variables
from lalm.vllm.fleet import Fleet
from lalm.vllm.local import LocalReplica
from lalm.vllm.opening import open_vllm, vllm_identity, vocab_size
from lalm.vllm.plugin import register
from tasks.accelerator import Accelerator
from tasks.audio_pack import read_audio
from tasks.dataset import generate_shard, select_utterances, truncate_shard
from tasks.store import Manifest, Store
from tasks.workspace import Workspace

app = App(help=__doc__)
N_SHARDS = 4
ENGINE = EngineConfig(kind="vllm", max_in_flight=64)
PARTIAL = PartialConfig(max_new_tokens=64)
TRUNCATE = TruncateConfig(fraction=1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """One truncated utterance: its full and its kept audio, as the stage asks them."""

    id: str
    full: AudioClip
    kept: AudioClip


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of every repetition of one way, and what one repetition did."""

    name: str
    seconds: list[float]
    utterances: int
    audio_s: float
    prefilled: int = 0
    decoded: int = 0
    occupancy: float | None = None

    def print(self) -> None:
        mid, tokens = median(self.seconds), self.prefilled + self.decoded
        print(
            f"{self.name:<46}{mid:7.2f} s {self.utterances / mid:7.1f} utterances/s {self.audio_s / mid:7.1f} audio s/s"
            + (f" {tokens / mid:8.0f} tokens/s, {self.prefilled / tokens:.0%} prefill" if tokens else "")
            + (f", occupancy {self.occupancy:.0%}" if self.occupancy is not None else "")
        )


class Borrowed(Accelerator):
    """An accelerator whose engine belongs to the benchmark, which asks it directly too."""

    def __init__(self, run: RunConfig, engine: Engine, logs: Path) -> None:
        super().__init__(ENGINE, run.model, logs)
        self._given = engine

    def _open(self, *_: Any) -> Engine:
        return self._given

    def _close_engine(self) -> None:
        return


@app.default
def main(*, utterances: int = 500, repeats: int = 3, work: Path = Path("outputs/bench-generation")) -> None:
    """Print every way's figures and the ratios of their medians."""
    run = resolve_model(load_config("demo"))
    build_corpus(work / "corpus", num_train=utterances, num_dev=1, num_test=1, progress=True)
    run = run.model_copy(update={"corpus": run.corpus.model_copy(update={"root": str(work / "corpus")})})
    shutil.rmtree(work / "store", ignore_errors=True)
    ws = Workspace(store=Store(work / "store"), model=run.model, engine=ENGINE, seed=7)
    cuts, prompt = truncated(ws, run), ws.prompt("en", "de")
    cases = [case for cut in cuts for case in cases_of(cut)]
    llm = make_llm(ws)
    fleet = Fleet([LocalReplica(lambda: llm, prompt.stop_ids)], max_in_flight=64, patience_s=60)
    engine = VllmEngine(
        fleet, identity=vllm_identity(ENGINE, run.model, ws.info), window_samples=ws.info.window_samples,
        audio_id=ws.info.family and ws.tokenizer.convert_tokens_to_ids(ws.info.family.audio_token),
        vocab_size=vocab_size(ws.info),
    )  # fmt: skip
    warm(engine, prompt, cases[:8])
    compare_stage(run, work, llm, engine, cuts, cases, prompt, repeats)
    compare_verification(llm, engine, cases, prompt, repeats)
    engine.close()
    compare_server(run, ws, cases[:100], prompt)


def truncated(ws: Workspace, run: RunConfig) -> list[Manifest]:
    """The cuts of every utterance, a manifest per shard."""
    corpus = open_corpus(run.corpus, "train")
    selection = stage(select_utterances, ws, corpus, "train", TRUNCATE, N_SHARDS)
    return [stage(truncate_shard, ws, corpus, selection, i, TRUNCATE) for i in range(N_SHARDS)]


def stage(task: Any, ws: Workspace, *arguments: Any) -> Manifest:
    """A stage function without a flow engine."""
    ws.begin(task.name)
    made: Manifest = task.fn.__wrapped__(ws, *arguments)
    return made


def cases_of(cut: Manifest) -> list[Case]:
    flacs = read_audio(cut.path("audio.parquet"))
    cases = []
    for record in read_records(cut.path("truncated.parquet"), TruncatedUtterance):
        waveform = decode_flac(flacs[record.utterance.id])
        kept = AudioClip(key=record.kept_sha256, waveform=waveform[: record.kept_samples])
        cases.append(Case(record.id, AudioClip(key=record.audio_sha256, waveform=waveform), kept))
    return cases


def make_llm(ws: Workspace) -> Any:
    """`vllm.LLM` as our engine makes it, plugin included."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    set_variables(ENGINE, device)
    from vllm import LLM

    register()
    directory = ws.info.directory
    assert directory is not None
    return LLM(**engine_arguments(ENGINE, ws.model, directory, device))


def compare_stage(
    run: RunConfig, work: Path, llm: Any, engine: VllmEngine, cuts: list[Manifest], cases: list[Case],
    prompt: Prompt, repeats: int,
) -> None:  # fmt: skip
    """The stage against the bare engine: draft every utterance from its full audio, score it on the kept audio."""
    bare, ours, busy_s, ties = [], [], [], 0
    for number in range(repeats):
        forget(llm)
        seconds, drafts, counts = bare_engine(llm, cases, prompt)
        bare.append(seconds)
        forget(llm)
        ws = Workspace(store=Store(work / "store" / f"run-{number}"), model=run.model, engine=ENGINE, seed=7)
        ws.accelerator = Borrowed(run, engine, work / "logs")
        before = engine.fleet.busy_s
        seconds, targets = our_stage(ws, cuts, prompt)
        ours.append(seconds)
        busy_s.append(engine.fleet.busy_s - before)
        ties = sum(target.near_tie for target in targets)
        assert all(drafts[target.id] == target.draft_ids for target in targets), "both must draft the same"
    audio_s = sum(len(c.full.waveform) + len(c.kept.waveform) for c in cases) / 16_000
    occupancy = median(b / (s * engine.fleet.num_slots) for b, s in zip(busy_s, ours, strict=True))
    Timing("bare vllm.LLM, all requests at once", bare, len(cases), audio_s, *counts).print()
    Timing("our generation stage", ours, len(cases), audio_s, *counts, occupancy=occupancy).print()
    print(f"=> stage / bare engine: {median(ours) / median(bare):.3f} ({ties} near ties asked again alone)\n")


def bare_engine(
    llm: Any, cases: list[Case], prompt: Prompt
) -> tuple[float, dict[str, tuple[int, ...]], tuple[int, int]]:
    """Seconds for drafts and their scores, the drafts, and tokens (prefilled, decoded)."""
    begun = time.perf_counter()
    outputs = ask(llm, [(c.full, ()) for c in cases], prompt, draft_request(cases[0], prompt))
    drafts = {c.id: answer(o, prompt) for c, o in zip(cases, outputs, strict=True)}
    example = score_request(cases[0], prompt, (0,))
    scored = ask(llm, [(c.kept, drafts[c.id]) for c in cases if drafts[c.id]], prompt, example)
    seconds = time.perf_counter() - begun
    prefilled = sum(len(o.prompt_token_ids) for o in [*outputs, *scored])
    return seconds, drafts, (prefilled, sum(len(o.outputs[0].token_ids) for o in outputs) + len(scored))


def ask(
    llm: Any, asked: Sequence[tuple[AudioClip, tuple[int, ...]]], prompt: Prompt, like: GenerateRequest | ScoreRequest
) -> list[Any]:  # fmt: skip
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt

    prompts = [
        TokensPrompt(
            prompt_token_ids=[*prompt.ids, *given], multi_modal_data={"audio": [(clip.waveform, 16_000)]}
        )
        for clip, given in asked
    ]
    params = SamplingParams(**sampling_parameters(like, prompt.stop_ids), flat_logprobs=True)
    outputs: list[Any] = llm.generate(prompts, params, use_tqdm=False)
    return outputs


def answer(output: Any, prompt: Prompt) -> tuple[int, ...]:
    ids = tuple(output.outputs[0].token_ids)
    return ids[:-1] if ids and ids[-1] in prompt.stop_ids else ids


def our_stage(ws: Workspace, cuts: list[Manifest], prompt: Prompt) -> tuple[float, list[PartialTarget]]:
    """Seconds for all shards, two at a time, and their targets."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda cut: stage(generate_shard, ws, cut, PARTIAL, prompt), cuts))
    seconds = time.perf_counter() - begun
    ws.close()
    return seconds, [t for shard in made for t in read_records(shard.path("partial.parquet"), PartialTarget)]


def compare_verification(llm: Any, engine: Engine, cases: list[Case], prompt: Prompt, repeats: int) -> None:
    """One prefill per draft against generating from the kept audio and comparing, for the same drafts.

    Batched, with the audio to be encoded and with its encodings at hand; and one request at a time, as a loop has it.
    """
    drafts = {
        id: made.token_ids
        for id, made in engine.generate(draft_request(case, prompt) for case in cases)
        if isinstance(made, Generation) and made.token_ids
    }
    drafted = [case for case in cases if case.id in drafts]
    scores = [score_request(case, prompt, drafts[case.id]) for case in drafted]
    again = [
        replace(draft_request(case, prompt), audio=case.kept, max_new_tokens=len(drafts[case.id]))
        for case in drafted
    ]
    length = sum(map(len, drafts.values())) / len(drafts)
    print(f"verification of {len(drafted)} drafts of {length:.1f} tokens on average:")
    few_scores, few = ([replace(r, alone=True) for r in requests[:64]] for requests in (scores, again))
    for name, verify, generate, cold in (
        ("in batches, audio encoded too", lambda: engine.score(scores), lambda: engine.generate(again), True),
        (
            "in batches, audio encoded before",
            lambda: engine.score(scores),
            lambda: engine.generate(again),
            False,
        ),
        ("one at a time", lambda: engine.score(few_scores), lambda: engine.generate(few), False),
    ):
        verify_s, generate_s = compare_two(verify, generate, repeats, (lambda: forget(llm)) if cold else None)
        print(f"  {name:<34} verify {verify_s:6.2f} s, generate and compare {generate_s:6.2f} s")
        print(f"  => generate-then-compare / verify: {generate_s / verify_s:.2f}")


def compare_two(
    one: Callable[[], Iterable[object]],
    other: Callable[[], Iterable[object]],
    repeats: int,
    before: Callable[[], object] | None,
) -> tuple[float, float]:
    """Median seconds of both, in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for way, column in zip((one, other), seconds, strict=True):
            if before is not None:
                before()
            begun = time.perf_counter()
            list(way())
            column.append(time.perf_counter() - begun)
    return median(seconds[0]), median(seconds[1])


def compare_server(run: RunConfig, ws: Workspace, cases: list[Case], prompt: Prompt) -> None:
    """One server, all requests in flight, against `transformers.generate` one utterance at a time."""
    loaded = load_model(run.model)
    begun = time.perf_counter()
    naive = {case.id: naive_generate(loaded, case, prompt) for case in cases}
    naive_s = time.perf_counter() - begun
    server = open_vllm(
        ENGINE.model_copy(update={"kind": "vllm-server"}), run.model, ws.info, loaded.processor,
        logs=ws.store.root / "logs",
    )  # fmt: skip
    try:
        warm(server, prompt, cases[:4])
        begun = time.perf_counter()
        made = dict(server.generate(draft_request(case, prompt) for case in cases))
        server_s = time.perf_counter() - begun
    finally:
        server.close()
    same = sum(isinstance(m, Generation) and m.token_ids == naive[id] for id, m in made.items())
    audio_s = sum(len(case.full.waveform) for case in cases) / 16_000
    Timing("transformers.generate, one at a time", [naive_s], len(cases), audio_s).print()
    Timing("one vLLM server over HTTP", [server_s], len(cases), audio_s).print()
    print(f"=> naive loop / server: {naive_s / server_s:.2f} ({same} of {len(cases)} texts equal)")


@torch.inference_mode()
def naive_generate(loaded: LoadedModel, case: Case, prompt: Prompt) -> tuple[int, ...]:
    text = loaded.tokenizer.decode(list(prompt.ids), skip_special_tokens=False)
    inputs = loaded.processor(
        text=text, audio=case.full.waveform, sampling_rate=16_000, return_tensors="pt"
    ).to(loaded.device)
    output = loaded.model.generate(
        **inputs, max_new_tokens=PARTIAL.max_new_tokens, do_sample=False, eos_token_id=list(prompt.stop_ids),
        pad_token_id=0,
    )  # fmt: skip
    ids = tuple(output[0, inputs["input_ids"].shape[1] :].tolist())
    return ids[:-1] if ids and ids[-1] in prompt.stop_ids else ids


def draft_request(case: Case, prompt: Prompt) -> GenerateRequest:
    return GenerateRequest(
        request_id=case.id, prompt_ids=prompt.ids, audio=case.full, max_new_tokens=PARTIAL.max_new_tokens
    )


def score_request(case: Case, prompt: Prompt, draft: tuple[int, ...]) -> ScoreRequest:
    return ScoreRequest(request_id=case.id, prompt_ids=prompt.ids, audio=case.kept, continuation_ids=draft)


def warm(engine: Engine, prompt: Prompt, cases: list[Case]) -> None:
    list(engine.generate(draft_request(case, prompt) for case in cases))


def forget(llm: Any) -> None:
    """Empty every cache of vLLM, so that no way profits from what another computed."""
    llm.reset_prefix_cache()
    llm.llm_engine.reset_mm_cache()
    llm.llm_engine.reset_encoder_cache()


if __name__ == "__main__":
    app()
