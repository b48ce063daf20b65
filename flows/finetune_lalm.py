"""LoRA SFT of the control (offline data only) and of SimulSA (the same steps and seed, the dataset mixed in)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.build_dataset import ensure_dataset
from flows.config import RunConfig
from flows.session import Session, export, session_for
from flows.summary import write_summary
from tasks.finetune import finetune_system
from tasks.stage import threads
from tasks.store import Manifest

SYSTEMS = ("control", "simulsa")


@flow(name="finetune-lalm", persist_result=False, task_runner=threads())
def finetune_lalm(config: RunConfig) -> dict[str, Any]:
    """Train both adapters; the dataset is built first unless its stages are hits."""
    with session_for(config) as session:
        ensure_adapters(session)
        return write_summary(session)


def ensure_adapters(session: Session) -> dict[str, Manifest]:
    """The run's adapters by system, trained unless this session has them, and laid into the run directory."""
    if "adapters" not in session.made:
        session.made["adapters"] = finetune_systems(session, ensure_dataset(session))
        for system, adapter in session.made["adapters"].items():
            export(session, adapter, f"adapters/{system}")
    made: dict[str, Manifest] = session.made["adapters"]
    return made


def finetune_systems(session: Session, dataset: Manifest) -> dict[str, Manifest]:
    """The adapters by system, one after the other: they share one device."""
    config, split = session.config, session.config.corpus.train_split
    corpus = session.corpus(split)
    return {
        system: finetune_system.submit(
            session.workspace, system, corpus, split, dataset if system == "simulsa" else None,
            config.finetune, session.prompt,
        ).result()
        for system in SYSTEMS
    }  # fmt: skip
