"""apt itself is played by shell scripts: these tests are about how it is called and how it fails."""

from pathlib import Path

import pytest

from index_builder.demo import apt
from index_builder.demo.apt import download_index
from models.errors import DataError

FIND_LISTS = 'for a in "$@"; do case "$a" in Dir::State::lists=*) lists="${a#*=}";; esac; done'
GOOD_UPDATE = f'{FIND_LISTS}\necho "$@" > "$lists/../../seen"\ntouch "$lists/x_Packages" "$lists/x_Translation-en"'


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Installs a shell script under one of apt's names."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(apt, "_APT_HELPER", str(programs / "apt-helper"))

    def install(name: str, script: str) -> None:
        path = programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    install("apt-get", GOOD_UPDATE)
    install("apt-cache", "echo Package: x")
    install("apt-helper", "echo Description-md5: 0")
    return install


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "private"
    path.mkdir()
    return path


def test_gives_the_two_files(fake, folder):
    index = download_index(folder)
    assert index.packages.read_text() == "Package: x\n"
    assert index.translations.read_text() == "Description-md5: 0\n"
    assert index.last_error == ""


def test_keeps_to_its_folder_and_to_the_machines_own_sources(fake, folder):
    download_index(folder)
    seen = (folder / "seen").read_text().split()
    for option in ("Dir::State", "Dir::State::lists", "Dir::Cache"):
        (value,) = [word.partition("=")[2] for word in seen if word.startswith(f"{option}=")]
        assert Path(value).is_relative_to(folder)
    assert {"APT::Sandbox::User=", "Acquire::Languages=en", "update"} <= set(seen)
    assert not any("Dir::Etc" in word for word in seen)


def test_no_apt_at_all(monkeypatch, folder):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="no apt-get"):
        download_index(folder)


def test_an_update_that_brings_nothing_fails_with_apts_last_error(fake, folder):
    fake("apt-get", "echo 'E: first' >&2; echo 'E: no route to host' >&2; echo 'W: ignored' >&2; exit 100")
    with pytest.raises(DataError, match="no package list: E: no route to host"):
        download_index(folder)


def test_an_update_that_fails_in_part_goes_on_and_keeps_the_error(fake, folder):
    fake("apt-get", f"{GOOD_UPDATE}\necho 'E: a third party has no key' >&2; exit 100")
    assert download_index(folder).last_error == "E: a third party has no key"


def test_lists_without_descriptions_fail(fake, folder):
    fake("apt-get", f'{FIND_LISTS}\ntouch "$lists/x_Packages"')
    with pytest.raises(DataError, match="no English descriptions"):
        download_index(folder)


def test_a_failing_reader_is_named_with_its_reason(fake, folder):
    fake("apt-cache", "echo 'E: broken cache' >&2; exit 7")
    with pytest.raises(DataError, match="`apt-cache` failed with status 7: E: broken cache"):
        download_index(folder)


def test_a_helper_that_is_missing_is_named(fake, folder, monkeypatch):
    monkeypatch.setattr(apt, "_APT_HELPER", str(folder / "nowhere" / "apt-helper"))
    with pytest.raises(DataError, match="`apt-helper` can't be run"):
        download_index(folder)


def test_an_update_that_hangs_is_given_up(fake, folder, monkeypatch):
    fake("apt-get", "exec sleep 60")
    monkeypatch.setattr(apt, "_UPDATE_SECONDS", 0.2)
    with pytest.raises(DataError, match=r"`apt-get` gave no answer within 0\.2 s"):
        download_index(folder)
