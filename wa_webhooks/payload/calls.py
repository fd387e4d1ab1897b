"""`calls[]`: the steps of a call."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Anything, Errors, Known, Maybe, Required, Shape, Text, Time, Tolerant
from .contents import Media


class Session(Shape):
    """`calls[].session`: the media description; absent with SIP."""

    sdp_type: Annotated[Text, Known("offer answer")] = None
    sdp: Text = None


class Recording(Shape):
    """`calls[].call_recording` and `call_transcript`: the file, for some days."""

    type: Text = None
    audio: Maybe[Media] = None
    document: Maybe[Media] = None

    @property
    def file(self) -> Media | None:
        """The recording or the transcript."""
        return self.audio or self.document


class Call(Shape):
    """`calls[]`. `start_time`, `end_time` and `duration` (seconds) are there only if the call was picked up."""

    id: Required
    event: Annotated[
        Required, Known("connect terminate call_created call_recording_available call_transcription_available")
    ]
    timestamp: Time = None
    direction: Annotated[Text, Known("USER_INITIATED BUSINESS_INITIATED")] = None
    from_: Annotated[Text, Field(alias="from")] = None
    from_user_id: Text = None
    from_parent_user_id: Text = None
    to: Text = None
    to_user_id: Text = None
    to_parent_user_id: Text = None
    session: Maybe[Session] = None
    connection: Anything = None
    # One of Meta's samples shows `status` as a list, another with a capital letter alone.
    status: Annotated[str | list[str] | None, Tolerant("anything"), Known("COMPLETED FAILED")] = None
    start_time: Time = None
    end_time: Time = None
    duration: Text = None
    biz_opaque_callback_data: Text = None
    deeplink_payload: Text = None
    cta_payload: Text = None
    errors: Errors
    call_recording: Maybe[Recording] = None
    call_transcript: Maybe[Recording] = None

    @property
    def result(self) -> str | None:
        """Meta's word at the end, in upper case."""
        found = next(iter(self.status), None) if isinstance(self.status, list) else self.status
        return found.upper() if found else None
