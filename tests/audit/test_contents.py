"""What checks of contents say of zips into which one defect was planted, and of the same zip without it."""

from __future__ import annotations

import py_compile
import sys
import time
import zipfile
from pathlib import Path

import pytest
import siphash24

from layerlock.audit.bytecode import fits, read_bytecode, source_of
from layerlock.audit.contents import CHECKS
from layerlock.audit.reading import take_inventory
from layerlock.errors import UnsafeArchive
from layerlock.io.entries import Caps
from layerlock.model.findings import Finding, Severity

from .layers import FILE, LINK, SITE, Files, found, pack, survey_of

SOUND: Files = {
    f"{SITE}/tiny/__init__.py": b'"""Of /home/ and me@example.com, and -----BEGIN RSA PRIVATE KEY----- lines."""\n',
    f"{SITE}/tiny/keys.py": b'EXAMPLE = "AKIAIOSFODNN7EXAMPLE"\nBEGIN = "-----BEGIN PRIVATE KEY-----"\n',
    f"{SITE}/tiny/data.bin": b"\0" * 100 + b"lib/build/ https://host/build/x http://h/home/me/ Linux 4.19",
    "lib/libtiny.so.1": b"no object",
    "lib/libtiny.so": (LINK, b"libtiny.so.1"),
    "share/licenses/tiny/copyright": b"free",
}
KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"M" * 64 + b"\n-----END RSA PRIVATE KEY-----\n"


def audited(tmp_path: Path, files: Files, **known: object) -> list[Finding]:
    return found(CHECKS, survey_of(pack(tmp_path / "layer.zip", files), **known))


def test_a_sound_zip_has_no_finding(tmp_path: Path) -> None:
    """Examples in documentation, addresses and the headers that programs look for are no traces."""
    assert audited(tmp_path, SOUND) == []


