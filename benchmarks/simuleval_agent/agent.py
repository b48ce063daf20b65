"""Our engine and policy behind SimulEval's agent interface, so that its evaluator drives the same model.

Runs in an environment of its own that has SimulEval 1.1.4 beside this repository; benchmarks/streaming.py starts it.
"""

from __future__ import annotations

import json
import time
import uuid
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
from simuleval.agents import SpeechToTextAgent
from simuleval.agents.actions import ReadAction, WriteAction
from simuleval.utils import entrypoint

from evaluate.config import EvaluateConfig
from evaluate.policies import Hypothesis
from flows.config import load_config
from flows.demo_inputs import resolve_model
from lalm.encodings import AudioEncodings
from lalm.engine import AudioClip, GenerateRequest, Generation
from lalm.loading import load_model
from lalm.prompts import build_prompt, decode
from lalm.transformers_engine import TransformersEngine

CONFIG = EvaluateConfig()


@entrypoint
class SimulsaAgent(SpeechToTextAgent):
    """SimulSA: at every segment of audio, write all that the model says until it ends its turn."""

    def __init__(self, args: Namespace) -> None:
        run = resolve_model(load_config("demo"))
        loaded = load_model(run.model)
        self._engine = TransformersEngine(loaded, encodings=AudioEncodings(max_bytes=0))
        self._tokenizer = loaded.tokenizer
        self._prompt = build_prompt(loaded, run.model, "en", "de")
        self._out = Path(args.seconds_file)
        self._begun_s = time.perf_counter()
        super().__init__(args)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        parser.add_argument("--seconds-file", required=True)

    def reset(self) -> None:
        super().reset()
        self._ids: tuple[int, ...] = ()

    def policy(self) -> ReadAction | WriteAction:
        last = self.states.source_finished
        request = GenerateRequest(
            request_id="u",
            prompt_ids=self._prompt.ids,
            audio=AudioClip(key=uuid.uuid4().hex, waveform=np.array(self.states.source, dtype=np.float32)),
            forced_ids=self._ids,
            max_new_tokens=CONFIG.max_new_tokens_offline if last else CONFIG.max_new_tokens_per_step,
        )
        [(_, said)] = self._engine.generate([request])
        assert isinstance(said, Generation), said
        before = decode(self._tokenizer, self._ids)
        self._ids += said.token_ids[: self._whole(said)]
        text = decode(self._tokenizer, self._ids)[len(before) :]
        self._out.write_text(json.dumps(time.perf_counter() - self._begun_s))
        return WriteAction(text.strip(), finished=last) if text or last else ReadAction()

    def _whole(self, said: Generation) -> int:
        """How many of the new ids end with a whole word."""
        hypothesis = Hypothesis(
            prefix=self._ids, ids=said.token_ids, finished=said.finish == "stop", tokenizer=self._tokenizer,
            tgt_lang="de",
        )  # fmt: skip
        return hypothesis.whole(len(said.token_ids))
