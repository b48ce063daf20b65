"""Where the micro LALM lies, what it is told, and how many parameters it may have."""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "micro-lalm"
PROMPT_TEXT = "Translate the English speech into German."
MAX_PARAMETERS = 5_000_000
MAX_BYTES = 12_000_000
