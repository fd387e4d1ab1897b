"""What `doctor` says of networks and certificates; of secrets and the store see test_cli.py."""

import os
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from certificates import META, Authority

from wa_webhooks import doctor, tls
from wa_webhooks.errors import ConfigError

DAY = 86400


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def examine(tmp_path):
    """Run the checks with these variables; return {name: (finding, remedy)} of those that they are about."""

    def run(**env):
        found = doctor.examine(f"sqlite:{tmp_path}/none.db", None, {name: str(value) for name, value in env.items()})
        names = ("networks", "certificate", "authority", "WA_HOOKS_TLS_KEY")
        return {result.name: (result.finding, result.remedy) for result in found if result.name in names}

    return run


def test_without_the_variables_there_is_nothing_to_check(examine):
    assert examine() == {}
    assert examine(WA_HOOKS_ALLOW_NETWORKS="", WA_HOOKS_TLS_CERT="", WA_HOOKS_TLS_CLIENT_CA="") == {}


@pytest.mark.parametrize(
    ("text", "finding", "remedy"),
    [
        ("10.0.0.0/8, 2001:db8::/32", "2 named", None),
        ("10.0.0.1/8", "10.0.0.1/8 is no file, and on line 1: '10.0.0.1/8' is no network", "Write networks like"),
        ("/none/meta.txt", "/none/meta.txt is no file, and on line 1: '/none/meta.txt' is no", "Write networks like"),
    ],
)
def test_networks_that_are_named(examine, text, finding, remedy):
    told, how = examine(WA_HOOKS_ALLOW_NETWORKS=text)["networks"]
    assert told.startswith(finding)
    assert (how or "").startswith(remedy or "")
    assert (how is None) is (remedy is None)


@pytest.mark.parametrize(("days", "well"), [(0, True), (29, True), (30, False), (400, False)])
@pytest.mark.parametrize("stated", [True, False])
def test_a_file_of_networks_ages(examine, tmp_path, days, well, stated):
    file = tmp_path / "meta.txt"
    then = datetime.now(UTC) - timedelta(days=days, minutes=5)
    file.write_text(f"# fetched: {then:%Y-%m-%dT%H:%M:%SZ}\n10.0.0.0/8\n" if stated else "10.0.0.0/8\n")
    if not stated:
        os.utime(file, (then.timestamp(), then.timestamp()))
    finding, remedy = examine(WA_HOOKS_ALLOW_NETWORKS=file)["networks"]
    if well:
        assert (finding, remedy) == (f"1 in {file}, of {then:%Y-%m-%d}", None)
    else:
        assert (finding, remedy) == (
            f"{file} is {days} days old",
            f"wa-hooks networks --refresh {file}, and send SIGHUP to `serve`.",
        )


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "holds no networks"), (b"\n\nx", "line 3"), (b"\xff", "not text")]
)
def test_a_file_of_something_else(examine, tmp_path, content, said):
    file = tmp_path / "meta.txt"
    file.write_bytes(content)
    finding, remedy = examine(WA_HOOKS_ALLOW_NETWORKS=file)["networks"]
    assert said in finding
    assert remedy


@pytest.mark.parametrize(("days", "well"), [(100, True), (22, True), (20, False), (0, False), (-1, False)])
def test_a_certificate_that_expires(examine, authority, days, well):
    made = authority.issue(f"for{days}", META, days=days)
    until = datetime.now(UTC) + timedelta(days=days)
    env = {"WA_HOOKS_TLS_CERT": made.cert, "WA_HOOKS_TLS_KEY": made.key, "WA_HOOKS_TLS_CLIENT_CA": made.cert}
    found = examine(**env)
    for name in ("certificate", "authority"):
        finding, remedy = found[name]
        assert finding.endswith(f"{until:%Y-%m-%d}")
        assert (remedy is None) is well
        assert ("is valid until" in finding) is well
        assert ("has expired" in finding) is (days <= 0)


def test_the_first_certificate_of_a_chain_to_expire_counts(authority, tmp_path):
    early, late = authority.issue("early", META, days=5), authority.issue("late", META, days=50)
    chain = tmp_path / "chain.pem"
    chain.write_text(f"{late.cert.read_text()}some words\n{early.cert.read_text()}{authority.cert.read_text()}")
    assert tls.expiry(chain) == tls.expiry(early.cert) < tls.expiry(late.cert)


def test_the_expiry_is_what_ssl_tells_of_it(authority):
    context = ssl.create_default_context(cafile=authority.cert)
    (told,) = [ssl.cert_time_to_seconds(found["notAfter"]) for found in context.get_ca_certs()]
    assert tls.expiry(authority.cert).timestamp() == told
    assert 99 * DAY < told - time.time() < 101 * DAY


def test_an_expiry_in_another_century(authority):
    """Beyond 2049 it is written in another form."""
    made = authority.issue("long", META, days=365 * 40)
    assert abs(tls.expiry(made.cert) - datetime.now(UTC) - timedelta(days=365 * 40)) < timedelta(minutes=5)


def test_a_key_of_another_certificate(examine, authority):
    one, other = authority.issue("one", META), authority.issue("other", META)
    finding, remedy = examine(WA_HOOKS_TLS_CERT=one.cert, WA_HOOKS_TLS_KEY=other.key)["certificate"]
    assert "key values mismatch" in finding
    assert remedy


def test_a_key_that_everybody_may_read(examine, authority):
    made = authority.issue("loose", META)
    env = {"WA_HOOKS_TLS_CERT": made.cert, "WA_HOOKS_TLS_KEY": made.key}
    made.key.chmod(0o644)
    assert examine(**env)["WA_HOOKS_TLS_KEY"][1] == f"chmod 600 {made.key}"
    made.key.chmod(0o600)
    assert examine(**env)["WA_HOOKS_TLS_KEY"][1] is None


@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_files_that_hold_no_certificate(examine, tmp_path, content):
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    found = examine(WA_HOOKS_TLS_CERT=file, WA_HOOKS_TLS_CLIENT_CA=file)
    for name in ("certificate", "authority"):
        finding, remedy = found[name]
        assert finding.startswith("cannot ")
        assert str(file) in finding
        assert remedy


@pytest.mark.parametrize("length", [10, 100, 200, 300])
def test_a_certificate_that_is_cut_off(authority, tmp_path, length):
    der = ssl.PEM_cert_to_DER_cert(authority.cert.read_text())
    file = tmp_path / "cut.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(der[:length]))
    try:
        assert tls.expiry(file) == tls.expiry(authority.cert)  # cut behind it
    except ConfigError as exc:
        assert "it holds no certificate" in str(exc)  # noqa: PT017 - either is right
