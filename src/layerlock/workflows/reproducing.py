"""Building a layer of the past again, from its own revision's recipes and guest code, and comparing what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from layerlock.build.known import known
from layerlock.errors import NotReproducible, StaleLock, UsageError
from layerlock.events import Noted
from layerlock.io.lockfile import parse_lock
from layerlock.layer.result import LayerZip
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import Lock, LockedPath, LockedSource
from layerlock.plan.functions import names_of
from layerlock.plan.resolve import Plan
from layerlock.reproduce.archive import Archive
from layerlock.reproduce.manifest import Manifest
from layerlock.reproduce.past import GUEST, Checkout, Past
from layerlock.store.local import LocalStore
from layerlock.workflows.building import rebuild
from layerlock.workflows.delivering import deliver
from layerlock.workflows.driver import GUEST as OWN_GUEST
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import load_layer, recorded

MakeDriver = Callable[[Path, Path], Driver]
"""Makes a driver over a recipe repository, with guest code of a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first derivation, in build order, whose output is another one, or the zip.

    Args:
        name: the derivation.
        recorded: the hash that the lock records.
        found: the hash of what came out.
        rebuilt: what came out.
        original: the recorded output, where this machine still has it.
    """

    name: str
    recorded: str
    found: str
    rebuilt: Path
    original: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What building a past layer again showed.

    Args:
        layer: the layer.
        checkout: what its recipes were taken from.
        revision: the commit, where it is one.
        compared: the derivations whose outputs were held against the lock's record, in build order.
        reused: those of them that the store had already, and that were not built again.
        zip_sha256, zip_size: of the zip that came out; empty and 0 where it did not come to that.
        recorded_zip: the sha256 of the zip that the lock records.
        difference: what came out otherwise; None where all is identical.
    """

    layer: str
    checkout: str
    revision: str | None
    compared: tuple[str, ...]
    reused: tuple[str, ...]
    zip_sha256: str
    zip_size: int
    recorded_zip: str
    difference: Difference | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """A revision as an archive keeps it."""

    archive: Archive
    manifest: Manifest

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the archive {self.archive.root}"

    @property
    def revision(self) -> str | None:
        """None: an archive does not tell."""
        return None

    def lay_out(self, past: Past, into: Path) -> None:
        """Write the files of the repository, and the folders of it that are sources."""
        self.archive.lay_out(self.manifest, into)
        for pin in past.lock.sources:
            if isinstance(pin, LockedPath):
                (into / pin.path).parent.mkdir(parents=True, exist_ok=True)
                self.archive.unpack(pin.tree, into / pin.path)


def past_in_archive(
    archive: Archive, *, layer: str | None = None, lock: str | None = None, zipped: str | None = None
) -> Past | None:
    """Find a past layer in an archive: by its name, or by the sha256 of its lock or zip; None where it is not there.

    Raises:
        UsageError: the archive has several locks of the layer.
    """
    found = [
        manifest
        for manifest in archive.manifests()
        if layer in (None, manifest.layer)
        and lock in (None, manifest.lock)
        and (zipped is None or zipped == manifest.zip)
    ]
    if not found:
        return None
    if lock is None and zipped is None and len(found) > 1:
        places = "\n".join(f"--lock {archive.file(each.lock)}" for each in found)
        raise UsageError(
            f"{archive.root} holds {len(found)} locks of `{layer}`",
            hint=f"name one by its zip (--zip), or:\n{places}",
        )
    manifest = found[-1]
    text = archive.read(manifest.lock, f"lockfiles/{manifest.layer}.lock")
    return Past(
        layer=manifest.layer,
        lock=parse_lock(text, f"lockfiles/{manifest.layer}.lock in {archive.root}"),
        text=text,
        checkouts=(Archived(archive=archive, manifest=manifest),),
    )


