"""Long recordings: the whole output is aligned to the reference segments and cut where they begin."""

from evaluate.resegment.cut import Alignment, align_segments, cut_recording
from evaluate.resegment.segments import ReferencesError, Segment, by_recording, read_references, read_segments

__all__ = [
    "Alignment",
    "ReferencesError",
    "Segment",
    "align_segments",
    "by_recording",
    "cut_recording",
    "read_references",
    "read_segments",
]
