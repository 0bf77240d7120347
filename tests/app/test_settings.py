"""Settings: from the environment, checked, and never showing a secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import ServiceSettings, cores, load_settings, unknown_variables
from models.errors import ConfigError
from models.profiles import DEFAULT_WEIGHTS


def test_everything_has_a_default():
    settings = load_settings()
    assert (settings.artifacts, settings.host, settings.port) == (Path("artifacts"), "127.0.0.1", 8000)
    assert (settings.workers, settings.threads, settings.log_level) == (1, cores(), "info")
    assert settings.weights == DEFAULT_WEIGHTS
    assert (settings.api_keys, settings.redis_url, settings.accepted_keys) == ("", "", ())
    assert (settings.admin_keys, settings.accepted_admin_keys, settings.reload_seconds) == ("", (), 1)


def test_the_environment_is_read(monkeypatch):
    for name, value in {
        "ARTIFACTS": "/srv/x",
        "HOST": "0.0.0.0",
        "PORT": "0",
        "WORKERS": "3",
        "THREADS": "5",
        "LOG_LEVEL": "error",
        "API_KEYS": "one, two,,",
        "ADMIN_KEYS": "three,",
        "RELOAD_SECONDS": "0.5",
        "REDIS_URL": "rediss://:pw@h:1/2",
        "REDIS_TIMEOUT_MS": "0.5",
        "CACHE_TTL_SECONDS": "60",
        "CACHE_ENTRIES": "0",
        "MAX_WAITING_TEXTS": "7",
        "STATE": "/srv/state",
        "PROFILE_ITEMS": "3",
        "PROFILE_TEXTS": "0",
        "PROFILE_TTL_SECONDS": "4",
        "EVENT_WEIGHTS": "click=1, a=b=-2.5,",
        "EVENT_DEDUPE_SECONDS": "5",
    }.items():
        monkeypatch.setenv(f"RECALL_{name}", value)
    settings = load_settings()
    assert (settings.artifacts, settings.host, settings.port) == (Path("/srv/x"), "0.0.0.0", 0)
    assert (settings.workers, settings.threads, settings.log_level) == (3, 5, "error")
    assert settings.accepted_keys == ("one", "two")
    assert (settings.accepted_admin_keys, settings.reload_seconds) == (("three",), 0.5)
    assert (settings.redis_url, settings.redis_timeout_ms) == ("rediss://:pw@h:1/2", 0.5)
    assert (settings.cache_ttl_seconds, settings.cache_entries, settings.max_waiting_texts) == (60, 0, 7)
    assert (settings.state, settings.profile_items, settings.profile_texts) == (Path("/srv/state"), 3, 0)
    assert (settings.profile_ttl_seconds, settings.event_dedupe_seconds) == (4, 5)
    assert settings.weights == {"click": 1.0, "a=b": -2.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("PORT", ""),
        ("PORT", "http"),
        ("HOST", ""),  # would listen on every address
        ("WORKERS", "0"),
        ("WORKERS", "1.5"),
        ("THREADS", "0"),
        ("LOG_LEVEL", "loud"),
        ("REDIS_TIMEOUT_MS", "0"),
        ("RELOAD_SECONDS", "0"),
        ("CACHE_TTL_SECONDS", "0"),
        ("CACHE_ENTRIES", "-1"),
        ("MAX_WAITING_TEXTS", "0"),
        ("PROFILE_ITEMS", "0"),
        ("PROFILE_TEXTS", "-1"),
        ("PROFILE_TTL_SECONDS", "0"),
        ("EVENT_DEDUPE_SECONDS", "0"),
        ("EVENT_WEIGHTS", "click"),
        ("EVENT_WEIGHTS", "click=much"),
        ("EVENT_WEIGHTS", "click=nan"),
        ("EVENT_WEIGHTS", "=1"),
        ("EVENT_WEIGHTS", "click=101"),
    ],
)
def test_a_value_that_cannot_be_used_is_shown_with_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(f"RECALL_{name}", value)
    with pytest.raises(ConfigError, match=rf"^RECALL_{name}={value!r}: \w"):
        load_settings()


def test_every_wrong_value_is_shown_in_one_line(monkeypatch):
    monkeypatch.setenv("RECALL_PORT", "x")
    monkeypatch.setenv("RECALL_WORKERS", "y")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "RECALL_PORT='x'" in str(caught.value)
    assert "RECALL_WORKERS='y'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:6379", "http://h", "redis://:hunter2@h:port", "redis://:hunter2@[::1"])
def test_a_redis_url_that_is_none_is_refused_without_its_password(monkeypatch, url):
    monkeypatch.setenv("RECALL_REDIS_URL", url)
    with pytest.raises(ConfigError, match=r"^RECALL_REDIS_URL=…: ") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["RECALL_API_KEYS", "RECALL_ADMIN_KEYS"])
@pytest.mark.parametrize("keys", [",", " ", " , ,"])
def test_keys_that_hold_none_are_refused_instead_of_letting_everybody_in(monkeypatch, name, keys):
    monkeypatch.setenv(name, keys)
    with pytest.raises(ConfigError, match=rf"^{name}=…: it holds no key"):
        load_settings()


def test_secrets_are_not_shown():
    settings = ServiceSettings(api_keys="hunter2", admin_keys="hunter4", redis_url="redis://:hunter3@h")
    assert "hunter" not in repr(settings)


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        ServiceSettings().port = 1


def test_every_setting_is_described():
    assert all(field.description for field in ServiceSettings.model_fields.values())


def test_a_misspelt_variable_is_named_with_its_nearest_match(monkeypatch):
    monkeypatch.setenv("RECALL_WORKER", "2")
    monkeypatch.setenv("RECALL_ZZZZZZZZ", "2")
    monkeypatch.setenv("RECALL_PORT", "1")
    monkeypatch.setenv("OTHER", "1")
    assert unknown_variables() == [
        "RECALL_WORKER is no setting of this version; did you mean RECALL_WORKERS?",
        "RECALL_ZZZZZZZZ is no setting of this version",
    ]
