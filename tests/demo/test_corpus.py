"""The corpus is reproducible, shares utterances across sizes, and has the layout of CoVoST 2."""

import csv
from pathlib import Path

import pytest
import soundfile

from demo.corpus import Parameters, Spec, build_corpus, flac_bytes, is_complete, make_utterance
from demo.truth import load_truth


def build(root: Path, num_train: int, *, num_dev: int = 2, num_test: int = 2, workers: int = 1) -> Path:
    sizes = {"num_train": num_train, "num_dev": num_dev, "num_test": num_test}
    return build_corpus(root, **sizes, workers=workers, progress=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("corpora") / "small", 6)


def rows(root: Path, split: str) -> list[dict[str, str]]:
    with (root / f"covost_v2.en_de.{split}.tsv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_layout_is_that_of_covost_2(small: Path) -> None:
    table = rows(small, "train")
    assert list(table[0]) == ["path", "sentence", "translation", "client_id"]
    assert [row["path"] for row in table] == [f"train-{i:06d}.flac" for i in range(6)]
    for row in table:
        info = soundfile.info(small / "clips" / row["path"])
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert 1.5 < info.duration < 7.9


def test_truth_agrees_with_the_tables_and_the_clips(small: Path) -> None:
    truths = load_truth(small)
    assert len(truths) == 10
    for split in ("train", "dev", "test"):
        for row in rows(small, split):
            truth = truths[row["path"].removesuffix(".flac")]
            assert " ".join(truth.source_words) == row["sentence"]
            assert truth.references[0] == row["translation"]
            assert truth.num_samples == soundfile.info(small / "clips" / row["path"]).frames


def test_a_larger_corpus_holds_the_same_utterances_byte_for_byte(small: Path, tmp_path: Path) -> None:
    larger = build(tmp_path / "larger", 9, num_dev=3, workers=2)
    for clip in (small / "clips").iterdir():
        assert clip.read_bytes() == (larger / "clips" / clip.name).read_bytes()
    assert load_truth(small).items() <= load_truth(larger).items()


def test_an_utterance_does_not_depend_on_what_was_spoken_before(small: Path) -> None:
    for index in (5, 0, 3):
        spec = Spec(split="train", index=index, seed=7)
        assert flac_bytes(make_utterance(spec)[1]) == (small / "clips" / f"{spec.id}.flac").read_bytes()


def test_another_seed_speaks_another_corpus() -> None:
    one, other = (make_utterance(Spec(split="train", index=0, seed=seed))[0] for seed in (7, 8))
    assert one.source_words != other.source_words


def test_a_complete_corpus_is_left_alone_and_another_one_replaces_it(small: Path, tmp_path: Path) -> None:
    root = build(tmp_path / "corpus", 2)
    (root / "mark").touch()
    assert (build(root, 2) / "mark").exists()
    assert not (build(root, 3) / "mark").exists()
    assert is_complete(root, Parameters(num_train=3, num_dev=2, num_test=2, seed=7))
    assert not list(tmp_path.glob("*.partial"))


def test_a_directory_with_other_things_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds no corpus\.json"):
        build(tmp_path, 1, num_dev=0, num_test=0)
    assert (tmp_path / "thesis.txt").exists()
    assert not list(tmp_path.parent.glob(f"{tmp_path.name}.*.partial"))
