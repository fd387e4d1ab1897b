"""Meta's JSON in Meta's words: pydantic models of every item and value that its reference documents."""

from .base import Contact, ErrorDetail, Shape, all_storable, parse_timestamp, read, storable, whole
from .calls import Call
from .contents import Content
from .messages import Message, StandbyEcho
from .statuses import Pricing, Status

__all__ = [
    "Call",
    "Contact",
    "Content",
    "ErrorDetail",
    "Message",
    "Pricing",
    "Shape",
    "StandbyEcho",
    "Status",
    "all_storable",
    "parse_timestamp",
    "read",
    "storable",
    "whole",
]
