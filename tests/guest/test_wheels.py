"""Installing wheels: where files go, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from .conftest import Entry

WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(
    folder: Path,
    files: dict[str, str],
    *,
    name: str = "demo",
    drop: str = "",
    spoil: str = "",
) -> Path:
    """A wheel of `files`; `drop` is left out of RECORD, `spoil` gets a wrong hash there."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = {f"{info}/METADATA": f"Name: {name}\nVersion: 1.0\n", f"{info}/WHEEL": WHEEL, **files}
    rows = []
    for file, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        if file != drop:
            rows.append(f"{file},sha256={'A' * 43 if file == spoil else digest},{len(content)}")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


def test_every_kind_of_file(tmp_path: Path, entry: Entry) -> None:
    wheel = make_wheel(
        tmp_path / "wheels",
        {
            "demo/__init__.py": "x = 1\n",
            "demo-1.0.data/scripts/run": "#!python\nprint(1)\n",
            "demo-1.0.data/data/share/doc.txt": "doc",
            "demo-1.0.data/platlib/fast.py": "",
            "demo-1.0.data/headers/demo.h": "",
            "demo-1.0.dist-info/entry_points.txt": "[console_scripts]\nDemo = demo.cli:main.go [extra]\n",
            "demo-1.0.dist-info/licenses/LICENSE": "free",
        },
    )
    out = entry("wheels", {"wheels": [str(wheel)], "python": "3.11"}).out
    site = "lib/python3.11/site-packages"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "bin/Demo",
        "bin/run",
        "include/python3.11/demo/demo.h",
        f"{site}/demo-1.0.dist-info/METADATA",
        f"{site}/demo-1.0.dist-info/WHEEL",
        f"{site}/demo-1.0.dist-info/entry_points.txt",
        f"{site}/demo-1.0.dist-info/licenses/LICENSE",
        f"{site}/demo/__init__.py",
        f"{site}/fast.py",
        "share/doc.txt",
    ]
    assert (out / "bin/run").read_text() == "#!/var/lang/bin/python3\nprint(1)\n"
    assert "from demo.cli import main\n" in (out / "bin/Demo").read_text()
    assert "sys.exit(main.go())" in (out / "bin/Demo").read_text()
    assert stat.S_IMODE((out / "bin/Demo").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("files", "drop", "spoil", "why"),
    [
        ({"demo.py": "1"}, "demo.py", "", "demo.py is not listed in RECORD"),
        ({"demo.py": "1"}, "", "demo.py", "demo.py has sha256"),
        ({"../evil.py": "1"}, "", "", "leaves its folder"),
        ({"/evil.py": "1"}, "", "", "leaves its folder"),
        ({"x.pth": "import os"}, "", "", ".pth file"),
        ({"demo-1.0.data/purelib/x.pth": "import os"}, "", "", ".pth file"),
        ({"demo-1.0.data/elsewhere/x": ""}, "", "", "no folder that a .data folder may have"),
        ({"a.py": "1", "demo-1.0.data/purelib/a.py": "2"}, "", "", "two of its files go to"),
        (
            {"demo-1.0.dist-info/entry_points.txt": "[console_scripts]\n../x = a:b\n"},
            "",
            "",
            "cannot be made",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, entry: Entry, files: dict[str, str], drop: str, spoil: str, why: str
) -> None:
    wheel = make_wheel(tmp_path / "wheels", files, drop=drop, spoil=spoil)
    ended = entry("wheels", {"wheels": [str(wheel)], "python": "3.11"})
    assert (ended.error["kind"], why in ended.error["message"]) == ("check", True), ended.error
    assert not [path for path in ended.out.rglob("*") if path.is_file()]


def test_pth_where_allowed(tmp_path: Path, entry: Entry) -> None:
    wheel = make_wheel(tmp_path / "wheels", {"x.pth": "import os"})
    assert entry("wheels", {"wheels": [str(wheel)], "python": "3.11", "allow_pth": True}).status == 0


def test_two_owners(tmp_path: Path, entry: Entry) -> None:
    first = make_wheel(tmp_path / "wheels", {"shared.py": "1"}, name="first")
    second = make_wheel(tmp_path / "wheels", {"shared.py": "1"}, name="second")
    ended = entry("wheels", {"wheels": [str(second), str(first)], "python": "3.11"})
    assert "first-1.0-py3-none-any.whl and second-1.0-py3-none-any.whl both bring" in ended.error["message"]


@pytest.mark.usefixtures("gnu_patch")
def test_a_patch_in_the_site_folder(tmp_path: Path, entry: Entry) -> None:
    wheel = make_wheel(tmp_path / "wheels", {"demo.py": "x = 1\n"})
    patch = tmp_path / "p.patch"
    patch.write_text("--- a/demo.py\n+++ b/demo.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")
    task = {"wheels": [str(wheel)], "python": "3.9", "patches": [{"file": str(patch)}]}
    assert (entry("wheels", task).out / "lib/python3.9/site-packages/demo.py").read_text() == "x = 2\n"
