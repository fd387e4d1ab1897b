"""The spool: what a receiver has acknowledged, on its own disk until a store over a network has it."""

from .file import DEFAULT_LIMIT, Spool, Spooled
from .sender import Sender
from .standing import Standing, target_of

__all__ = ["DEFAULT_LIMIT", "Sender", "Spool", "Spooled", "Standing", "target_of"]