PLANTED: dict[str, tuple[str, Severity, str, bytes | tuple[int, bytes]]] = {
    "setuid": ("file-modes", Severity.ERROR, "bin/sudo", (FILE | 0o4755, b"x")),
    "setgid": ("file-modes", Severity.ERROR, "bin/sudo", (FILE | 0o2755, b"x")),
    "world-writable": ("file-modes", Severity.ERROR, "lib/data", (FILE | 0o002, b"x")),
    "an absolute link": ("links", Severity.ERROR, "lib/out", (LINK, b"/etc/passwd")),
    "a link that leads out": ("links", Severity.ERROR, "lib/out", (LINK, b"../../etc/passwd")),
    "a link to itself": ("links", Severity.ERROR, "lib/round", (LINK, b"round")),
    "a link to nothing": ("links", Severity.WARNING, "lib/gone", (LINK, b"nothing")),
    "a pipe": ("archive-entries", Severity.ERROR, "lib/pipe", (0o010644, b"")),
    "the sandbox": ("build-paths", Severity.WARNING, "lib/a", b"\0at /build/tiny-1.0/src/a.c\0"),
    "the sandbox, in text": ("build-paths", Severity.WARNING, "lib/a.py", b'PREFIX = "/deps/numpy"\n'),
    "a home": ("build-paths", Severity.WARNING, "lib/a", b"\0/home/jane/src/a.c\0"),
    "a Mac's home": ("build-paths", Severity.WARNING, "lib/a", b"\0/Users/jane/src/a.c\0"),
    "a runner's folder": ("build-paths", Severity.WARNING, "lib/a.py", b"# /__w/tiny/tiny/setup.py\n"),
    "pip's folder": ("build-paths", Severity.WARNING, "lib/a.py", b"'/tmp/pip-install-x1y2/tiny'\n"),
    "a builder": ("host-names", Severity.WARNING, "lib/a", b"\0(buildd@lcy02-amd64-001)\0"),
    "a cloud host": ("host-names", Severity.WARNING, "lib/a.py", b"HOST = 'ip-10-0-12-7.ec2.internal'\n"),
    "a kernel": ("host-names", Severity.WARNING, "lib/a", b"\0#1 SMP Debian 4.19.118-2 (2020-04-29)\0"),
    "a platform": ("host-names", Severity.WARNING, "lib/a.py", b"BUILT = 'Linux-5.10.0-8-amd64-x86_64'\n"),
    "a private key": ("secrets", Severity.ERROR, "lib/key.pem", KEY),
    "a key in one line": ("secrets", Severity.ERROR, "lib/a.py", KEY.replace(b"\n", b"\\n")),
    "an AWS key": ("secrets", Severity.ERROR, "lib/a.py", b"KEY = 'AKIA" + b"Q7" * 8 + b"'\n"),
    "an AWS secret": ("secrets", Severity.ERROR, "lib/a", b"aws_secret_access_key = " + b"aB3/" * 10 + b"\n"),
    "a GitHub token": ("secrets", Severity.ERROR, "lib/a", b"ghp_" + b"aB3" * 12),
    "a GitLab token": ("secrets", Severity.ERROR, "lib/a", b"glpat-" + b"aB3_" * 5),
    "a Slack token": ("secrets", Severity.ERROR, "lib/a", b"xoxb-123456789012-abcdefghijkl"),
    "a Stripe key": ("secrets", Severity.ERROR, "lib/a", b"sk_live_" + b"aB3d" * 6),
    "a Google key": ("secrets", Severity.ERROR, "lib/a", b"AIza" + b"aB3-d" * 7),
    "a PyPI token": ("secrets", Severity.ERROR, "lib/a", b"pypi-AgEIcHlwaS5vcmc" + b"aB3_d" * 12),
    "an npm token": ("secrets", Severity.ERROR, "lib/a", b"npm_" + b"aB3" * 12),
    "a web token": ("secrets", Severity.ERROR, "lib/a", b"eyJ" + b"hb" * 9 + b".eyJ" + b"zd" * 9 + b"." + b"s" * 43),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_named(tmp_path: Path, name: str) -> None:
    """One finding, by the check that is for it, about the file that has it."""
    check, severity, path, given = PLANTED[name]
    (finding,) = audited(tmp_path, {**SOUND, path: given})
    assert (finding.check, finding.severity, finding.subject) == (check, severity, path)
    assert path in finding.message
    assert finding.location is not None
    assert (finding.location.file, finding.location.path) == ("layer.zip", path)


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    """A finding goes to logs that more people read than the layer."""
    token = b"ghp_" + b"aB3" * 12
    (finding,) = audited(tmp_path, {"lib/a": token})
    assert token.decode() not in finding.message
    assert token.decode()[:8] in finding.message


def test_allowed_files_may_name_build_folders_and_their_bytecode_too(tmp_path: Path) -> None:
    """A kernel's name in such a file is only noted."""
    text = b"\0/build/atlas/a.c\0#1 SMP Debian 4.19.118-2\0"
    path = f"{SITE}/a/b.py"
    files = {"lib/libatlas.so.3": text, path: b"'/build/x'"}
    patterns = ("lib/libatlas.so.3", "**/a/*.py")
    noted = audited(tmp_path, files, build_paths=patterns)
    assert [(each.check, each.severity) for each in noted] == [("host-names", Severity.NOTE)]
    assert {each.check for each in audited(tmp_path, files)} == {"build-paths", "host-names"}


def test_copies_are_counted_from_16_kB_on(tmp_path: Path) -> None:
    """Of two large files with the same bytes one is too much; small ones are not worth a word."""
    large, small = bytes(range(256)) * 64, b"from . import a\n"
    files = {"lib/a.so": large, "lib/b.so": large, "lib/c.so": large[1:], "x.py": small, "y.py": small}
    (finding,) = audited(tmp_path, files)
    assert (finding.check, finding.subject) == ("duplicate-files", "lib/a.so")
    assert "2 times, 16,384 bytes" in finding.message
    assert "lib/b.so" in finding.message


def test_entries_that_programs_read_differently_are_errors(tmp_path: Path) -> None:
    """Two of one name, names that lead out, encrypted and damaged contents."""
    path = tmp_path / "layer.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        pack(path, [("lib/a", b"one"), ("lib/a", b"two"), ("../out", b"x"), ("/root", b"x")])
    messages = "\n".join(each.message for each in found(CHECKS, survey_of(path)))
    assert "more than one entry of this name" in messages
    assert messages.count("no path inside the archive") == 2

    pack(path, {"lib/a": b"some text that is deflated, some text that is deflated"})
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\1\2")
    data[central + 8] |= 1
    path.write_bytes(data)
    (finding,) = found(CHECKS, survey_of(path))
    assert (finding.check, finding.severity) == ("archive-entries", Severity.ERROR)
    assert "encrypted" in finding.message


def test_a_damaged_or_huge_zip_is_refused(tmp_path: Path) -> None:
    """Cut short, no zip at all, or a bomb: an error before anything is held in memory."""
    path = pack(tmp_path / "layer.zip", {"a": bytes(1000)})
    whole = path.read_bytes()
    for damaged in (whole[:-30], b"no zip at all", b""):
        path.write_bytes(damaged)
        with pytest.raises(UnsafeArchive, match=r"layer\.zip"):
            take_inventory(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb", bytes(1 << 20))
    with pytest.raises(UnsafeArchive, match="bytes"):
        take_inventory(path, caps=Caps(bytes=1 << 16))


def test_hostile_text_takes_no_long_time(tmp_path: Path) -> None:
    """Files made of what sieves hit, and of what makes expressions try again and again."""
    texts = (b"/build/" * 40_000, b"eyJ" + b"a" * 300_000, b"-----BEGIN PRIVATE KEY-----" + b" " * 300_000,
             b"ip-1" * 80_000, b"#1 " * 90_000, b"Linux " * 50_000, b"eyJaaaaaaaaaa" * 20_000)  # fmt: skip
    path = pack(tmp_path / "layer.zip", {f"lib/{index}": text for index, text in enumerate(texts)})
    begun = time.process_time()
    take_inventory(path)
    assert time.process_time() - begun < 10


def _compiled(folder: Path, source: bytes, mode: py_compile.PycInvalidationMode) -> bytes:
    (folder / "m.py").write_bytes(source)
    py_compile.compile(
        str(folder / "m.py"), cfile=str(folder / "m.pyc"), dfile="/opt/m.py", invalidation_mode=mode
    )
    return (folder / "m.pyc").read_bytes()


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYC = f"{SITE}/__pycache__/m.cpython-311.pyc"
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_bytecode_of_its_module_is_silent_and_of_another_an_error(tmp_path: Path) -> None:
    """The header's hash is held against the module: what Python would run is what stands beside it."""
    pyc = _compiled(tmp_path, b"x = 1\n", UNCHECKED)
    assert audited(tmp_path, {f"{SITE}/m.py": b"x = 1\n", PYC: pyc}, python=PYTHON) == []
    (finding,) = audited(tmp_path, {f"{SITE}/m.py": b"x = 2\n", PYC: pyc}, python=PYTHON)
    assert (finding.check, finding.severity, finding.subject) == ("stale-bytecode", Severity.ERROR, PYC)


@pytest.mark.parametrize(
    ("mode", "source", "python", "severity", "said"),
    [
        (py_compile.PycInvalidationMode.TIMESTAMP, b"x = 1\n", PYTHON, Severity.WARNING, "file time"),
        (py_compile.PycInvalidationMode.TIMESTAMP, b"x = 10\n", PYTHON, Severity.WARNING, "not compiled from"),
        (py_compile.PycInvalidationMode.CHECKED_HASH, b"x = 2\n", PYTHON, Severity.WARNING, "not compiled from"),
        (UNCHECKED, b"x = 1\n", "3.9", Severity.WARNING, "for another Python"),
        (UNCHECKED, None, PYTHON, Severity.NOTE, "no module beside it"),
    ],
)  # fmt: skip
def test_other_faults_of_bytecode(
    tmp_path: Path,
    mode: py_compile.PycInvalidationMode,
    source: bytes | None,
    python: str,
    severity: Severity,
    said: str,
) -> None:
    """Bound to a time, checked and stale, of another Python, alone."""
    files: dict[str, bytes] = {PYC: _compiled(tmp_path, b"x = 1\n", mode)}
    if source is not None:
        files[f"{SITE}/m.py"] = source
    (finding,) = audited(tmp_path, files, python=python)
    assert (finding.check, finding.severity) == ("stale-bytecode", severity)
    assert said in finding.message


def test_no_bytecode_at_all(tmp_path: Path) -> None:
    """A file of that name that is none."""
    (finding,) = audited(tmp_path, {PYC: b"text"})
    assert (finding.check, finding.severity) == ("stale-bytecode", Severity.ERROR)


def test_the_hash_of_older_pythons_is_another_one() -> None:
    """Python 3.9 and 3.10 keyed SipHash-2-4 with their number; a real 3.9's header is in the audit of a tiny layer."""
    raw = (3425).to_bytes(2, "little") + b"\r\n"
    header = raw + (1).to_bytes(4, "little") + siphash24.siphash24(b"x", key=raw + bytes(12)).digest()
    code = read_bytecode(header + b"code")
    assert code is not None
    assert fits(code, b"x")
    assert not fits(code, b"y")


@pytest.mark.parametrize(
    ("path", "source", "tag"),
    [
        ("a/__pycache__/b.cpython-311.pyc", "a/b.py", "cpython-311"),
        ("__pycache__/config-3.11.cpython-311.pyc", "config-3.11.py", "cpython-311"),
        ("a/__pycache__/b.cpython-311.opt-2.pyc", "a/b.py", "cpython-311"),
        ("a/b.pyc", "a/b.py", ""),
    ],
)
def test_where_bytecode_belongs(path: str, source: str, tag: str) -> None:
    """Names of modules may have dots of their own."""
    assert source_of(path) == (source, tag)
