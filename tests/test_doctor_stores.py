"""What `doctor` says of a store in Postgres or Supabase: what is missing, and how to apply it."""

import pytest
from databases import Postgres, Supabase
from stack.running import BARE

from wa_webhooks import doctor


def examine(url, env):
    return {result.name: result for result in doctor.examine(url, None, env)}


def environment(monkeypatch, project, **more):
    found = {**project.environment, **more}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.parametrize("kind", [Postgres, Supabase])
def test_a_store_that_is_well(monkeypatch, kind):
    backend = kind(None)
    found = examine(backend.url, environment(monkeypatch, backend.project))
    assert found["store"].remedy is None
    assert "writable" in found["store"].finding
    assert found["distance"].remedy is None
    assert found["distance"].finding.startswith("a call takes")


def test_keys_and_address(monkeypatch):
    project = Supabase(None).project
    more = {"SUPABASE_PUBLISHABLE_KEY": project.publishable_key}
    found = examine("supabase", environment(monkeypatch, project, **more))
    assert found["key"] == ("key", "a secret key", None)
    assert found["browsers"] == ("browsers", "their key may do nothing", None)
    assert found["project"] == ("project", project.api, None)
    legacy = {"SUPABASE_SECRET_KEY": project.jwt("service_role"), "SUPABASE_URL": "http://10.0.0.1"}
    plain = list(doctor.checks("supabase", {**legacy}))[:2]
    assert "https://" in plain[0].remedy
    assert "legacy" in plain[1].finding


def test_browsers_that_may_too_much_are_told(monkeypatch):
    project = Supabase(None).project
    env = environment(monkeypatch, project, SUPABASE_PUBLISHABLE_KEY=project.secret_key)
    assert examine("supabase", env)["browsers"].remedy is not None


def test_a_project_without_the_schema(monkeypatch, stack):
    project = stack.project(BARE)
    env = environment(monkeypatch, project)
    found = examine("supabase", env)["store"]
    assert "lacks" in found.finding
    assert "wa-hooks schema --write supabase" in found.remedy
    assert "supabase db push" in found.remedy
    found = examine(project.url, env)["store"]
    assert found.remedy is not None
    stack.end(project)


def test_without_the_settings(monkeypatch):
    found = examine("supabase", {})
    assert "SUPABASE_URL" in found["store"].remedy
    assert "key" not in found
