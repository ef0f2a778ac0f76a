"""The record of what was published."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.model.published import Publication
from layerlock.publish.record import read_published, write_entries

GOLDEN = Path(__file__).parent / "published.toml"


def test_records_of_version_1_stay_readable_and_are_written_so(tmp_path: Path) -> None:
    path = tmp_path / "lockfiles" / "published.toml"
    path.parent.mkdir()
    path.write_bytes(GOLDEN.read_bytes())
    published = read_published(tmp_path)
    assert [(entry.number, entry.pruned) for entry in published.published] == [(1, True), (2, False)]
    path.unlink()
    write_entries(tmp_path, *reversed(published.published))
    assert path.read_text() == GOLDEN.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["published.toml"]


def test_versions_are_sorted_as_numbers(tmp_path: Path) -> None:
    for number in (10, 9):
        arn = f"arn:aws:lambda:eu-west-1:123456789012:layer:cv:{number}"
        write_entries(tmp_path, Publication(layer="cv", arn=arn, zip="0" * 64, size=1, created=""))
    assert [entry.number for entry in read_published(tmp_path).of("cv")] == [9, 10]


def test_what_is_no_arn_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lockfiles" / "published.toml"
    path.parent.mkdir()
    path.write_text(GOLDEN.read_text().replace("arn:aws:lambda:eu-west-1", "arn:aws:s3:eu-west-1", 1))
    with pytest.raises(InvalidRecipe, match="the ARN of a layer version") as caught:
        read_published(tmp_path)
    assert str(caught.value.location) == "lockfiles/published.toml:6 (published[0].arn)"
