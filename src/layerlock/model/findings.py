"""What a check has to say of a layer: how bad it is, what, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from layerlock.errors import Location


class Severity(StrEnum):
    """How bad a finding is: an error must not ship, a warning wants a decision, a note is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Its place in the order worst first: 0 for an error."""
        return list(Severity).index(self)

    def reaches(self, threshold: Severity) -> bool:
        """Say whether it is at least as bad as `threshold`."""
        return self.rank <= threshold.rank


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that a check found.

    `subject` is what it is about, in the words of a recipe or of the layer: a package, the key of a source, a file
    of the layer. A layer's recipe can leave out one subject of a check by it. `location` is where to mend it.
    """

    check: str
    severity: Severity
    message: str
    subject: str
    hint: str = ""
    location: Location | None = None

    def order(self) -> tuple[int, str, str, str]:
        """Give the key by which findings are sorted: worst first, then by check, subject and text."""
        return self.severity.rank, self.check, self.subject, self.message
