"""A layer's bill of materials as CycloneDX 1.6 in JSON.

`cyclonedx-python-lib` writes it. It knows no formulation (how the layer was made), so that part is put in here:
its components are written by the library too, and the whole is held against the official schema.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cyclonedx.model import (
    AttachedText,
    Encoding,
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import (
    Commit,
    Component,
    ComponentScope,
    ComponentType,
    Diff,
    Patch,
    PatchClassification,
    Pedigree,
)
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.impact_analysis import ImpactAnalysisJustification, ImpactAnalysisState
from cyclonedx.model.issue import IssueClassification, IssueType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.model.vulnerability import BomTarget, Vulnerability, VulnerabilityAnalysis
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator, JsonValidator
from packageurl import PackageURL

from layerlock import __version__
from layerlock.audit import inventory as stock
from layerlock.audit.inventory import AppliedPatch, Inventory
from layerlock.errors import InvalidRecipe
from layerlock.model.contents import PatchedStatement, Statement
from layerlock.model.digest import unsri
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:layerlock:lock")
"""What serial numbers are derived in: UUIDs of version 5 over the lock's hash, the same for the same lock."""

_FIRST: Final = ("$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata")


def document(inventory: Inventory) -> dict[str, Any]:
    """Give the document.

    Raises:
        InvalidRecipe: something in a recipe has no form that the schema takes.
    """
    shipped = {c.ref: _component(c) for c in inventory.shipped}
    top = _layer(inventory)
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, inventory.lock_sha256),
        metadata=BomMetaData(component=top, tools=[], lifecycles=[]),
        components=shipped.values(),
        dependencies=_dependencies(inventory, top, shipped),
        vulnerabilities=_vulnerabilities(inventory),
    )
    made = _written(bom)
    # The library always writes the time. The same lock shall give the same document.
    del made["metadata"]["timestamp"]
    made["metadata"]["tools"] = {
        "components": [{"type": "application", "name": "layerlock", "version": __version__}]
    }
    made["formulation"] = [_formula(inventory)]
    # The library sorts by name; people look for what the document is first.
    made = {name: made.pop(name) for name in _FIRST if name in made} | made
    wrong = problem(json.dumps(made), "1.6")
    if wrong is not None:
        raise InvalidRecipe(f"the recipes of {inventory.layer} make no valid CycloneDX document: {wrong}")
    return made


def problem(text: str, version: str) -> str | None:
    """Say what the schema of a CycloneDX version has against a document in JSON; None where it is valid."""
    try:
        schema = SchemaVersion.from_version(version)
        # What is written here holds under the strict schema; others may add what it does not know.
        validator = JsonStrictValidator(schema) if version == "1.6" else JsonValidator(schema)
    except (KeyError, ValueError, AttributeError):
        return f"there is no CycloneDX version {version!r} that is known here"
    error = validator.validate_str(text)
    if error is None:
        return None
    detail = error.data
    place = "/".join(str(step) for step in getattr(detail, "absolute_path", ()))
    return f"{place or 'top'}: {str(getattr(detail, 'message', detail))[:300]}"


def _written(bom: Bom) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    return document


def _layer(inventory: Inventory) -> Component:
    zipped = inventory.zip
    return Component(
        name=inventory.layer,
        type=ComponentType.APPLICATION,
        bom_ref=f"layer:{inventory.layer}",
        description=inventory.summary,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=zipped.sha256)] if zipped else [],
        properties=_properties(
            {
                "runtime": inventory.runtime,
                "architecture": inventory.architecture,
                "lock": inventory.lock_sha256,
                "planned": inventory.planned,
                "tree": zipped.tree if zipped else "",
            }
        ),
    )


def _component(component: stock.Component) -> Component:
    return Component(
        name=component.name,
        version=component.version,
        type=ComponentType.LIBRARY,
        bom_ref=component.ref,
        scope=ComponentScope.REQUIRED,
        description=component.summary or None,
        purl=PackageURL.from_string(component.purl) if component.purl else None,
        cpe=component.cpe or None,
        licenses=[LicenseExpression(component.license)] if component.license else [],
        hashes=_hashes(component.sources),
        external_references=_references(component),
        pedigree=_pedigree(component),
        properties=_properties({"planned": component.planned, "output": component.output or ""}),
    )


def _properties(stated: Mapping[str, str]) -> list[Property]:
    return [Property(name=f"layerlock:{name}", value=value) for name, value in stated.items() if value]


def _hashes(sources: tuple[LockedSource, ...]) -> list[HashType]:
    """Give the hash of what a component is, where that is one file: its archive, its wheel, its `.deb`."""
    files = [source for source in sources if isinstance(source, LockedFile)]
    return [HashType(alg=HashAlgorithm.SHA_256, content=files[0].sha256)] if len(files) == 1 else []


def _references(component: stock.Component) -> Iterator[ExternalReference]:
    if component.homepage:
        yield ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(component.homepage))
    for source in component.sources:
        yield from _of_source(source)


