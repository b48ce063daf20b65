"""When to read and when to write: a module per policy, each with the configuration that gives its curve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evaluate.policies.align_att import AlignAtt, AlignAttConfig
from evaluate.policies.base import ChunkMs, Hypothesis, Policy, PolicyPoint, Seen, System
from evaluate.policies.ed_att import EDAtt, EDAttConfig
from evaluate.policies.hold_n import HoldN, HoldNConfig
from evaluate.policies.local_agreement import LocalAgreement, LocalAgreementConfig
from evaluate.policies.offline import Offline, OfflineConfig
from evaluate.policies.retranslation import Retranslation, RetranslationConfig
from evaluate.policies.simulsa import SimulSA, SimulSAConfig
from evaluate.policies.wait_k import WaitK, WaitKConfig

__all__ = [
    "AlignAtt",
    "AlignAttConfig",
    "ChunkMs",
    "EDAtt",
    "EDAttConfig",
    "HoldN",
    "HoldNConfig",
    "Hypothesis",
    "LocalAgreement",
    "LocalAgreementConfig",
    "Offline",
    "OfflineConfig",
    "Policy",
    "PolicyConfig",
    "PolicyPoint",
    "Retranslation",
    "RetranslationConfig",
    "Seen",
    "SimulSA",
    "SimulSAConfig",
    "System",
    "WaitK",
    "WaitKConfig",
]

PolicyConfig = Annotated[
    SimulSAConfig
    | WaitKConfig
    | LocalAgreementConfig
    | HoldNConfig
    | RetranslationConfig
    | OfflineConfig
    | AlignAttConfig
    | EDAttConfig,
    Field(discriminator="kind"),
]
