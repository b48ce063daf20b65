"""Policies are measured by the same two stages, and measuring them leaves SimulSA's keys and scores alone."""

import json
from pathlib import Path

from augment.corpora import open_corpus
from evaluate.config import EvaluateConfig
from evaluate.policies import PolicyPoint
from tasks.evaluate import SpokenSet, score_systems, stream_system
from tasks.store import Manifest
from tests.support.stages import EVALUATE, call, make_bench

POLICIES = EvaluateConfig.model_validate(
    EVALUATE.model_dump()
    | {
        "policies": [
            {"kind": "simulsa"},
            {"kind": "wait-k", "k": [1, 2], "chunk_ms": 400},
            {"kind": "retranslation", "chunk_ms": [400]},
            {"kind": "alignatt", "tail_ms": [80, 400], "chunk_ms": 400},
        ]
    }
)


def test_policies_get_curves_of_their_own_beside_those_of_simulsa(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    ws, prompt = bench.workspace, bench.workspace.prompt("en", "de")
    spoken = SpokenSet(open_corpus(bench.corpus, "test"), POLICIES)

    def stream(point: PolicyPoint) -> Manifest:
        return call(stream_system, ws, spoken, None, point.chunk_ms, POLICIES, prompt, "de", point.policy)

    curves = {
        c.name: [(p.label, stream(p)) for p in c.points] for c in POLICIES.curves() if c.system == "base"
    }
    own = {"simulsa": [made for _, made in curves.pop("base")]}
    plain = call(score_systems, ws, spoken, own, EVALUATE, "de", None)
    unasked = call(score_systems, ws, spoken, own, POLICIES, "de", None)
    beside = call(score_systems, ws, spoken, own, POLICIES, "de", None, curves)
    ws.close()
    assert unasked.cached
    assert len({made.digest for points in curves.values() for _, made in points}) == 5
    scores, alone = (json.loads(m.path("scores.json").read_text()) for m in (beside, plain))
    measured = scores.pop("policies")
    assert scores == alone
    assert {name: [point["knob"] for point in points] for name, points in measured.items()} == {
        "base+wait-k": ["k=1", "k=2"],
        "base+retranslation": ["400 ms"],
        "base+alignatt": ["80 ms", "400 ms"],
    }
