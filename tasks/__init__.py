"""One thin Prefect task per stage, and the stage store that caches outputs."""
