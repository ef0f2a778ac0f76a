"""Pages whose prose people write, and whose measurements programs write."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_blocks(page: str, blocks: Mapping[str, str]) -> str:
    """Put what was measured into a page; its prose stays, and so does what was not measured.

    Raises:
        KeyError: the page has no place for a block.
    """
    pattern = re.compile(r"(<!-- measured: ([a-z-]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
    if missing := blocks.keys() - {found[2] for found in pattern.finditer(page)}:
        raise KeyError(f"the page has no place for {', '.join(sorted(missing))}")

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{blocks[found[2]].rstrip()}\n\n{found[3]}" if found[2] in blocks else found[0]

    return pattern.sub(block, page)
