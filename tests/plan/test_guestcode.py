"""What guest scripts use: the declared table, and what is worked out for the guest code of another revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import StaleLock
from layerlock.plan.guestcode import FILES, files_of, guest_code, past_guest_code

GUEST = Path(__file__).parents[2] / "src" / "layerlock" / "guest"
TEXTS = {path.name: path.read_bytes() for path in GUEST.glob("*.py")}


def test_the_table_is_what_the_scripts_import_and_start() -> None:
    past = past_guest_code(TEXTS)
    assert {entry: past[entry] for entry in FILES} == guest_code(TEXTS)


def test_a_revision_whose_files_were_cut_otherwise() -> None:
    texts = {
        "build.py": b"import json, patches\nfrom task import Task\n",
        "patches.py": b"import lines\n",
        "lines.py": b"START = 'start.py'\n",
        "start.py": b"",
        "task.py": b"",
        "other.py": b"import build\n",
    }
    past = past_guest_code(texts)
    assert [file.name for file in files_of("build.py", past)] == [
        "build.py",
        "lines.py",
        "patches.py",
        "start.py",
        "task.py",
    ]


def test_guest_code_that_this_python_cannot_read_is_used_as_it_is() -> None:
    past = past_guest_code({"build.py": b"print 'of another time'\n", "task.py": b""})
    assert [file.name for file in past["build.py"]] == ["build.py"]


def test_a_script_that_the_revision_lacks_is_named() -> None:
    with pytest.raises(StaleLock, match=r"no script `pack\.py`"):
        files_of("pack.py", past_guest_code({"build.py": b""}))
