"""The texts of recipes that are started for a person to go on with: pure, from what was found to TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from layerlock.model.requirements import Architecture

_COMPILE: Final = "-g0 -O2 -fstack-protector-strong -ffile-prefix-map=/build=."
"""No debug information, and no trace of the build's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What stands at the top of a package's recipe.

    `licence` is an SPDX expression; `called` is what metadata says where none was found in it, else empty.
    """

    name: str
    version: str
    summary: str = ""
    homepage: str = ""
    licence: str
    called: str = ""
    purl: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What a recipe is for, and what it is made in."""

    runtime: str
    python: str
    architecture: Architecture
    glibc: str
    environment: str

    @property
    def site(self) -> str:
        """Where modules go in a layer."""
        return f"python/lib/python{self.python}/site-packages"


def package_of_wheel(comment: str, head: Head, place: Place, url: str, sha256: str) -> str:
    """Write the recipe of a package that is one wheel."""
    return _joined(comment, _head(head), _source("wheel", url, sha256), _wheels_build(place, place.site))


def package_of_wheels(
    comment: str, head: Head, place: Place, wants: tuple[str, ...], *, tools: bool = False
) -> str:
    """Write the recipe of a package that is made from wheels by ranges: of a layer, or `tools` of a build."""
    listed = "".join(f"  {_text(each)},\n" for each in wants)
    requirements = _table("requirements", {"architecture": place.architecture, "glibc": place.glibc})
    build = _wheels_build(place, "" if tools else place.site)
    if tools:
        # Some wheels of tools bring one, which does nothing in a folder that is only on PYTHONPATH.
        build += "pth = true\n"
    return _joined(comment, _head(head), f"{requirements}wants = [\n{listed}]\n", build)


def package_of_source(
    comment: str, head: Head, place: Place, url: str, sha256: str, inputs: tuple[str, str]
) -> str:
    """Write the recipe of a package that is compiled: `inputs` are the Python, and the package of build tools."""
    kind: Literal["zip", "tarball"] = "zip" if url.endswith(".zip") else "tarball"
    tools = f"/deps/{inputs[1]}"
    build = (
        f"{_table('build', {'environment': place.environment})}inputs = {_list(inputs)}\n"
        "script = '''\n"
        "python3 -m build --wheel --no-isolation --outdir /build/wheel\n"
        'python3 -m installer --prefix /python --destdir "$out" --no-compile-bytecode /build/wheel/*.whl\n'
        "# The list of files would no longer be true of a pruned layer, and nothing uninstalls from it.\n"
        f'rm "$out"/{place.site}/*.dist-info/RECORD\n'
        "'''\n"
    )
    variables = _table(
        "build.variables",
        {
            "PATH": f"{tools}/bin:/var/lang/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{tools}/lib/python{place.python}/site-packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CFLAGS": _COMPILE,
            "CXXFLAGS": _COMPILE,
            "LDFLAGS": "-Wl,--as-needed -Wl,--build-id=none -Wl,-z,relro,-z,now",
        },
    )
    return _joined(comment, _head(head), _source(kind, url, sha256), build, variables)


def layer(comment: str, name: str, package: str, summary: str, place: Place, tools: tuple[str, ...]) -> str:
    """Write the recipe of a layer with one package, with a smoke test that imports it."""
    about = _table(
        "layer",
        {
            "name": name,
            "summary": summary,
            "runtime": place.runtime,
            "architecture": place.architecture,
            "environment": place.environment,
        },
    )
    listed = f'packages = {_list((package,))}\ntools = {_list(tools)}\nbytecode = "unchecked-hash"\n'
    return _joined(comment, about + listed, smoke(package))


def smoke(package: str) -> str:
    """Write the entry of a layer's recipe that names the smoke test of a package."""
    return "[[smoke]]\n" + _pairs({"name": f"{package}-imports", "file": f"smoke/{package}.py"})


def smoke_test(package: str, modules: tuple[str, ...]) -> str:
    """Write a program that imports what a package offers."""
    lines = [f'"""Imports {package}: a beginning. What functions will do with it proves more."""', ""]
    return "\n".join([*lines, *(f"import {module}" for module in modules), ""])


def conjunction(expressions: tuple[str, ...]) -> str:
    """Join SPDX expressions of which all hold, each named once."""
    parts = sorted(set(expressions))
    if len(parts) == 1:
        return parts[0]
    return " AND ".join(f"({part})" if " OR " in part or " AND " in part else part for part in parts)


def _head(head: Head) -> str:
    rows = {
        "name": head.name,
        "version": head.version,
        "summary": head.summary,
        "homepage": head.homepage,
        "license": head.licence,
        "purl": head.purl,
    }
    text = _table("package", {key: value for key, value in rows.items() if value})
    if head.called:
        licence = f"license = {_text(head.licence)}\n"
        text = text.replace(
            licence, f"# SPDX's name of it is to be found: its metadata says {head.called}\n{licence}"
        )
    return text


def _source(kind: str, url: str, sha256: str) -> str:
    return f'[[sources]]\nkind = "{kind}"\nurls = [{_text(url)}]\nsha256 = "{sha256}"\n'


def _wheels_build(place: Place, site: str) -> str:
    rows = {"environment": place.environment, "builder": "wheels", "python": place.python, "site": site}
    return _table("build", {key: value for key, value in rows.items() if value})


def _table(name: str, rows: Mapping[str, str]) -> str:
    return f"[{name}]\n{_pairs(rows)}"


def _pairs(rows: Mapping[str, str]) -> str:
    return "".join(f"{key} = {_text(value)}\n" for key, value in rows.items())


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _text(value: str) -> str:
    """Write a string of printable characters: JSON's quoting of these is TOML's too."""
    return json.dumps(value, ensure_ascii=False)


def _joined(comment: str, *parts: str) -> str:
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return "\n".join((lines, *parts))
