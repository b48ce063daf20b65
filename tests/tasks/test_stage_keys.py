"""Whatever decides a stage's output is in its key: a changed setting is never answered with an older output."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from augment.corpora import open_corpus
from evaluate.config import EvaluateConfig
from evaluate.long_form import LongFormConfig
from evaluate.policies import SimulSA, WaitK
from tasks.dataset import assemble_dataset_shard, generate_shard, select_utterances, truncate_shard
from tasks.evaluate import SpokenSet, score_systems, stream_system
from tasks.finetune import finetune_system
from tasks.store import Manifest, StoredFile, stage_key
from tests.support.stages import (
    DATASET,
    EVALUATE,
    FINETUNE,
    PARTIAL,
    PROVENANCE,
    TRUNCATE,
    Bench,
    call,
    make_bench,
)
from train.config import FinetuneConfig


def test_changed_settings_are_misses(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    ws, corpus, prompt = (
        bench.workspace,
        open_corpus(bench.corpus, "train"),
        bench.workspace.prompt("en", "de"),
    )
    selection = call(select_utterances, ws, corpus, "train", TRUNCATE, DATASET.n_shards)
    cut = call(truncate_shard, ws, corpus, selection, 0, TRUNCATE)
    target = call(generate_shard, ws, cut, PARTIAL, prompt)
    call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, DATASET)
    strict = DATASET.model_copy(update={"quality": DATASET.quality.model_copy(update={"min_words": 5})})
    others = [
        call(
            select_utterances,
            ws,
            corpus,
            "train",
            TRUNCATE.model_copy(update={"fraction": 0.4}),
            DATASET.n_shards,
        ),
        call(truncate_shard, ws, corpus, selection, 0, TRUNCATE.model_copy(update={"of": "removed"})),
        call(generate_shard, ws, cut, PARTIAL.model_copy(update={"rule": "threshold"}), prompt),
        call(generate_shard, ws, cut, PARTIAL, ws.prompt("en", "fr")),
        call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, strict),
    ]
    ws.close()
    assert [made.stage for made in others if made.cached] == []


FINETUNING: dict[str, Any] = {
    "steps": 3, "batch_size": 8, "accumulation": 2, "processes": 2, "learning_rate": 1e-3, "warmup_ratio": 0.2,
    "weight_decay": 0.1, "max_grad_norm": 2.0, "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.1,
    "target_modules": ("q_proj",), "augmented_weight": 0.5, "checkpoint_every": 7, "precision": "bf16",
}  # fmt: skip
"""Every setting of a fine-tuning, and another value for it."""
STREAMING: dict[str, Any] = {
    "unit": "char", "max_new_tokens_per_step": 7, "max_new_tokens_offline": 13, "long_form": LongFormConfig(),
}  # fmt: skip
SCORING: dict[str, Any] = {
    "unit": "char", "bootstrap_resamples": 21, "bootstrap_seed": 1, "confidence": 0.9, "laal_points": (500.0,),
}  # fmt: skip
WHICH_STAGES = {
    "split", "max_utterances", "chunk_ms", "base_chunk_ms", "policies", "include_offline", "timed", "comet",
}  # fmt: skip
"""Settings that say which utterances and points there are; these are arguments of the stages."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The key of a stage call, of which nothing is made."""
    ws = bench.workspace

    def ensure(stage: str, version: int, inputs: dict[str, Any], _write: object) -> Manifest:
        return a_manifest(stage_key(stage, version, inputs), stage)

    monkeypatch.setattr(ws.store, "ensure", ensure)
    return lambda task, *arguments: call(task, ws, *arguments).key


def a_manifest(key: str, stage: str = "stream") -> Manifest:
    return Manifest(
        key=key, stage=stage, version=1, attempt="a", files={}, info={"digest": f"of {key}"}, inputs={},
        directory=Path(key),
    )  # fmt: skip


def with_other_traces(made: Manifest) -> Manifest:
    return replace(made, files={"traces.jsonl": StoredFile(sha256="0", num_bytes=0)})


