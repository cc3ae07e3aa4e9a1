"""The filter of a list of codes. Lists, counts, maps and changes of many codes use the same conditions."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.codes.rules import ScanType


@dataclass(frozen=True)
class CodeFilter:
    """Conditions on codes; None is no condition.

    `text` is part of the code text, of an alias or of the description, in any case.
    """

    text: str | None = None
    tag: str | None = None
    scan_type: ScanType | None = None
    active: bool | None = None

    def parameters(self, org_id: UUID) -> dict[str, Any]:
        """Return the arguments of `matching_codes`, a function of the database.

        Execute its statements without preparing them, so that each search is planned for its own pattern: a rare one
        reads the index `qr_codes_text`, a common one the newest codes.
        """
        pattern = None if self.text is None else "%" + re.sub(r"([\\%_])", r"\\\1", self.text) + "%"
        return {
            "org_id": org_id,
            "pattern": pattern,
            "tag": self.tag,
            "scan_type": self.scan_type,
            "active": self.active,
        }
