"""What vLLM is asked and what its log-probabilities mean: shared by the engine in this process and the one over HTTP.

Every sampling parameter is sent, because a server fills what is missing from the model's generation_config
(Qwen2-Audio: temperature 0.7, repetition penalty 1.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lalm.engine import AnyRequest, Failure, GenerateRequest, Generation, Score

NOT_FINITE = Failure(
    reason="output_not_finite",
    detail="the model computed NaN or infinite scores; its weights may be damaged or its dtype too narrow",
)
LOWEST_LOGPROB = -9000.0
"""Servers write NaN and -inf as -9999."""

Candidates = Mapping[int, tuple[float, int]]
"""Token id -> (log-probability, rank) of the tokens that vLLM reports at one position."""


def sampling_parameters(request: AnyRequest, stop_ids: Sequence[int]) -> dict[str, Any]:
    """Greedy decoding, or one prefill that scores its prompt and decodes the one token vLLM insists on.

    Two candidates a position are enough: a token's best rival is the first of them that is not the token.
    """
    greedy: dict[str, Any] = {
        "n": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": None, "min_tokens": 0,
        "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "ignore_eos": True, "stop_token_ids": list(stop_ids), "detokenize": False,
    }  # fmt: skip
    if isinstance(request, GenerateRequest):
        return greedy | {"max_tokens": request.max_new_tokens, "logprobs": 2}
    return greedy | {"max_tokens": 1, "prompt_logprobs": 2}


def generation(
    token_ids: Sequence[int], candidates: Sequence[Candidates], stop_ids: Sequence[int]
) -> Generation | Failure:
    """A finished greedy decoding; `candidates` has one entry per decoded token, the stop token included."""
    margins = [_margin(position) for position in candidates]
    if not all(math.isfinite(margin) for margin in margins):
        return NOT_FINITE
    ended = bool(token_ids) and token_ids[-1] in stop_ids
    return Generation(
        token_ids=tuple(token_ids[:-1] if ended else token_ids),
        finish="stop" if ended or len(candidates) > len(token_ids) else "length",
        min_margin=min(margins, default=math.inf),
    )


def score(continuation_ids: Sequence[int], candidates: Sequence[Candidates]) -> Score | Failure:
    """Evidence per continuation token from the candidates at its position."""
    own = [position[token] for token, position in zip(continuation_ids, candidates, strict=True)]
    if not all(math.isfinite(logprob) and logprob > LOWEST_LOGPROB for logprob, _ in own):
        return NOT_FINITE
    return Score(
        logprobs=tuple(logprob for logprob, _ in own),
        ranks=tuple(rank for _, rank in own),
        rival_logprobs=tuple(
            max(logprob for rival, (logprob, _) in position.items() if rival != token)
            for token, position in zip(continuation_ids, candidates, strict=True)
        ),
    )


def _margin(position: Candidates) -> float:
    """Gap between first and second choice in nats; nan where the model computed no number."""
    best, second, *_ = sorted((logprob for logprob, _ in position.values()), reverse=True)
    return best - second if best > LOWEST_LOGPROB else math.nan


def refusal(request: AnyRequest, message: str) -> Failure:
    """A request that vLLM will not take, in its own words."""
    return Failure(
        reason="engine_refused", detail=f"request {request.request_id}: vLLM refuses it ({message})"
    )
