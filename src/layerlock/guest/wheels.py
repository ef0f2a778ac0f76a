"""Installs wheels into /out as the binary distribution format says, checking every byte against RECORD.

Task: {"wheels": [path], "python": "3.11", "patches": [{"file": path}], "allow_pth": false, "site":
"lib/python3.11/ site-packages", "scripts": "bin", "shebang": "/var/lang/bin/python3"}; the last three have
these defaults.

Source: the "Binary distribution format" and "Recording installed projects" specifications of
packaging.python.org. RECORD itself is not installed: it would have to be written anew, and nothing here
uninstalls. No bytecode is made.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import stat
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from task import Task, Violation, run

import patches

# The keys of a .data folder, and where below the output each goes ("" is the root of the output).
_SCHEME_KEYS = ("purelib", "platlib", "scripts", "data", "headers")
_ENTRY_POINT = re.compile(r"^\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?\s*$")
_SCRIPT = """#!{shebang}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({call}())
"""


@dataclass(frozen=True)
class Scheme:
    """Where the kinds of files go, as folders relative to the output, and the interpreter line of scripts."""

    site: str
    scripts: str
    shebang: str
    headers: str
    allow_pth: bool = False


@dataclass(frozen=True)
class Placed:
    """One file to write: its name below the output, content, and whether it is executable."""

    name: str
    content: bytes
    executable: bool


def install(task: Task) -> None:
    """Install every wheel of the task. Raises Violation of kind "check" or "patch"."""
    version = task["python"]
    scheme = Scheme(
        site=task.get("site", f"lib/python{version}/site-packages"),
        scripts=task.get("scripts", "bin"),
        shebang=task.get("shebang", "/var/lang/bin/python3"),
        headers=f"include/python{version}",
        allow_pth=bool(task.get("allow_pth", False)),
    )
    out = Path(task.get("out", "/out"))
    owners: dict[str, str] = {}
    for wheel in sorted(task["wheels"], key=lambda path: Path(path).name):
        name = Path(wheel).name
        placed = plan(Path(wheel), scheme)
        for item in placed:
            owner = owners.setdefault(item.name, name)
            if owner != name:
                raise Violation(
                    "check",
                    f"{owner} and {name} both bring {item.name}",
                    hint="one of the two wheels has to go, or lose that file in a recipe of its own",
                    file=item.name,
                )
        for item in placed:
            path = out / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.content)
            path.chmod(0o755 if item.executable else 0o644)
        print(f"{name}: {len(placed)} files", flush=True)
    patches.apply([{"directory": str(out / scheme.site), **patch} for patch in task.get("patches", [])])


def plan(wheel: Path, scheme: Scheme) -> list[Placed]:
    """Every file that `wheel` installs, sorted by name, checked against RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        names = [info.filename for info in infos]
        _check_names(wheel.name, names)
        folder = _dist_info(wheel.name, names)
        contents = {info.filename: archive.read(info) for info in infos}
    _check_record(wheel.name, folder, contents)
    root_is_purelib = b"root-is-purelib:" in contents[f"{folder}/WHEEL"].lower()
    if not root_is_purelib or not re.search(rb"(?mi)^Wheel-Version:\s*1\.", contents[f"{folder}/WHEEL"]):
        raise _bad(wheel.name, "its WHEEL file is not of wheel version 1")
    placed: dict[str, Placed] = {}
    data = folder[: -len(".dist-info")] + ".data/"
    for info in infos:
        if info.filename == f"{folder}/RECORD" or info.filename.startswith(f"{folder}/RECORD."):
            continue
        executable = bool((info.external_attr >> 16) & 0o111)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _bad(wheel.name, f"{info.filename} is a symbolic link")
        item = _place(
            wheel.name, info.filename, data, contents[info.filename], executable=executable, scheme=scheme
        )
        if item.name in placed:
            raise _bad(wheel.name, f"two of its files go to {item.name}")
        placed[item.name] = item
    for item in _console_scripts(wheel.name, contents.get(f"{folder}/entry_points.txt", b""), scheme):
        placed.setdefault(item.name, item)
    for name in placed:
        if name.endswith(".pth") and "/" not in name[len(scheme.site) + 1 :] and not scheme.allow_pth:
            raise Violation(
                "check",
                f"{wheel.name}: {name} is a .pth file, which runs code whenever Python starts",
                hint="leave it out by a patch, or state allow_pth = true in the recipe",
                file=name,
            )
    return [placed[name] for name in sorted(placed)]


