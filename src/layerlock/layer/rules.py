"""Prune rules out of groups of files that a layer does without, with what each saves, and their text for a recipe."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from layerlock.layer.globs import selected
from layerlock.layer.spare import (
    DATA,
    FOLDERS,
    KINDS,
    LIBRARIES,
    NEVER_IMPORTED,
    OPTIONAL,
    REASONS,
    Group,
    folders,
    is_code,
    places,
)
from layerlock.layer.usage import Holding, object_stem

ORDER: Final = (NEVER_IMPORTED, OPTIONAL, *(kind.name for kind in KINDS), FOLDERS, LIBRARIES, DATA)
"""A file counts for the first rule that selects it; whole packages come first."""
_PATTERNS: Final = {kind.name: kind.patterns for kind in KINDS}
_WIDTH: Final = 140
_FEWER: Final = 3
"""How many times fewer patterns a folder has to take for its rule to be said by what stays."""
_NAMED: Final = 12
"""Groups that a rule's comment names, the largest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRule:
    """A prune rule and what it saves: files, bytes unpacked, bytes in the zip; `largest` are its groups by bytes.

    `keep` are patterns of files that `patterns` select and the tests need.
    """

    name: str
    patterns: tuple[str, ...]
    keep: tuple[str, ...]
    reason: str
    files: int
    bytes: int
    packed: int
    largest: tuple[tuple[str, int], ...]


def rules_of(
    groups: Collection[Group], holding: Holding, kept: Collection[str], taken: Collection[str]
) -> tuple[FoundRule, ...]:
    """Write rules that leave out the files of some groups, and nothing else of the layer.

    `kept` are paths that the recipe's own keep rules hold back whatever is written, `taken` names of its rules.
    """
    gone = {path for group in groups for path in group.files}
    counted: set[str] = set()
    found = []
    for name in ORDER:
        mine = [group for group in groups if group.rule == name]
        files = {path for group in mine for path in group.files} - counted
        if not files:
            continue
        counted |= files
        patterns, keep = _patterns(name, files, holding, gone | set(kept))
        weights = Counter({g.called: sum(holding.files[p].size for p in set(g.files) & files) for g in mine})
        found.append(
            FoundRule(
                name=name if name not in taken else f"{name}-by-trial",
                patterns=patterns,
                keep=keep,
                reason=REASONS[name],
                files=len(files),
                bytes=sum(holding.files[path].size for path in files),
                packed=sum(holding.files[path].packed for path in files),
                largest=tuple(sorted(weights.items(), key=lambda each: (-each[1], each[0]))),
            )
        )
    return tuple(found)


def text_of(rule: FoundRule) -> str:
    """Write a rule as the TOML of a recipe, with what it saves in a comment: reasons are hashed, comments are not."""
    saves = f"Saves {_mb(rule.bytes)} unzipped and {_mb(rule.packed)} zipped"
    named = ", ".join(f"{called} {_mb(size)}" for called, size in rule.largest[:_NAMED] if size)
    rest = len(rule.largest) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    lines = _wrapped(f"{saves}: {named}{more}." if len(rule.largest) > 1 else f"{saves}.", "# ")
    lines += ["[[prune]]", f"name = {json.dumps(rule.name)}", *_listed(rule.patterns)]
    return "\n".join((*lines, f"reason = {json.dumps(rule.reason, ensure_ascii=False)}", ""))


def keep_text_of(rule: FoundRule) -> str:
    """Write what a rule must not take as the TOML of a recipe."""
    reason = f"The smoke tests need them, of what `{rule.name}` leaves out."
    return "\n".join(("[[keep]]", *_listed(rule.keep), f"reason = {json.dumps(reason)}", ""))


def _listed(patterns: Sequence[str]) -> list[str]:
    quoted = [json.dumps(pattern, ensure_ascii=False) for pattern in patterns]
    one = f"patterns = [{', '.join(quoted)}]"
    return [one] if len(one) <= _WIDTH else ["patterns = [", *_wrapped(", ".join(quoted) + ",", "  "), "]"]


