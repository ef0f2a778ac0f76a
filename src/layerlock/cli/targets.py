"""Names on the command line: which layer, function, package or derivation each means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.errors import UsageError

if TYPE_CHECKING:
    from layerlock.io.repository import Repository

_PARTS = ("tree", "zip", "smoke")


def is_layer(repository: Repository, name: str) -> bool:
    """Say whether a layer or a function has this name: what has a lock and becomes a zip."""
    return name in repository.targets()


def check_target(repository: Repository, name: str) -> None:
    """Make sure that a layer, a function or a package has this name.

    Raises:
        UsageError: none has; the nearest names are given.
    """
    known = (*repository.targets(), *repository.names("packages"))
    if name not in known:
        import difflib  # noqa: PLC0415 - most names are right

        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "layerlock show lists what there is"
        raise UsageError(
            f"there is no layer, no function and no package `{name}` in {repository.root}", hint=hint
        )


def check_layer(repository: Repository, name: str) -> None:
    """Make sure that a layer or a function has this name.

    Raises:
        UsageError: none has.
    """
    layers = repository.targets()
    if name in layers:
        return
    if name in repository.names("packages"):
        hint = f"`{name}` is a package; only layers and functions have locks"
    else:
        import difflib  # noqa: PLC0415 - as above

        near = difflib.get_close_matches(name, layers, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"layers: {', '.join(layers) or 'none'}"
    raise UsageError(f"there is no layer `{name}` in {repository.root}", hint=hint)


def builds_of(repository: Repository, name: str) -> tuple[str, tuple[str, ...]]:
    """Give the layer or package that a name belongs to, and the derivations that it means.

    A derivation's own name (`layer-cv-tree`, as messages of failed builds say it) is understood too.

    Raises:
        UsageError: there is no such thing.
    """
    layer, _, part = name.partition("-")[2].rpartition("-")
    if part in _PARTS and name in _derivations(repository, layer):
        return layer, (name,)
    check_target(repository, name)
    if is_layer(repository, name):
        return name, _derivations(repository, name)
    return name, (name,)


def _derivations(repository: Repository, name: str) -> tuple[str, ...]:
    kind = "function" if name in repository.names("functions") else "layer"
    return tuple(f"{kind}-{name}-{part}" for part in _PARTS) if is_layer(repository, name) else ()
