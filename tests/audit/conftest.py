"""A small repository to plant defects in, its lock, and a store that holds what was built of it."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.io.lockfile import write_lock
from layerlock.io.nar import nar_sha256
from layerlock.io.repository import Repository
from layerlock.model.derivation import Realisation
from layerlock.model.findings import Finding
from layerlock.model.lock import VERSION, Lock, LockedDerivation, LockedPath, RecordedZip, SignedIndex
from layerlock.plan.fit import parts
from layerlock.plan.resolve import Plan, closure_of_layer, plan_layer
from layerlock.sources.fetch import Reach, folder_sha256
from layerlock.workflows.auditing import Audited, Choice, audit_layers
from layerlock.workflows.driver import Driver
from tests.plan.conftest import pins_of

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2026, 11, 21)
PATCH = "\n".join(
    (
        "Greet everyone",
        "",
        "--- a/hello.c",
        "+++ b/hello.c",
        "@@ -1,7 +1,7 @@",
        " /* A program. */",
        " #include <stdio.h>",
        " ",
        '-static const char *name = "you";',
        '+static const char *name = "everyone";',
        " ",
        " int main(void) {",
        '   return printf("hello %s", name);',
        "",
    )
)
FILES = {
    "recipes/layers/demo.toml": """\
[layer]
name = "demo"
summary = "A layer that says hello"
runtime = "python3.11"
environment = "root"
packages = ["hello"]

[[prune]]
name = "tests"
patterns = ["**/tests/**"]

[[keep]]
patterns = ["**/tests/data/**"]

[[smoke]]
name = "hello"
file = "smoke/hello.py"
""",
    "recipes/packages/hello.toml": """\
[package]
name = "hello"
version = "1.0"
license = "MIT"
purl = "pkg:generic/hello@1.0"
[[sources]]
kind = "tarball"
urls = ["https://example.org/hello-1.0.tar.gz"]
sha256 = "{source}"

[[patches]]
file = "hello/0001-greet-everyone.patch"
sha256 = "{patch}"

[build]
environment = "root"
inputs = ["python"]
script = '''
# A comment may say curl, or || true.
./configure --prefix=/opt
make -j "$LAYERLOCK_JOBS" install DESTDIR=/out
'''

[build.variables]
CFLAGS = "-Os"
""",
    "recipes/packages/python.toml": """\
[package]
name = "python"
version = "3.11.2"
license = "Python-2.0.1"
mount = "/var/lang"

[[sources]]
kind = "path"
path = "code"

[build]
environment = "root"
script = "cp -r . /out"
""",
    "recipes/environments/root.toml": '[environment]\nname = "root"\nsuite = "bullseye"\npackages = ["bash"]\n',
    "recipes/environments/root.debs.toml": """\