def _bad(wheel: str, why: str, hint: str = "the file is not a sound wheel; pin another one") -> Violation:
    return Violation("check", f"{wheel}: {why}", hint=hint, file=wheel)


def _check_names(wheel: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        parts = name.split("/")
        if (
            name.startswith("/")
            or "\\" in name
            or "\0" in name
            or any(part in ("", ".", "..") for part in parts)
        ):
            raise _bad(wheel, f"the name {name!r} leaves its folder")
        if name in seen:
            raise _bad(wheel, f"it holds {name!r} twice")
        seen.add(name)


def _dist_info(wheel: str, names: Sequence[str]) -> str:
    folders = {name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")}
    if len(folders) != 1:
        raise _bad(wheel, f"it holds {len(folders)} .dist-info folders instead of one")
    folder = folders.pop()
    for needed in ("WHEEL", "RECORD", "METADATA"):
        if f"{folder}/{needed}" not in names:
            raise _bad(wheel, f"{folder}/{needed} is missing")
    return folder


def _check_record(wheel: str, folder: str, contents: dict[str, bytes]) -> None:
    """Every file stands in RECORD with its sha256 (RECORD and its signatures excepted), and nothing else
    does.
    """
    recorded: dict[str, tuple[str, str]] = {}
    text = contents[f"{folder}/RECORD"].decode("utf-8")
    for row in csv.reader(io.StringIO(text)):
        if not row:
            continue
        if len(row) != 3:
            raise _bad(wheel, f"RECORD has a row of {len(row)} fields")
        recorded[row[0]] = (row[1], row[2])
    exempt = {f"{folder}/RECORD", f"{folder}/RECORD.jws", f"{folder}/RECORD.p7s"}
    for name in sorted(contents.keys() - exempt):
        if name not in recorded:
            raise _bad(wheel, f"{name} is not listed in RECORD")
        method, _, digest = recorded[name][0].partition("=")
        if method != "sha256":
            raise _bad(wheel, f"RECORD gives no sha256 of {name}")
        actual = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).rstrip(b"=").decode()
        if actual != digest.rstrip("="):
            raise _bad(wheel, f"{name} has sha256 {actual}, RECORD says {digest}")
    # Some wheels record their folders too.
    missing = sorted(name for name in recorded.keys() - contents.keys() - exempt if not name.endswith("/"))
    if missing:
        raise _bad(wheel, f"RECORD lists {missing[0]}, which the wheel does not hold")


def _place(wheel: str, name: str, data: str, content: bytes, *, executable: bool, scheme: Scheme) -> Placed:
    if not name.startswith(data):
        return Placed(f"{scheme.site}/{name}", content, executable)
    key, _, rest = name[len(data) :].partition("/")
    if key not in _SCHEME_KEYS or not rest:
        raise _bad(wheel, f"{name} is in no folder that a .data folder may have")
    if key == "scripts":
        if content.startswith(b"#!python"):
            content = b"#!" + scheme.shebang.encode() + b"\n" + content.split(b"\n", 1)[-1]
        return Placed(f"{scheme.scripts}/{rest}", content, True)
    if key == "headers":
        project = wheel.split("-", maxsplit=1)[0]
        return Placed(f"{scheme.headers}/{project}/{rest}", content, executable)
    return Placed(rest if key == "data" else f"{scheme.site}/{rest}", content, executable)


def _console_scripts(wheel: str, entry_points: bytes, scheme: Scheme) -> list[Placed]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(entry_points.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _bad(wheel, f"entry_points.txt cannot be read: {error}") from error
    if not parser.has_section("console_scripts"):
        return []
    placed = []
    for name, value in sorted(parser.items("console_scripts")):
        match = _ENTRY_POINT.match(value)
        if not match or "/" in name or name in ("", ".", ".."):
            raise _bad(wheel, f"the console script {name} = {value} cannot be made")
        module, call = match.groups()
        text = _SCRIPT.format(shebang=scheme.shebang, module=module, first=call.split(".")[0], call=call)
        placed.append(Placed(f"{scheme.scripts}/{name}", text.encode(), True))
    return placed


if __name__ == "__main__":
    sys.exit(run(install, sys.argv))
