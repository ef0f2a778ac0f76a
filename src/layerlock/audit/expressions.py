"""SPDX licence expressions: whether one is valid, its licences, and whether a policy lets it ship."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from layerlock.model.licences import LicencePolicy

Standing = Literal["denied", "unlisted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objection:
    """A licence that keeps an expression from being acceptable."""

    licence: str
    standing: Standing


@cache
def _licensing() -> Any:
    # Here and not at the top: it knows every SPDX licence, and most verbs need none.
    import license_expression  # noqa: PLC0415

    return license_expression.get_spdx_licensing()


def problem(expression: str) -> str | None:
    """Say what is wrong with an expression; None where SPDX knows every part of it, in this very spelling.

    `LicenseRef-…` is allowed by SPDX for licences that it does not list.
    """
    import license_expression  # noqa: PLC0415

    try:
        parsed = _licensing().parse(expression, validate=True, strict=True)
    except license_expression.ExpressionError as error:
        unknown = _licensing().unknown_license_keys(expression, unique=True) if _parses(expression) else []
        if unknown and all(key.startswith("LicenseRef-") for key in unknown):
            return None
        return str(error).rstrip(".") or "it is no expression"
    if parsed is None:
        return "it is empty"
    rendered = str(parsed.render())
    if rendered.replace("(", "").replace(")", "") != expression.replace("(", "").replace(")", ""):
        return f"SPDX spells it {rendered}"
    return None


def licences(expression: str) -> tuple[str, ...]:
    """Give the licences of a valid expression, each with its exception, in order and once."""
    parsed = _licensing().parse(expression)
    return tuple(dict.fromkeys(str(leaf.render()) for leaf in parsed.get_literals()))


def objections(expression: str, policy: LicencePolicy, package: str) -> tuple[Objection, ...]:
    """Give what a policy has against an expression: of alternatives the least, of what holds together everything."""
    excepted = {each.licence for each in policy.exceptions if each.package == package}
    return _against(_licensing().parse(expression), policy, excepted)


def _against(node: Any, policy: LicencePolicy, excepted: set[str]) -> tuple[Objection, ...]:
    if node.isliteral:
        licence = str(node.render())
        if licence in excepted or licence in policy.allowed:
            return ()
        return (Objection(licence=licence, standing="denied" if licence in policy.denied else "unlisted"),)
    below = [_against(part, policy, excepted) for part in node.args]
    if type(node).__name__ == "OR":
        return min(below, key=lambda found: (sum(o.standing == "denied" for o in found), len(found)))
    return tuple(dict.fromkeys(objection for found in below for objection in found))


def _parses(expression: str) -> bool:
    import license_expression  # noqa: PLC0415

    try:
        return _licensing().parse(expression) is not None
    except license_expression.ExpressionError:
        return False
