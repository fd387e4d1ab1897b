"""Handlers are found by patterns, all tried, and the user's own are loaded by name."""

import sys
import textwrap

import pytest
from building import body_of, delivery, envelope, message

from wa_webhooks.changes import AccountNoticed, LeadSeen
from wa_webhooks.errors import ConfigError
from wa_webhooks.handlers import Registry, builtin, load_registry
from wa_webhooks.pipeline import handle
from wa_webhooks.splitting import split

(EVENT,) = split(delivery(messages=[message()]))


def said(*numbers):
    """Changes that can be told apart."""
    return tuple(AccountNoticed(account_id=None, notice=str(number), at=None, detail="{}") for number in numbers)


def handler(name, *found, raises=None):
    """A handler of that name: it gives the changes `found`, then raises."""

    def run(event):
        yield from said(*found)
        if raises:
            raise raises

    run.__qualname__ = name
    return run


def registry_of(*entries):
    registry = Registry()
    for pattern, each in entries:
        assert registry.on(pattern)(each) is each
    return registry


@pytest.mark.parametrize(
    ("pattern", "event_type", "seen"),
    [
        ("*", "message.text", True),
        ("*", "unreadable", True),
        ("message.text", "message.text", True),
        ("message.text", "message.text.more", False),
        ("message.text", "message.texting", False),
        ("message.*", "message.text", True),
        ("message.*", "message.interactive.list_reply", True),
        ("message.interactive.*", "message.interactive.list_reply", True),
        ("message.interactive.*", "message.interactive", False),
        ("message.*", "message", False),
        ("message.*", "messages.text", False),
        ("status.*", "message.text", False),
    ],
)
def test_which_types_a_pattern_sees(pattern, event_type, seen):
    assert bool(registry_of((pattern, print)).matching(event_type)) is seen


@pytest.mark.parametrize(
    "pattern", ["", "**", "*.*", "*.text", "mess*", "mess*.*", "message.*.text", "message.*.*", "message*", ".*"]
)
def test_a_pattern_that_would_never_match_is_refused(pattern):
    with pytest.raises(ConfigError):
        Registry().on(pattern)


def test_all_that_match_are_run_in_order_of_registration():
    registry = registry_of(
        ("*", handler("first", 1)), ("status.*", handler("no", 2)), ("message.text", handler("second", 3, 4))
    )
    assert handle(EVENT, registry) == said(1, 3, 4)
    assert registry.names(EVENT.type) == ["test_registry.first", "test_registry.second"]
    assert len(registry.names()) == 3


def test_a_handler_registered_after_a_first_look_is_seen():
    registry = Registry()
    assert registry.matching("message.text") == ()
    registry.on("message.*")(print)
    assert registry.matching("message.text") == (print,)


def test_a_registry_made_of_others_takes_their_handlers_and_leaves_them_alone():
    one, other = registry_of(("*", handler("one", 1))), registry_of(("*", handler("other", 2)))
    both = Registry(one, other)
    both.on("*")(handler("third", 3))
    assert handle(EVENT, both) == said(1, 2, 3)
    assert handle(EVENT, one) == said(1)


def test_an_event_that_no_handler_sees_changes_nothing():
    assert handle(EVENT, Registry()) == ()


def test_a_failing_handler_stops_no_other_and_the_first_error_tells_of_the_rest():
    ran = []

    def last(event):
        ran.append(event)
        return []

    first = KeyError("first")
    registry = registry_of(
        ("*", handler("good", 1)),
        ("*", handler("bad", 2, raises=first)),
        ("*", handler("worse", raises=ValueError("second"))),
        ("*", last),
    )
    with pytest.raises(KeyError) as failed:
        handle(EVENT, registry)
    assert failed.value is first
    assert ran == [EVENT]
    assert first.__notes__ == ["in handler test_registry.bad", "also: ValueError: second"]


def test_a_handler_may_return_any_iterable_or_nothing():
    registry = registry_of(("*", lambda _: list(said(1))), ("*", lambda _: None), ("*", lambda _: iter(said(2))))
    assert handle(EVENT, registry) == said(1, 2)


@pytest.mark.parametrize("gives", [["x"], "x", [None], 7, {"kind": "lead_seen"}])
def test_a_handler_that_gives_no_changes_fails_its_event(gives):
    with pytest.raises(TypeError):
        handle(EVENT, registry_of(("*", lambda _: gives)))


def test_a_handler_that_exits_fails_its_event():
    with pytest.raises(SystemExit):
        handle(EVENT, registry_of(("*", handler("exits", raises=SystemExit(9)))))


@pytest.mark.parametrize(
    ("body", "handled_by"),
    [
        (delivery(messages=[message()]), "messages.message"),
        (delivery(statuses=[{"id": "1", "status": "sent", "timestamp": 1}]), "statuses.status"),
        (delivery(statuses=[{"id": "1", "status": "x", "type": "call", "timestamp": 1}]), "calls.call"),
        (delivery(calls=[{"id": "1", "event": "connect", "timestamp": 1}]), "calls.call"),
        (delivery(errors=[{"code": 1}]), "account.account"),
        (body_of(envelope({}, field="account_update")), "account.account"),
        (body_of(envelope({}, field="new")), "notes.named"),
    ],
)
def test_the_built_in_handler_of_each_kind(body, handled_by):
    assert ", ".join(builtin().names(split(body)[0].type)) == handled_by


def test_each_call_for_the_built_in_handlers_gives_a_registry_of_its_own():
    builtin().on("*")(handler("mine", raises=ValueError("mine")))
    assert isinstance(handle(EVENT, builtin())[0], LeadSeen)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working directory; what it leaves in the interpreter is taken back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), "utf-8")

    return write


def test_a_registry_is_loaded_from_the_working_directory(module):
    module(
        "wa_test_mine",
        """
        from wa_webhooks.handlers import Registry
        registry = Registry()
        @registry.on("message.*")
        def tag(event):
            return []
        """,
    )
    assert load_registry("wa_test_mine:registry").names(EVENT.type) == ["wa_test_mine.tag"]


@pytest.mark.parametrize("reference", ["", ":", "module", "module:", ":registry", "a.b.c"])
def test_a_reference_that_names_no_registry_is_refused(reference):
    with pytest.raises(ConfigError, match="does not name a registry"):
        load_registry(reference)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("wa_test_missing:registry", "ModuleNotFoundError"),
        ("wa_test_bad:absent", "AttributeError"),
        ("wa_test_raises:registry", "ZeroDivisionError"),
        ("wa_test_broken:registry", "SyntaxError"),
        ("wa_test_exits:registry", "SystemExit"),
        (".relative:registry", "TypeError"),
        ("wa_test_bad:registry", "is list, not a wa_webhooks.handlers.Registry"),
        ("wa_test_bad:Registry", "is type, not a wa_webhooks.handlers.Registry"),
    ],
)
def test_a_registry_that_cannot_be_loaded_says_why(module, reference, told):
    module("wa_test_bad", "from wa_webhooks.handlers import Registry\nregistry = []")
    module("wa_test_raises", "1 / 0")
    module("wa_test_broken", "def")
    module("wa_test_exits", "raise SystemExit(0)")
    with pytest.raises(ConfigError, match=told) as refused:
        load_registry(reference)
    assert reference in str(refused.value)
