"""Every error carries the decisions that its catchers would otherwise make again."""

import inspect

import pytest

from wa_webhooks import errors
from wa_webhooks.errors import WaHooksError

TABLE = {  # class: (HTTP status, exit code, whether it passes by itself)
    "WaHooksError": (500, 1, False),
    "ConfigError": (500, 2, False),
    "WhoisError": (500, 3, True),
    "SignatureError": (401, 3, False),
    "SignatureMissingError": (401, 3, False),
    "SignatureMismatchError": (401, 3, False),
    "HandshakeRefusedError": (403, 3, False),
    "PayloadError": (200, 3, False),
    "NothingMatchesError": (404, 4, False),
    "StoreError": (503, 5, False),
    "StoreUnavailableError": (503, 5, True),
    "StoreRejectedError": (503, 5, False),
    "SchemaMismatchError": (503, 5, False),
    "RetryLaterError": (500, 3, True),
    "HandlersMissingError": (500, 2, False),
    "GiveUpError": (500, 3, False),
}
CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]


def test_the_table_holds_every_class():
    assert {found.__name__ for found in CLASSES} == TABLE.keys()


@pytest.mark.parametrize("found", CLASSES)
def test_status_exit_code_and_transience(found):
    assert (found.http_status, found.exit_code, found.transient) == TABLE[found.__name__]
    assert issubclass(found, WaHooksError)


@pytest.mark.parametrize("found", CLASSES)
def test_the_default_message_is_the_first_line_of_the_docstring(found):
    first = (found.__doc__ or "").splitlines()[0]
    assert str(found()) == first
    assert first.endswith(".")
    assert str(found("another")) == "another"


@pytest.mark.parametrize("found", [found for found in CLASSES if found.__name__ != "RetryLaterError"])
def test_a_hint_travels_beside_the_message(found):
    assert found("text", hint="do this").hint == "do this"
    assert found().hint is None


def test_a_retry_later_keeps_its_delay():
    assert errors.RetryLaterError(delay=90).delay == 90
    assert errors.RetryLaterError().delay is None