def _of_source(source: LockedSource) -> Iterator[ExternalReference]:
    match source:
        case LockedFile(urls=urls, sha256=sha256):
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]
            kind = ExternalReferenceType.SOURCE_DISTRIBUTION
            if urls[0].endswith((".whl", ".deb")):
                kind = ExternalReferenceType.DISTRIBUTION
            for url in urls:
                yield ExternalReference(type=kind, url=XsUri(url), hashes=hashes)
        case LockedGit(urls=urls, commit=commit, tree=tree):
            for url in urls:
                comment = f"commit {commit}, tree {tree}"
                yield ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(url), comment=comment)
        case LockedPath(path=path, tree=tree):
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=unsri(tree))]
            yield ExternalReference(
                type=ExternalReferenceType.OTHER,
                url=XsUri(path),
                comment="NAR hash of the folder",
                hashes=hashes,
            )


def _pedigree(component: stock.Component) -> Pedigree | None:
    """Give a component's patches with their text, and the commit that it was checked out at."""
    patches = [_patch(patch) for patch in component.patches]
    commits = [Commit(uid=source.commit) for source in component.sources if isinstance(source, LockedGit)]
    return Pedigree(patches=patches, commits=commits) if patches or commits else None


def _patch(patch: AppliedPatch) -> Patch:
    text = AttachedText(
        content=base64.b64encode(patch.text).decode(), content_type="text/x-diff", encoding=Encoding.BASE_64
    )
    return Patch(
        type=PatchClassification.UNOFFICIAL,
        diff=Diff(text=text, url=XsUri(patch.path)),
        resolves=[IssueType(type=IssueClassification.SECURITY, id=name) for name in patch.mends],
    )


def _dependencies(
    inventory: Inventory, top: Component, shipped: Mapping[str, Component]
) -> Iterator[Dependency]:
    """Give who needs whom: the layer all that it holds, a package its inputs that ship too, and its parts."""
    yield Dependency(ref=top.bom_ref, dependencies=[Dependency(ref=c.bom_ref) for c in shipped.values()])
    for component in inventory.shipped:
        needed = [ref for ref in (*component.needs, *component.holds) if ref in shipped]
        below = [Dependency(ref=shipped[ref].bom_ref) for ref in needed]
        yield Dependency(ref=shipped[component.ref].bom_ref, dependencies=below)


def _vulnerabilities(inventory: Inventory) -> Iterator[Vulnerability]:
    """Give the statements of the recipes, by which a scanner's findings are settled (VEX)."""
    covered: dict[tuple[str, Statement], list[str]] = {}
    for component in inventory.shipped:
        for statement in component.statements:
            covered.setdefault((component.owner, statement), []).append(component.ref)
    for number, ((owner, statement), refs) in enumerate(covered.items(), start=1):
        # One a name: scanners do not know which names are the same vulnerability's.
        for name in statement.ids:
            yield Vulnerability(
                bom_ref=f"statement:{owner}:{number}:{name}",
                id=name,
                analysis=_analysis(statement),
                affects=[BomTarget(ref=ref) for ref in refs],
            )


def _analysis(statement: Statement) -> VulnerabilityAnalysis:
    if isinstance(statement, PatchedStatement):
        return VulnerabilityAnalysis(
            state=ImpactAnalysisState.RESOLVED_WITH_PEDIGREE,
            detail=f"{statement.reason} (patches/{statement.patch})".lstrip(),
        )
    return VulnerabilityAnalysis(
        state=ImpactAnalysisState.NOT_AFFECTED,
        justification=ImpactAnalysisJustification(statement.justification),
        detail=statement.reason,
    )


def _formula(inventory: Inventory) -> dict[str, Any]:
    """Say how the layer was made: with which tools and environments, and by which builds."""
    tools = Bom(components=[_component(component) for component in inventory.building])
    return {
        "bom-ref": f"formula:{inventory.layer}",
        "components": _written(tools)["components"],
        "workflows": [
            {
                "bom-ref": f"workflow:{inventory.layer}",
                "uid": inventory.planned,
                "name": f"layerlock build {inventory.layer}",
                "taskTypes": ["build"],
                "tasks": [_task(c) for c in _built((*inventory.building, *inventory.shipped))],
                "properties": [{"name": "layerlock:lock", "value": inventory.lock_sha256}],
            }
        ],
    }


def _built(components: Iterable[stock.Component]) -> list[stock.Component]:
    return sorted((c for c in components if c.planned), key=lambda component: component.ref)


def _task(component: stock.Component) -> dict[str, Any]:
    task: dict[str, Any] = {
        "bom-ref": f"task:{component.ref}",
        "uid": component.planned,
        "name": component.owner,
        "taskTypes": ["build"],
        "outputs": [{"type": "artifact", "resource": {"ref": component.ref}}],
    }
    if component.needs:
        task["inputs"] = [{"resource": {"ref": ref}} for ref in component.needs]
    return task
