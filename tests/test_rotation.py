"""A rotation of the app secret: which secret signed when, and when the older one is not needed any more."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from wa_hooks_cli.main import main
from wa_webhooks.rotation import advice, standing
from wa_webhooks.signature import key_label
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery, to_text

NOW = datetime.now(UTC)
NEW, OLD, GONE = "new-app-secret", "old-app-secret", "gone-app-secret"


def used(secret, *, deliveries=3, ago=timedelta(0)):
    at = to_text(NOW - ago)
    return {"label": key_label(secret), "deliveries": deliveries, "first_at": at, "last_at": at}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:wa-hooks.db")) as opened:
        yield opened


def record(store, secret, *, ago=timedelta(0)):
    store.append([Delivery(body=b"{}", received_at=NOW - ago, signature_key=key_label(secret))])


def test_each_secret_stands_somewhere():
    rows = standing([used(GONE), used(OLD), {**used(NEW), "label": "secret 1"}], [NEW, OLD, "older still"])
    assert [(row["label"], row["standing"]) for row in rows] == [
        (key_label(GONE), "not configured any more"),
        (key_label(OLD), "older"),
        ("secret 1", "by its position: an earlier version had no labels"),
        (key_label(NEW), "current"),
        (key_label("older still"), "older"),
    ]
    assert [row["deliveries"] for row in rows] == [3, 3, 3, 0, 0]
    assert rows[3]["last_at"] is None


def test_without_configured_secrets_nobody_knows_where_they_stand():
    assert [row["standing"] for row in standing([used(NEW)], None)] == [None]


@pytest.mark.parametrize(
    ("seen", "secrets", "said"),
    [
        ([used(NEW)], [NEW], None),
        ([], None, None),
        ([used(OLD)], [NEW, OLD], "no delivery was signed with the current one"),
        ([used(NEW), used(OLD, ago=timedelta(days=6))], [NEW, OLD], "keep it until"),
        ([used(NEW), used(OLD, ago=timedelta(days=8))], [NEW, OLD], "is not needed any more: take it out"),
        ([used(NEW)], [NEW, OLD], "is not needed any more: take it out"),
        ([used(NEW)], [NEW, NEW], None),
    ],
)
def test_when_the_older_one_can_go(seen, secrets, said):
    found = advice(standing(seen, secrets), NOW)
    assert said in found if said else found is None


def test_how_long_to_keep_it_is_seven_days_after_its_last_use():
    rows = standing([used(NEW), used(OLD, ago=timedelta(days=6))], [NEW, OLD])
    assert f"keep it until {NOW + timedelta(days=1):%Y-%m-%dT%H:%MZ}" in advice(rows, NOW)


def test_stats_and_doctor_follow_a_rotation_and_tell_no_secret(store, capfd, monkeypatch):
    def run(*arguments):
        main([*arguments])
        out, err = capfd.readouterr()
        assert not [secret for secret in (NEW, OLD, GONE) if secret in out + err]
        return out

    record(store, GONE, ago=timedelta(days=40))
    record(store, OLD, ago=timedelta(days=9))
    record(store, OLD, ago=timedelta(days=8))
    assert [row["standing"] for row in json.loads(run("stats", "--json"))["app_secrets"]] == [None, None]
    monkeypatch.setenv("WHATSAPP_APP_SECRET", f"{NEW},{OLD}")
    assert f"labels {key_label(NEW)}, {key_label(OLD)}: a rotation is under way" in run("doctor")
    assert "ok    rotation       no delivery was signed with the current one" in run("doctor")
    record(store, NEW)
    (new, old, gone) = json.loads(run("stats", "--json"))["app_secrets"]
    assert new == {**used(NEW, deliveries=1), "standing": "current"}
    assert (old["deliveries"], old["standing"], gone["standing"]) == (2, "older", "not configured any more")
    assert datetime.fromisoformat(old["last_at"]) - datetime.fromisoformat(old["first_at"]) == timedelta(days=1)
    lines = run("stats").splitlines()
    assert next(line for line in lines if line.startswith(key_label(NEW))).endswith("  current")
    assert f"the older {key_label(OLD)} is not needed any more: take it out" in run("doctor")
    monkeypatch.setenv("WHATSAPP_APP_SECRET", NEW)
    assert f"set, label {key_label(NEW)}" in run("doctor")
    assert "rotation" not in run("doctor")