def evaluation(changes: dict[str, Any]) -> EvaluateConfig:
    return EVALUATE.model_copy(update=changes)


def test_every_setting_of_a_fine_tuning_is_in_its_key(bench: Bench, key: Callable[..., str]) -> None:
    assert FINETUNING.keys() == FinetuneConfig.model_fields.keys(), "a new setting needs a line here"
    corpus, prompt, dataset = (
        open_corpus(bench.corpus, "train"),
        bench.workspace.prompt("en", "de"),
        a_manifest("d"),
    )

    def tuned(**changes: Any) -> str:
        config = FINETUNE.model_copy(update=changes)
        return key(finetune_system, "simulsa", corpus, "train", dataset, config, prompt)

    keys = {name: tuned(**{name: value}) for name, value in FINETUNING.items()}
    assert len({tuned(), *keys.values()}) == 1 + len(FINETUNING)


def test_what_a_fine_tuning_is_given_is_in_its_key(
    bench: Bench, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = bench.workspace
    corpus, other = open_corpus(bench.corpus, "train"), open_corpus(bench.corpus, "test")
    german, french = ws.prompt("en", "de"), ws.prompt("en", "fr")
    one, two = a_manifest("d"), a_manifest("e")
    keys = [
        key(finetune_system, "simulsa", corpus, "train", one, FINETUNE, german),
        key(finetune_system, "simulsa", other, "train", one, FINETUNE, german),
        key(finetune_system, "simulsa", corpus, "test", one, FINETUNE, german),
        key(finetune_system, "simulsa", corpus, "train", two, FINETUNE, german),
        key(finetune_system, "control", corpus, "train", None, FINETUNE, german),
        key(finetune_system, "simulsa", corpus, "train", one, FINETUNE, french),
    ]
    monkeypatch.setattr(ws, "seed", 8)
    keys.append(key(finetune_system, "simulsa", corpus, "train", one, FINETUNE, german))
    monkeypatch.setattr(ws, "model", ws.model.model_copy(update={"dtype": "bfloat16"}))
    keys.append(key(finetune_system, "simulsa", corpus, "train", one, FINETUNE, german))
    assert len(set(keys)) == len(keys)


def test_a_control_has_no_augmented_rows_to_weigh(bench: Bench, key: Callable[..., str]) -> None:
    corpus, prompt = open_corpus(bench.corpus, "train"), bench.workspace.prompt("en", "de")
    heavier = FINETUNE.model_copy(update={"augmented_weight": 0.5})
    one, other = (
        key(finetune_system, "control", corpus, "train", None, config, prompt)
        for config in (FINETUNE, heavier)
    )
    assert one == other


def test_every_setting_of_an_evaluation_is_in_a_key_or_says_which_stages_there_are() -> None:
    assert {*STREAMING, *SCORING, *WHICH_STAGES} == EvaluateConfig.model_fields.keys(), (
        "say of a new setting whether traces or scores depend on it; where it is null nothing may"
    )


def test_a_streams_key_holds_what_decides_its_traces_and_nothing_else(
    bench: Bench, key: Callable[..., str]
) -> None:
    ws, corpus = bench.workspace, open_corpus(bench.corpus, "test")
    german, french = ws.prompt("en", "de"), ws.prompt("en", "fr")

    def streamed(
        changes: dict[str, Any] | None = None, *, chunk_ms: int | None = 800, prompt: Any = german,
        tgt_lang: str = "de", policy: Any = None, config: EvaluateConfig = EVALUATE,
    ) -> str:  # fmt: skip
        config = config.model_copy(update=changes or {})
        return key(
            stream_system, SpokenSet(corpus, config), None, chunk_ms, config, prompt, tgt_lang,
            policy or SimulSA(),
        )  # fmt: skip

    same = streamed()
    others = [streamed({name: value}) for name, value in STREAMING.items()]
    others += [
        streamed({"max_utterances": 2}), streamed(chunk_ms=None), streamed(chunk_ms=400), streamed(prompt=french),
        streamed(tgt_lang="fr"), streamed(policy=WaitK(k=1)), streamed(policy=WaitK(k=2)),
        streamed({"long_form": LongFormConfig(pause_ms=300)}),
    ]  # fmt: skip
    assert len({same, *others}) == 1 + len(others)
    only_scores = {name: value for name, value in SCORING.items() if name not in STREAMING}
    assert {streamed({name: value}) for name, value in only_scores.items()} == {same}


def test_another_adapter_model_or_recording_is_another_stream(
    bench: Bench, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ws, corpus, prompt = (
        bench.workspace,
        open_corpus(bench.corpus, "test"),
        bench.workspace.prompt("en", "de"),
    )
    spoken = SpokenSet(corpus, EVALUATE)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")

    def streamed(adapter: Path | None = None) -> str:
        return key(stream_system, spoken, adapter, 800, EVALUATE, prompt, "de")

    keys = [streamed(), streamed(tmp_path)]
    heard = corpus.audio_path(spoken.utterances[0])
    whole = heard.read_bytes()
    heard.write_bytes(whole + b"more")
    keys.append(streamed())
    heard.write_bytes(whole)
    for part in ws.identity:
        with monkeypatch.context() as patch:
            patch.setitem(ws.identity, part, "another")
            keys.append(streamed())
    assert len(set(keys)) == 3 + len(ws.identity)


def test_a_scores_key_holds_what_scores_depend_on_and_nothing_else(
    bench: Bench, key: Callable[..., str]
) -> None:
    spoken = SpokenSet(open_corpus(bench.corpus, "test"), EVALUATE)
    others = {u.id: ("anders",) for u in spoken.utterances}
    rephrased = SpokenSet(open_corpus(bench.corpus, "test"), EVALUATE, others)
    traces = {"simulsa": [a_manifest("t")]}

    def scored(
        changes: dict[str, Any] | None = None, *, heard: SpokenSet = spoken, made: Any = traces,
        tgt_lang: str = "de", ceiling: Any = None, **beside: Any,
    ) -> str:  # fmt: skip
        return key(
            score_systems, heard, made, evaluation(changes or {}), tgt_lang, ceiling, beside.get("policies"),
            beside.get("timed"), beside.get("neural", ()),
        )  # fmt: skip

    same = scored()
    changed = [scored({name: value}) for name, value in SCORING.items()]
    changed += [
        scored(made={"simulsa": [with_other_traces(a_manifest("t"))]}),
        scored(heard=rephrased), scored(tgt_lang="fr"), scored(made={"base": [a_manifest("t")]}),
        scored(made={"simulsa": []}), scored(ceiling={"u": ("text", (1.0,))}),
        scored(policies={"base+wait-k": [("k=1", a_manifest("p"))]}),
        scored(policies={"base+wait-k": [("k=2", a_manifest("p"))]}), scored(timed=traces),
        scored(neural=[a_manifest("n")]), scored(neural=[with_other_traces(a_manifest("n"))]),
    ]  # fmt: skip
    assert len({same, *changed}) == 1 + len(changed)
    rest = {name: value for name, value in STREAMING.items() if name not in SCORING}
    assert {scored({name: value}) for name, value in rest.items()} == {same}
    assert scored({"chunk_ms": (400,), "split": "dev", "max_utterances": 2}) == same


def test_what_cuts_japanese_is_in_a_scores_key_and_others_keep_theirs(
    bench: Bench, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = SpokenSet(open_corpus(bench.corpus, "test"), EVALUATE)
    keys = set()
    for installed in (True, False):
        monkeypatch.setattr("evaluate.quality.find_spec", lambda _name, found=installed: found or None)
        for lang in ("ja", "de"):
            keys.add((lang, key(score_systems, spoken, {"simulsa": [a_manifest("t")]}, EVALUATE, lang, None)))
    assert sorted(lang for lang, _ in keys) == ["de", "ja", "ja"]
