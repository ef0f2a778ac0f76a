"""The page of an audit: one HTML file that needs no network, the same for the same facts, byte for byte.

Everything that it tells stands in it as text and tables; its script draws charts from those tables, so that whoever
does not see the charts has the same facts. A Content Security Policy (CSP level 3, in a `meta` element) lets the
browser run and apply only the scripts and styles of the page, by their sha256, and load nothing. Jinja escapes all
that is filled in. What is drawn is drawn by Apache ECharts; dagre places the vertices of the graph.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Final

from layerlock import __version__
from layerlock.audit.page_rows import Facts

SCRIPTS: Final = ("base.js", "controls.js")
"""What makes the page's tables handy."""
CHARTS: Final = ("base.js", "treemap.js", "graph.js", "controls.js")
"""The same with charts, in the order in which they run."""
STYLE: Final = "page.css"


def render(
    facts: Facts,
    *,
    size: Callable[[int], str],
    harmless: Callable[[str], str],
    libraries: tuple[str, ...] = (),
) -> str:
    """Write the page. `size` writes bytes for people, `harmless` drops what could forge a text's reading.

    `libraries` are the texts of ECharts and dagre; without them the page has its tables and no charts.
    """
    # Here and not at the top: only a page needs it.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        return "\n".join(harmless(line) for line in value.split("\n"))

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    environment.filters |= {"size": size, "share": _share, "link": _is_link, "counted": _counted}
    scripts = [*libraries, *(_data(name) for name in (CHARTS if libraries else SCRIPTS))]
    style = _data(STYLE)
    return environment.from_string(_data("page.html")).render(
        facts=facts,
        version=__version__,
        policy=_policy(scripts, style),
        # The driver's own files and pinned ones, which a test holds free of what would end their elements.
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        style=Markup(style),  # noqa: S704
        licences=_data("licences.txt") if libraries else "",
    )


def _policy(scripts: list[str], style: str) -> str:
    """Say what a browser may do with the page: run and apply what stands in it, and nothing else."""
    allowed = " ".join(_hash(script) for script in scripts)
    return f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(name: str) -> str:
    return files("layerlock").joinpath("data/page", name).read_text(encoding="utf-8")


def _share(part: int, whole: int) -> str:
    """Write a part of a whole in per cent."""
    if not whole:
        return ""
    share = 100 * part / whole
    return f"{share:.1f}\N{NO-BREAK SPACE}%" if 0 < share < 10 else f"{share:.0f}\N{NO-BREAK SPACE}%"


def _is_link(address: str) -> bool:
    """Say whether an address may become a link: recipes state others too, which mean nothing to a browser."""
    return address.startswith(("https://", "http://"))


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
