"""A repository that builds in seconds, all of whose sources come from a server on loopback that counts."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Listener, silent
from layerlock.io.repository import Repository
from layerlock.store.local import LocalStore
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin
from tests.sources.web import Web

ROOT = Path(__file__).parents[2]
# fmt: off
DEBS = frozenset({
    "bash", "coreutils", "dash", "libc-bin", "libc6", "libtinfo6", "libacl1", "libattr1", "libselinux1",
    "libpcre2-8-0", "libgmp10", "libcrypt1", "libexpat1", "zlib1g", "libgcc-s1", "libbz2-1.0", "liblzma5",
    "libffi7", "libuuid1", "libmpdec3", "libssl1.1", "libstdc++6", "libpython3.9-minimal",
    "libpython3.9-stdlib", "python3.9-minimal", "python3-minimal",
})
# fmt: on
"""What a shell and the guest scripts' Python need: 60 MB in place of a compiler's 460."""

PACKAGE = """\
[package]
name = "{name}"
version = "1.0"
license = "MIT"

[[sources]]
kind = "tarball"
urls = ["{url}"]
sha256 = "{sha256}"
strip = 1

[build]
environment = "small"
inputs = [{inputs}]
script = '''
site=$out/python/lib/python3.9/site-packages
mkdir -p "$site"
cp -r {name} "$site/"
{more}
'''
"""
PYTHON = """\
[package]
name = "tiny-python"
version = "3.9.2"
license = "Python-2.0.1"
mount = "/var/lang"

[build]
environment = "small"
script = '''
mkdir -p /out/bin /out/lib
cp /usr/bin/python3.9 /out/bin/
cp -r /usr/lib/python3.9 /out/lib/
chmod -R u+w /out
rm /out/lib/python3.9/sitecustomize.py
'''
"""
LAYER = """\
[layer]
name = "{name}"
summary = "A layer for tests of the store"
runtime = "python3.9-small"
environment = "small"
packages = [{packages}]
tools = ["guest-tools"]

[[smoke]]
kind = "python"
name = "imports"
file = "smoke/{name}.py"
"""


def tarball(name: str, files: dict[str, str]) -> bytes:
    """Make a tarball whose bytes depend on nothing but its contents."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path, text in sorted(files.items()):
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


class Pantry:
    """The true bytes that the small repository is made of, fetched once, and served from loopback since."""

    def __init__(self, store: Path, web: Web) -> None:
        self.store = LocalStore(store)
        self.web = web
        driver = make_driver(ROOT, store)
        environment = driver.repository.environment("bullseye")
        self.debs = [deb for deb in environment.debs if deb.name in DEBS]
        assert len(self.debs) == len(DEBS)
        for deb in self.debs:
            self._serve(deb.path.rpartition("/")[2], driver.supplier.fetch(deb_pin("small", deb)))
        for name in re.findall(r'"pypi:([^"]+)"', self.recipe("guest-tools")):
            source = next(
                s
                for s in driver.repository.package("guest-tools").sources
                if getattr(s, "urls", ("",))[0] == f"pypi:{name}"
            )
            pin = driver.supplier.pin(driver.repository.package("guest-tools"), source, None, upgrade=False)
            self._serve(name.rpartition("/")[2], driver.supplier.fetch(pin))
        driver.sandbox.prepare()

    def _serve(self, name: str, path: Path) -> None:
        target = self.web.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.hardlink_to(path)

    def recipe(self, name: str) -> str:
        """Give a true recipe's text."""
        return (ROOT / "recipes" / "packages" / f"{name}.toml").read_text()

    def seed(self, store: Path) -> None:
        """Put the sandbox's program into a store: it comes from the host's mirror, which is not what is tested."""
        source, target = self.store.layout, LocalStore(store).layout
        target.make()
        for path in (*source.trees.iterdir(), *source.realisations.iterdir(), *source.planned.iterdir()):
            place = target.root / path.relative_to(source.root)
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True)
            else:
                shutil.copy2(path, place)


def write_repository(folder: Path, pantry: Pantry, layers: Mapping[str, tuple[str, ...]]) -> Path:
    """Write a repository with some layers of packages; a package named `b-after-a` has `a` as its input."""
    for kind in ("packages", "environments", "runtimes", "layers", "smoke"):
        (folder / "recipes" / kind).mkdir(parents=True, exist_ok=True)
    recipes, url = folder / "recipes", pantry.web.url
    (recipes / "environments" / "small.toml").write_text(
        '[environment]\nname = "small"\nsummary = "A shell and a Python"\nsystem = "x86_64-linux"\n'
        '[links]\n"usr/bin/awk" = "gawk"\n[variables]\nPATH = "/usr/bin:/bin"\n'
    )
    rows = [
        f'{{ name = "{d.name}", version = "{d.version}", path = "{url}/{d.path.rpartition("/")[2]}", '
        f'sha256 = "{d.sha256}", size = {d.size} }},'
        for d in pantry.debs
    ]
    (recipes / "environments" / "small.debs.toml").write_text("debs = [\n" + "\n".join(rows) + "\n]\n")
    tools = re.sub(r'"pypi:[^"/]+/', f'"{url}/', pantry.recipe("guest-tools"))
    (recipes / "packages" / "guest-tools.toml").write_text(tools.replace('"bullseye"', '"small"'))
    (recipes / "packages" / "tiny-python.toml").write_text(PYTHON)
    for path in (ROOT / "recipes" / "runtimes").glob("*.exports"):
        shutil.copy(path, recipes / "runtimes")
    runtime = (ROOT / "recipes" / "runtimes" / "python3.11.toml").read_text()
    runtime = runtime.replace('package = "python"', 'package = "tiny-python"').replace("lambda-al2", "small")
    runtime = runtime.replace("3.11", "3.9").replace('name = "python3.9"', 'name = "python3.9-small"')
    (recipes / "runtimes" / "python3.9-small.toml").write_text(runtime)
    for layer, packages in layers.items():
        for name in packages:
            _write_package(recipes, pantry.web, name)
        listed = ", ".join(f'"{name}"' for name in packages)
        (recipes / "layers" / f"{layer}.toml").write_text(LAYER.format(name=layer, packages=listed))
        names = [name.replace("-", "_") for name in packages]
        (recipes / "smoke" / f"{layer}.py").write_text("".join(f"import {name}\n" for name in names))
    return folder


def _write_package(recipes: Path, web: Web, name: str) -> None:
    module = name.replace("-", "_")
    files = {f"{module}/__init__.py": f"NAME = '{name}'\n", f"{module}/data": name * 5000}
    data = tarball(name, files)
    url = web.put(f"{name}-1.0.tar.gz", data)
    needed = name.partition("-after-")[2]
    text = PACKAGE.format(
        name=module,
        url=url,
        sha256=hashlib.sha256(data).hexdigest(),
        inputs=f'"{needed}"' if needed else "",
        more=f"cat /deps/{needed}/python/lib/python3.9/site-packages/*/data > $site/{module}/more"
        if needed
        else "",
    )
    text = text.replace(f'name = "{module}"', f'name = "{name}"', 1)
    (recipes / "packages" / f"{name}.toml").write_text(text)


def make_driver(repository: Path, store: Path, emit: Listener = silent, *, jobs: int = 0) -> Driver:
    """Make a driver as the command does."""
    made = Settings(repository=repository, store=store, environment=dict(os.environ), jobs=jobs)
    return construct(made, emit)


def lock_file(repository: Path, layer: str) -> Path:
    """Give the place of a layer's lock."""
    return Repository(repository).lock_path(layer)
