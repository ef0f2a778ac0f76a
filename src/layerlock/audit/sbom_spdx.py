"""A layer's bill of materials as SPDX 2.3 in JSON, by `spdx-tools`.

SPDX 2 lists what ships and what built it side by side, told apart by relationships, which scanners do not heed. So
only what ships carries its package URL and CPE where scanners look; that of a build tool stands in its comment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from license_expression import ExpressionError, get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    File,
    FileType,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from layerlock import __version__
from layerlock.audit.inventory import AppliedPatch, Component, Inventory
from layerlock.errors import InvalidRecipe
from layerlock.model.digest import unsri
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource

CREATED: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""SPDX wants a time. It is that of the entries in a layer zip, so that the same lock gives the same document."""

_TOP: Final = "SPDXRef-layer"


def document(inventory: Inventory) -> dict[str, Any]:
    """Give the document.

    Raises:
        InvalidRecipe: something in a recipe has no form that SPDX takes, such as a licence that it does not know.
    """
    made = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=f"layer {inventory.layer}",
            document_namespace=f"urn:layerlock:spdx:{inventory.layer}:{inventory.lock_sha256}",
            creators=[Actor(ActorType.TOOL, f"layerlock-{__version__}")],
            # The library writes the time without its zone's offset.
            created=CREATED.replace(tzinfo=None),
        ),
        packages=[
            _layer(inventory),
            *(_package(component, ships=True) for component in inventory.shipped),
            *(_package(component, ships=False) for component in inventory.building),
        ],
        files=[_file(patch) for patch in _patches(inventory)],
        relationships=list(_relationships(inventory)),
    )
    wrong = validate_full_spdx_document(made)
    if wrong:
        raise InvalidRecipe(
            f"the recipes of {inventory.layer} make no valid SPDX document: {wrong[0].validation_message}"
        )
    converted: dict[str, Any] = DocumentConverter().convert(made)
    return converted


def problem_of(parsed: dict[str, Any]) -> str | None:
    """Say what is wrong with a document of SPDX 2; None where it is valid."""
    try:
        made = JsonLikeDictParser().parse(parsed)
    except SPDXParsingError as error:
        return str(error.get_messages()[0])[:300]
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        # The library's parser takes some types for granted.
        return f"its parts are not what SPDX has there ({type(error).__name__}: {str(error)[:200]})"
    wrong = validate_full_spdx_document(made)
    return str(wrong[0].validation_message)[:300] if wrong else None


def _layer(inventory: Inventory) -> Package:
    zipped = inventory.zip
    return Package(
        spdx_id=_TOP,
        name=inventory.layer,
        download_location=SpdxNoAssertion(),
        version=zipped.sha256 if zipped else None,
        file_name=f"{inventory.layer}.zip",
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, zipped.sha256)] if zipped else [],
        summary=inventory.summary or None,
        comment=f"for {inventory.runtime} on {inventory.architecture}; lock {inventory.lock_sha256}",
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        primary_package_purpose=PackagePurpose.ARCHIVE,
    )


def _package(component: Component, *, ships: bool) -> Package:
    files = [source for source in component.sources if isinstance(source, LockedFile)]
    return Package(
        spdx_id=_id(component.ref),
        name=component.name,
        download_location=_download(component.sources) or SpdxNoAssertion(),
        version=component.version or None,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, files[0].sha256)] if len(files) == 1 else [],
        homepage=component.homepage or None,
        source_info="; ".join(_told(source) for source in component.sources) or None,
        license_concluded=SpdxNoAssertion(),
        license_declared=_license(component),
        copyright_text=SpdxNoAssertion(),
        summary=component.summary or None,
        comment=None
        if ships
        else f"only builds or tries the layer; {component.purl or 'it has no package URL'}",
        external_references=list(_references(component)) if ships else [],
        primary_package_purpose=PackagePurpose.LIBRARY,
    )


