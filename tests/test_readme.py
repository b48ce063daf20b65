"""What README.md says of the code is what the code says of itself."""

from pathlib import Path

from flows.cli import app
from lalm.families import families_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_families_is_the_declared_one() -> None:
    assert families_table().strip() in README


def test_every_command_is_in_the_readme() -> None:
    names = {name for name in app if not name.startswith("-")} - {"config"}
    missing = {name for name in names if f"simulsa {name}" not in README}
    assert not missing
    assert "run" in names


def test_every_file_that_the_readme_links_exists() -> None:
    links = [part.split(")")[0] for part in README.split("](")[1:]]
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link.split("#")[0]).exists()
    ] == []
