"""The worker as a child process that answers JSON lines: bounded waits, and an error that says why it ended."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from lalm.comet.config import COMET_VERSION, CometConfig, CometError

SCRIPT = Path(__file__).with_name("worker.py")
ENDS_WITHIN_S = 10.0
LAST_WORDS = 1500

_REMEDIES = {
    "version": "run `make comet` again",
    "damaged": "download the checkpoint again",
    "pickle": "a pickle can run any code, so only tensors and plain values are loaded; where you trust its publisher, "
    "set trust_pickle to true",
}


class WorkerProcess:
    """A running worker with its model loaded; not safe for several threads at once.

    Raises CometError when it cannot start, refuses the checkpoint, is silent for `timeout_s`, or ends.
    """

    def __init__(self, config: CometConfig, checkpoint: Path) -> None:
        self._timeout_s = config.timeout_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._lines: queue.Queue[str | None] = queue.Queue()
        # -I: neither PYTHONPATH nor the working directory may bring our packages into COMET's environment.
        command = [str(config.interpreter()), "-I", str(SCRIPT)]
        self._process = subprocess.Popen(  # noqa: S603 - an interpreter that the user names, and no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, encoding="utf-8"
        )
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._open(config, checkpoint)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one line and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        try:
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            self._process.kill()
            raise CometError(
                f"the COMET worker gave no answer within timeout_s={self._timeout_s:g} and was ended: raise timeout_s, "
                "or lower batch_size"
            ) from None
        if line is None:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process, by force when it does not go on its own; safe to call twice."""
        if self._stderr.closed:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _open(self, config: CometConfig, checkpoint: Path) -> None:
        opening = {"checkpoint": str(checkpoint), "unbabel-comet": COMET_VERSION}
        answer = self.ask(opening | config.model_dump(include={"device", "batch_size", "trust_pickle"}))
        if "refused" in answer:
            raise CometError(f"{answer['detail']}: {_REMEDIES[answer['refused']]}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _ended(self) -> CometError:
        status = self._process.wait()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip()[-LAST_WORDS:]
        return CometError(
            f"the COMET worker ended with status {status} (a negative one is a signal; -9 is often too little memory: "
            f"lower batch_size). Scores so far are kept where they are recorded. Its last words:\n{words or 'none'}"
        )