def _license(component: Component) -> Any:
    if not component.license:
        return SpdxNoAssertion()
    try:
        return get_spdx_licensing().parse(component.license, validate=True)
    except ExpressionError as error:
        raise InvalidRecipe(
            f"the licence of `{component.name}` is no SPDX expression: {error}", location=component.location
        ) from None


def _download(sources: tuple[LockedSource, ...]) -> str | None:
    """Give the first address that names a server; registries are named in `source_info`."""
    for source in sources:
        match source:
            case LockedFile(urls=urls):
                found = next((url for url in urls if url.startswith("http")), None)
            case LockedGit(urls=urls, commit=commit):
                found = next((f"git+{url}@{commit}" for url in urls if url.startswith("http")), None)
            case LockedPath():
                found = None
        if found is not None:
            return found
    return None


def _told(source: LockedSource) -> str:
    match source:
        case LockedFile(urls=urls, sha256=sha256):
            return f"{' or '.join(urls)}, sha256 {sha256}"
        case LockedGit(urls=urls, commit=commit, tree=tree):
            return f"{' or '.join(urls)}, commit {commit}, NAR sha256 {unsri(tree)}"
        case LockedPath(path=path, tree=tree):
            return f"folder {path}, NAR sha256 {unsri(tree)}"


def _references(component: Component) -> Iterator[ExternalPackageRef]:
    if component.purl:
        yield ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", component.purl)
    if component.cpe:
        yield ExternalPackageRef(ExternalPackageRefCategory.SECURITY, "cpe23Type", component.cpe)


def _patches(inventory: Inventory) -> list[AppliedPatch]:
    """Give every patch once: two recipes may apply the same one."""
    found = {p.path: p for c in (*inventory.shipped, *inventory.building) for p in c.patches}
    return [found[path] for path in sorted(found)]


def _file(patch: AppliedPatch) -> File:
    sha1 = hashlib.sha1(patch.text, usedforsecurity=False).hexdigest()  # SPDX 2 wants one of every file
    return File(
        name=f"./{patch.path}",
        spdx_id=_id(patch.path),
        checksums=[
            Checksum(ChecksumAlgorithm.SHA1, sha1),
            Checksum(ChecksumAlgorithm.SHA256, patch.sha256),
        ],
        file_types=[FileType.SOURCE, FileType.TEXT],
        license_concluded=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        comment=f"mends {', '.join(patch.mends)}" if patch.mends else None,
    )


def _relationships(inventory: Inventory) -> Iterator[Relationship]:
    yield Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, _TOP)
    shipped = {component.ref for component in inventory.shipped}
    known = shipped | {component.ref for component in inventory.building}
    for component in inventory.shipped:
        yield Relationship(_TOP, RelationshipType.CONTAINS, _id(component.ref))
    for component in inventory.building:
        yield Relationship(_id(component.ref), RelationshipType.BUILD_DEPENDENCY_OF, _TOP)
    for component in (*inventory.shipped, *inventory.building):
        own = _id(component.ref)
        for ref in component.needs:
            # What ships is needed at run time too; the rest built it, and is not there.
            if ref in shipped and component.ref in shipped:
                yield Relationship(own, RelationshipType.DEPENDS_ON, _id(ref))
            elif ref in known:
                yield Relationship(_id(ref), RelationshipType.BUILD_DEPENDENCY_OF, own)
        for ref in component.holds:
            yield Relationship(own, RelationshipType.CONTAINS, _id(ref))
        for patch in component.patches:
            yield Relationship(_id(patch.path), RelationshipType.PATCH_FOR, own)


def _id(name: str) -> str:
    """Make an identifier: letters, digits, `.` and `-`; anything else by its number, so that no two names meet."""
    spelled = re.sub(r"[^A-Za-z0-9.-]", lambda found: "-" if found[0] in ":/" else f".{ord(found[0])}.", name)
    return f"SPDXRef-{spelled}"
