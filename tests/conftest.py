"""What every test stands on: no settings from outside, no network but loopback, one set of stores."""

import ipaddress
import logging
import os
import socket

import pytest
from backends import BACKENDS
from databases import shared_stack
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
# The same examples every time: what CI says of a change must be the change's doing.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI, a test that is skipped for want of something is a failure: a green run must mean that it ran."""
    report = yield
    if report.skipped and os.environ.get("CI") and "needs" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"CI must run this: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def only_our_settings(monkeypatch, tmp_path):
    """A developer's own environment and .env must not decide a test."""
    for name in list(os.environ):
        if name.startswith(("WA_HOOKS_", "WHATSAPP_", "SUPABASE_")) and not name.startswith(
            ("WA_HOOKS_GOLDEN", "WA_HOOKS_TEST_")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def no_logs_left_over():
    """A command that sets up logging has a stream of its own test, which is closed for the next."""
    before = list(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - set(before):
        handler.close()
    logging.root.handlers[:] = before


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test connects to {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(params=BACKENDS, ids=list(BACKENDS))
def backend(request, tmp_path, monkeypatch):
    """Each store in turn; what commands need to find it is in the environment."""
    made = BACKENDS[request.param](tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def store(backend):
    opened = backend.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def stack():
    """The real parts of a Supabase project, started once, with the first test that needs them."""
    return shared_stack()
