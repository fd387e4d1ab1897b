"""Settings: secrets from the environment and files, a .env that never overrides."""

import os

import pytest

from wa_webhooks.errors import ConfigError
from wa_webhooks.settings import app_secrets, load_dotenv, verify_token


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("one", ("one",)),
        ("new,old", ("new", "old")),
        (" new , old ", ("new", "old")),
        ("new\nold", ("new", "old")),
        ("new\r\nold\r\n", ("new", "old")),
        ("new\n\nold\n", ("new", "old")),
        ("one\n", ("one",)),
        ("a=b/c+d", ("a=b/c+d",)),
    ],
)
def test_app_secrets_are_split_at_commas_and_line_ends(text, secrets, tmp_path):
    assert app_secrets({"WHATSAPP_APP_SECRET": text}) == secrets
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    assert app_secrets({"WHATSAPP_APP_SECRET_FILE": str(file)}) == secrets


@pytest.mark.parametrize("text", ["", " ", "\n", ",", "a,", ",a", "a,,b", "a, ,b"])
def test_an_empty_secret_is_refused(text, tmp_path):
    with pytest.raises(ConfigError, match="an app secret is empty"):
        app_secrets({"WHATSAPP_APP_SECRET": text})
    file = tmp_path / "secret"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="an app secret is empty"):
        app_secrets({"WHATSAPP_APP_SECRET_FILE": str(file)})


@pytest.mark.parametrize("env", [{}, {"WHATSAPP_APP_SECRET_FILE": ""}])
def test_no_secret_at_all_says_where_to_find_it(env):
    with pytest.raises(ConfigError, match="no app secret is set") as refused:
        app_secrets(env)
    assert "WHATSAPP_APP_SECRET" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "read"), [("WHATSAPP_APP_SECRET", app_secrets), ("WHATSAPP_VERIFY_TOKEN", verify_token)]
)
def test_a_secret_and_a_file_for_it_contradict_each_other(name, read, tmp_path):
    with pytest.raises(ConfigError, match=f"both {name} and {name}_FILE are set"):
        read({name: "hidden", f"{name}_FILE": str(tmp_path / "file")})


@pytest.mark.parametrize(
    ("name", "read"), [("WHATSAPP_APP_SECRET", app_secrets), ("WHATSAPP_VERIFY_TOKEN", verify_token)]
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason_and_not_quoted(name, read, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"hidden\xff")
    for path, reason in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory"), (binary, "not text")):
        with pytest.raises(ConfigError, match=reason) as refused:
            read({f"{name}_FILE": str(path)})
        assert str(path) in str(refused.value)
        assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(("text", "token"), [("token", "token"), (" token\n", "token"), ("a,b", "a,b")])
def test_the_verify_token_is_one_word_without_the_space_around_it(text, token, tmp_path):
    assert verify_token({"WHATSAPP_VERIFY_TOKEN": text}) == token
    file = tmp_path / "token"
    file.write_text(text, "utf-8")
    assert verify_token({"WHATSAPP_VERIFY_TOKEN_FILE": str(file)}) == token


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_verify_token_is_refused_and_an_absent_one_is_none(blank):
    with pytest.raises(ConfigError, match="blank"):
        verify_token({"WHATSAPP_VERIFY_TOKEN": blank})
    assert verify_token({}) is None


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """What the environment is after the .env file of the test's folder was loaded."""

    def load(**environ):
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", environ)
            load_dotenv(tmp_path)
        return environ

    return load


def test_a_dotenv_file_adds_our_variables_and_overrides_nothing(tmp_path, loaded):
    (tmp_path / ".env").write_text(
        """
        # a comment
        WHATSAPP_APP_SECRET=from the file
        export WHATSAPP_VERIFY_TOKEN='a # b'
        WA_HOOKS_STORE="sqlite:x.db"
        SUPABASE_URL=https://example.com  # a comment
        WA_HOOKS_NOTHING
        PATH=/evil
        PYTHONPATH=/evil
        NOT_WHATSAPP_X=1
        wa_hooks_lower=1
        """,
        "utf-8",
    )
    assert loaded(PATH="/bin", WHATSAPP_APP_SECRET="from outside") == {
        "PATH": "/bin",
        "WHATSAPP_APP_SECRET": "from outside",
        "WHATSAPP_VERIFY_TOKEN": "a # b",
        "WA_HOOKS_STORE": "sqlite:x.db",
        "SUPABASE_URL": "https://example.com",
    }


def test_without_a_dotenv_file_nothing_changes(tmp_path, loaded):
    assert loaded(PATH="/bin") == {"PATH": "/bin"}
    (tmp_path / ".env").mkdir()
    assert loaded(PATH="/bin") == {"PATH": "/bin"}


def test_a_dotenv_file_that_is_no_text_is_a_fault_of_the_configuration(tmp_path, loaded):
    (tmp_path / ".env").write_bytes(b"WA_HOOKS_X=\xff")
    with pytest.raises(ConfigError, match=r"cannot read .*\.env"):
        loaded()
