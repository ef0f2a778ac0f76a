"""A terminal, as far as the live display uses one."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def screen_after(written: str) -> list[str]:
    """Give the lines that stand on a terminal of any size after something was written to it, to the cursor's line.

    Raises:
        AssertionError: there is a sequence in it that the display has no business to use.
    """
    lines, row, column = [""], 0, 0
    position = 0
    while position < len(written):
        token = _TOKEN.match(written, position)
        assert token is not None, f"an unknown sequence: {written[position : position + 20]!r}"
        position = token.end()
        argument, command, control, text = token.groups()
        if control == "\n":
            # A terminal in its usual mode returns to the first column as well.
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif control == "\r":
            column = 0
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif command == "A":
            row = max(0, row - int(argument or 1))
        elif command == "K":
            assert argument == "2", argument
            lines[row] = ""
        else:
            assert command in "mhl", command
    assert not any(lines[row + 1 :]), "something stands below the cursor"
    return lines[: row + 1]