debs = [
  {{ name = "bash", version = "5.1-2", path = "debian:debian/pool/main/b/bash/bash.deb", sha256 = "{deb}", size = 4 }},
]
""",
    "recipes/smoke/hello.py": "import hello\n\nassert hello\n",
    "recipes/runtimes/system.exports": "# none\n",
    "recipes/licences.toml": 'allowed = ["MIT", "Python-2.0.1"]\ndenied = ["AGPL-3.0-only"]\n',
    "patches/hello/0001-greet-everyone.patch": PATCH,
    "code/python.txt": "a language\n",
}
SOURCE, DEB = b"a source\n", b"deb\n"


def sha256(data: bytes) -> str:
    """Hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Shelf:
    """The small repository in a folder, with a store beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.store = folder / "store"
        for name, text in FILES.items():
            self.write(name, text)
        # The runtime is the one of the tests of planning.
        runtimes = self.root / "recipes" / "runtimes"
        shutil.copy(ROOT / "tests/plan/repository/recipes/runtimes/python3.11.toml", runtimes)
        hashes = {"source": sha256(SOURCE), "patch": sha256(PATCH.encode()), "deb": sha256(DEB)}
        for name in ("recipes/packages/hello.toml", "recipes/environments/root.debs.toml"):
            self.write(name, FILES[name].format(**hashes))

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the repository."""
        text = (self.root / name).read_text()
        assert old in text, f"{name} does not say {old!r}"
        self.write(name, text.replace(old, new))

    def driver(self) -> Driver:
        """Make a driver over the files as they are now."""
        return construct(
            Settings(repository=self.root, store=self.store, environment=dict(os.environ)), silent
        )

    def plan(self, layer: str = "demo") -> Plan:
        """Plan as the lock would."""
        return plan_layer(Repository(self.root), layer, self.driver().guest_code, self._pins(layer))

    def _pins(self, layer: str) -> dict[str, Any]:
        repository = Repository(self.root)
        closure = closure_of_layer(repository, layer)
        made: dict[str, Any] = {}
        for key, pin in pins_of(closure, repository).items():
            if isinstance(pin, LockedPath):
                tree = folder_sha256(self.root / pin.path)
                made[key] = LockedPath(kind="path", key=key, path=pin.path, tree=tree or "")
            else:
                made[key] = pin
        return made

    def lock(self, layer: str = "demo", **changes: Any) -> Lock:
        """Write the lock as `lock` would, with nothing recorded, and with some values that it would not write."""
        plan = self.plan(layer)
        values: dict[str, Any] = {
            "indexes": (
                SignedIndex(archive="debian", suite="bullseye", date="2025", sha256="0" * 64, signed_by="F"),
            ),
            "sources": tuple(self._pins(layer).values()),
            "derivations": tuple(
                LockedDerivation(name=d.name, planned=plan.planned[d.name], fields=parts(d, plan.planned))
                for d in plan.derivations
            ),
        }
        lock = Lock(version=VERSION, layer=layer, **(values | changes))
        write_lock(self.root / "lockfiles" / f"{layer}.lock", lock)
        return lock

    def build(self, tree: dict[str, str], package: dict[str, str], report: dict[str, Any]) -> None:
        """Put outputs of the layer and of its package into the store, and record them in the lock."""
        plan, store = self.plan(), self.driver().store
        outputs: dict[str, Realisation] = {}

        def add(name: str, fill: Callable[[Path], None]) -> Path:
            with store.scratch(name) as scratch:
                (scratch / "out").mkdir()
                fill(scratch / "out")
                entry = store.add_tree(scratch / "out", name)
            made = Realisation(
                name=name,
                planned=plan.planned[name],
                resolved=sha256(name.encode()),
                output=entry.sri,
                size=entry.size,
            )
            store.register(made)
            outputs[name] = made
            return entry.path

        add("hello", lambda out: put(out, package))
        place = add(
            "layer-demo-tree",
            lambda out: put(
                out, {f"tree/{n}": t for n, t in tree.items()} | {"report.json": json.dumps(report)}
            ),
        )

        def zipped(out: Path) -> None:
            with zipfile.ZipFile(out / "demo.zip", "w") as archive:
                for name, text in sorted(tree.items()):
                    archive.writestr(zipfile.ZipInfo(name), text)
            data = (out / "demo.zip").read_bytes()
            said = {"name": "demo.zip", "sha256": sha256(data), "size": len(data), "unzipped": 1}
            (out / "report.json").write_text(json.dumps(said))

        zip_place = add("layer-demo-zip", zipped)
        data = (zip_place / "demo.zip").read_bytes()
        derivations = tuple(
            LockedDerivation(
                name=d.name,
                planned=plan.planned[d.name],
                output=outputs[d.name].output if d.name in outputs else nar_sha256(place),
                fields=parts(d, plan.planned),
            )
            for d in plan.derivations
        )
        recorded = RecordedZip(
            sha256=sha256(data), size=len(data), unzipped=1, tree=outputs["layer-demo-tree"].output
        )
        self.lock(derivations=derivations, zip=recorded)

    def audit(
        self,
        *only: str,
        layers: tuple[str, ...] = ("demo",),
        reach: Callable[[], Reach] | None = None,
        today: datetime.date = TODAY,
        **choice: Any,
    ) -> Audited:
        """Audit as the command does."""
        chosen = Choice(only=frozenset(only), reach=reach, today=today, **choice)
        return audit_layers(self.driver(), layers, chosen)

    def found(self, *only: str, **choice: Any) -> list[Finding]:
        """Give the findings of some checks that count."""
        return [told.finding for told in self.audit(*only, **choice).findings]


def put(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Give the small repository, not locked."""
    return Shelf(tmp_path)


@pytest.fixture
def locked(shelf: Shelf) -> Shelf:
    """Give the small repository, locked."""
    shelf.lock()
    return shelf
