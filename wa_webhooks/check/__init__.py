"""Check fixtures: every one parses and, where its expected result lies beside it, gives exactly that.

A fixture is a file with the bytes of one delivery, `<case>.json`; beside it `<case>.expected.json` says which events
and changes it gives, and what in them the models do not know.
"""

from ..captures import EXPECTED_SUFFIX
from .cases import CaseResult, Report, check, check_body, check_paths
from .differences import Difference, What, compare
from .results import result_of

__all__ = [
    "EXPECTED_SUFFIX",
    "CaseResult",
    "Difference",
    "Report",
    "What",
    "check",
    "check_body",
    "check_paths",
    "compare",
    "result_of",
]