def reproduce(
    past: Past, make_driver: MakeDriver, scratch: Path, originals: LocalStore | None, out: Path | None
) -> Verdict:
    """Build a past layer again, and compare every recorded output and the zip.

    Args:
        past: the lock, and what its recipes may be taken from; the first that fits is used.
        make_driver: makes the driver that builds.
        scratch: an empty folder, for the recipes.
        originals: a store that may still have recorded outputs, to say what differs.
        out: a folder for the zip.

    Raises:
        UsageError: the lock records nothing.
        StaleLock: no recipes fit the lock.
        LayerlockError: a fetch or a build failed.
    """
    if past.lock.zip is None or not recorded(past.lock):
        raise UsageError(
            f"the lock of `{past.layer}` records no outputs, so there is nothing to compare with",
            hint="name a lock that `record` wrote: layerlock history lists them",
        )
    found = fitting(past, make_driver, scratch)
    found.driver.emit(Noted(name=past.layer, message=f"the recipes are those of {found.checkout.name}"))
    return _compare(found, originals, out)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """A past lock with recipes that fit it, planned, and a driver over them."""

    driver: Driver
    checkout: Checkout
    lock: Lock
    plan: Plan
    pins: Mapping[str, LockedSource]


def fitting(past: Past, make_driver: MakeDriver, scratch: Path) -> Fitting:
    """Lay out what a past lock's recipes are taken from below `scratch`, up to the first one that fits the lock.

    Raises:
        StaleLock: none fits.
    """
    refusals: list[tuple[Checkout, StaleLock]] = []
    for number, checkout in enumerate(past.checkouts):
        folder = scratch / str(number)
        checkout.lay_out(past, folder)
        guest = folder / GUEST
        try:
            # A repository that is no driver's own has no guest code: the driver's is used, as it was then.
            driver = make_driver(folder, guest if any(guest.glob("*.py")) else OWN_GUEST)
            lock, plan, pins = load_layer(driver, past.layer)
        except StaleLock as error:
            refusals.append((checkout, error))
            continue
        return Fitting(driver=driver, checkout=checkout, lock=lock, plan=plan, pins=pins)
    first, refusal = refusals[0]
    raise StaleLock(
        f"the recipes of {first.name} do not fit the lock: {refusal.message}",
        hint="they were edited under this lock, or another layerlock planned it: name the revision that it belongs "
        "to with --repo-rev, or use that revision's layerlock",
        location=refusal.location,
    )


def _compare(found: Fitting, originals: LocalStore | None, out: Path | None) -> Verdict:
    driver, lock, plan = found.driver, found.lock, found.plan
    outputs = recorded(lock)
    names = tuple(derivation.name for derivation in plan.derivations if derivation.name in outputs)
    before = _outputs(driver.store, plan)
    reused = tuple(name for name in names if name in before)
    zipped: LayerZip | None = None
    try:
        zipped = rebuild(driver, lock, plan, found.pins)
    except NotReproducible:
        difference = _first(driver.store, plan, outputs, originals)
        if difference is None:
            raise
    else:
        difference = _of_zip(driver.repository.layer(lock.layer), lock, zipped)
        if out is not None:
            deliver(zipped, out, driver)
    now = _outputs(driver.store, plan)
    return Verdict(
        layer=lock.layer,
        checkout=found.checkout.name,
        revision=found.checkout.revision,
        compared=tuple(name for name in names if name in now),
        reused=reused,
        zip_sha256=zipped.sha256 if zipped is not None else "",
        zip_size=zipped.size if zipped is not None else 0,
        recorded_zip=lock.zip.sha256 if lock.zip is not None else "",
        difference=difference,
    )


def _outputs(store: LocalStore, plan: Plan) -> dict[str, str]:
    return {name: made.output for name, made in known(plan, store, {}).items()}


def _first(
    store: LocalStore, plan: Plan, outputs: Mapping[str, str], originals: LocalStore | None
) -> Difference | None:
    """Find the first derivation whose output is not the recorded one; what comes before it came out the same."""
    now = _outputs(store, plan)
    for derivation in plan.derivations:
        name = derivation.name
        if name in now and name in outputs and now[name] != outputs[name]:
            return Difference(
                name=name,
                recorded=outputs[name],
                found=now[name],
                rebuilt=store.held_tree(now[name]),
                original=originals.tree(outputs[name]) if originals is not None else None,
            )
    return None


def _of_zip(recipe: LayerRecipe, lock: Lock, zipped: LayerZip) -> Difference | None:
    """Compare the zip: where all outputs are the recorded ones, only a lock that was tampered with states another."""
    if lock.zip is None or lock.zip.sha256 == zipped.sha256:
        return None
    return Difference(
        name=names_of(recipe).zip, recorded=lock.zip.sha256, found=zipped.sha256, rebuilt=zipped.path
    )