def _patterns(
    name: str, files: set[str], holding: Holding, allowed: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose patterns, and those of what they must not take: see `_going` and `_but_for`."""
    if name != DATA:
        return tuple(dict.fromkeys(_going(name, files, holding, allowed))), ()
    patterns, keep, left = [], [], set(files)
    needed = set(holding.files).difference(allowed)
    for folder, inside in _but_for(files, holding, allowed):
        patterns.append(_pattern(folder, holding, inside))
        keep += [_pattern(path, holding, needed) for path in sorted(inside & needed)]
        left -= inside
    patterns += _going(name, left, holding, allowed)
    return tuple(dict.fromkeys(patterns)), tuple(dict.fromkeys(keep))


def _but_for(
    files: Collection[str], holding: Holding, allowed: Collection[str]
) -> Iterator[tuple[str, set[str]]]:
    """Give the outermost folders of data that are said in fewer patterns by what stays in them than by what goes.

    Each comes with all the files in it.
    """
    coded = {folder for path in holding.files if is_code(path) for folder in folders(path)}
    found: list[str] = []
    for folder in sorted({folder for path in files for folder in folders(path)} - coded):
        if any(folder.startswith(f"{other}/") for other in found):
            continue
        inside = {path for path in holding.files if path.startswith(f"{folder}/")}
        stay = inside.difference(allowed)
        if stay and _FEWER * (1 + len(stay)) <= len({*places(holding, inside.intersection(files), allowed)}):
            found.append(folder)
            yield folder, inside


def _going(name: str, files: Collection[str], holding: Holding, allowed: Collection[str]) -> Iterator[str]:
    """Give a kind's own patterns where they select nothing that stays; else the places, by name."""
    left = set(files)
    for pattern in _PATTERNS.get(name, ()):
        chosen = {path for path in holding.files if selected(path, (pattern,))}
        if chosen & left and chosen <= set(allowed):
            left -= chosen
            yield pattern
    yield from (_pattern(place, holding, allowed) for place in places(holding, left, allowed))


def _pattern(place: str, holding: Holding, allowed: Collection[str]) -> str:
    """Name a place as recipes do: from the folder of modules on, and without versions, where that fits."""
    site = holding.site(f"{place}/x")
    inside = place[len(site) + 1 :] if site else place
    folder, _, base = inside.rpartition("/")
    stem = object_stem(base)
    if stem is not None and base != f"{stem}.so" and ".so." not in base:
        inside = f"{folder}/{stem}.*.so".lstrip("/")
    front = "**/site-packages/" if site.endswith("/site-packages") else f"{site}/" if site else "/"
    loose = front + re.sub(r"-[^-/]*(\.(?:dist|egg)-info)(/|$)", r"-*\1\2", _literal(inside))
    exact = _literal(place) if "/" in place else f"/{_literal(place)}"
    end = "" if place in holding.files else "/**"
    fits = all(path in allowed for path in holding.files if selected(path, (loose + end,)))
    return (loose if fits else exact) + end


def _literal(path: str) -> str:
    """Write a path as a pattern, which has no escapes: characters that mean something there stand as `?`."""
    return re.sub(r"[\[?\\]", "?", path)


def _wrapped(text: str, indent: str) -> list[str]:
    lines: list[str] = [indent.rstrip("\n")]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > _WIDTH and lines[-1].strip(" #"):
            lines.append(indent)
        lines[-1] += word if lines[-1] == indent else f" {word}"
    return lines


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size < 9_995_000 else f"{size / 1e6:.1f} MB"


def count_of(rules: Sequence[FoundRule]) -> tuple[int, int, int]:
    """Add up rules: files, bytes unpacked, bytes in the zip."""
    return (
        sum(rule.files for rule in rules),
        sum(rule.bytes for rule in rules),
        sum(rule.packed for rule in rules),
    )
