"""Tiny wheels, and an index of them on loopback that states what it is told to, the truth or not."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.sources.web import Web


def metadata_of(
    name: str, version: str, requires: Sequence[str] = (), python: str = "", extras: Sequence[str] = ()
) -> bytes:
    """Write the METADATA of a wheel."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Requires-Dist: {each}" for each in requires]
    lines += [f"Provides-Extra: {each}" for each in extras]
    return "\n".join([*lines, "", ""]).encode()


def wheel_of(name: str, version: str, metadata: bytes, tag: str = "py3-none-any") -> bytes:
    """Make a wheel with one module, its files in order and its times fixed."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    texts = {
        f"{module}.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = [f"{place},sha256={_record(data)},{len(data)}" for place, data in texts.items()]
    texts[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for place, data in texts.items():
            archive.writestr(zipfile.ZipInfo(place), data)
    return made.getvalue()


def _record(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass
class Index:
    """A simple index; every `add` writes the project's page anew."""

    web: Web
    pages: dict[str, list[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.web.url}/simple"

    def add(
        self,
        name: str,
        version: str,
        *requires: str,
        tag: str = "py3-none-any",
        build: str = "",
        yanked: str | None = None,
        python: str = "",
        states_python: bool = True,
        extras: Sequence[str] = (),
        sha256: str | None = None,
        beside: bytes | bool = False,
    ) -> str:
        """Publish a wheel; give its sha256.

        `beside` puts its metadata beside it: the true one, or these bytes; `sha256` is stated instead of the true one.
        """
        metadata = metadata_of(name, version, requires, python, extras)
        data = wheel_of(name, version, metadata, tag)
        filename = f"{name.replace('-', '_')}-{version}{'-' + build if build else ''}-{tag}.whl"
        attributes = ""
        if beside is not False:
            told = metadata if beside is True else beside
            self.web.put(f"files/{filename}.metadata", told)
            attributes += f' data-core-metadata="sha256={hashlib.sha256(told).hexdigest()}"'
        if yanked is not None:
            attributes += f' data-yanked="{html.escape(yanked)}"'
        if python and states_python:
            attributes += f' data-requires-python="{html.escape(python)}"'
        true = hashlib.sha256(data).hexdigest()
        self.put(name, filename, data, true if sha256 is None else sha256, attributes)
        return true

    def put(self, project: str, filename: str, data: bytes, sha256: str, attributes: str = "") -> None:
        """Publish any file on a project's page."""
        self.web.put(f"files/{filename}", data)
        self.link(
            project, f"../../files/{filename}{'#sha256=' + sha256 if sha256 else ''}", filename, attributes
        )

    def link(self, project: str, target: str, text: str, attributes: str = "") -> None:
        """Put a link on a project's page."""
        links = self.pages.setdefault(project, [])
        links.append(f'<a href="{target}"{attributes}>{html.escape(text)}</a><br>')
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        self.web.put(f"simple/{project}/index.html", page.encode())
