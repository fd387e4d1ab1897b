"""The spool: what a receiver has acknowledged, on its own disk until a store over a network has it."""

from .file import DEFAULT_LIMIT, Spool, Spooled, Standing, target_of
from .sender import Sender

__all__ = ["DEFAULT_LIMIT", "Sender", "Spool", "Spooled", "Standing", "target_of"]
