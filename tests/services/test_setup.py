"""Set-up from hash-pinned lists: what is fresh is left alone, what the user configured for pip is honoured."""

import hashlib

import pytest

from infra.services import bootstrap, jars


@pytest.fixture
def stamps(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "STAMPS", tmp_path / ".setup")
    return tmp_path / ".setup"


def test_a_part_is_fresh_only_for_the_same_input_and_while_its_result_is_there(stamps, tmp_path):
    lock, result = tmp_path / "lock.txt", tmp_path / "python"
    lock.write_text("a==1")
    result.write_text("")
    bootstrap.finish("platform", bootstrap.fingerprint(lock))
    assert bootstrap.is_fresh("platform", bootstrap.fingerprint(lock), result)
    result.unlink()
    assert not bootstrap.is_fresh("platform", bootstrap.fingerprint(lock), result)
    result.write_text("")
    lock.write_text("a==2")
    assert not bootstrap.is_fresh("platform", bootstrap.fingerprint(lock), result)


def fake_pip(folder, listing):
    pip = folder / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}\nEND\n")
    pip.chmod(0o755)
    return folder


def test_pips_index_and_certificate_are_handed_to_uv(tmp_path):
    tools = fake_pip(tmp_path, "global.index-url='https://mirror.example/simple'\n:env:.cert='/etc/ca.crt'")
    variables = bootstrap.uv_environment(tools)
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert variables["SSL_CERT_FILE"] == "/etc/ca.crt"


def test_an_option_uv_does_not_know_leaves_the_work_to_pip(tmp_path):
    assert bootstrap.uv_environment(fake_pip(tmp_path, "global.client-cert='/etc/me.pem'")) is None


@pytest.mark.parametrize("name", ["platform.txt", "superset.txt", "bootstrap.txt"])
def test_every_requirement_is_pinned_by_hash_and_names_no_index(name):
    text = (bootstrap.ENVS / name).read_text(encoding="ascii").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert requirements
    for line in requirements:
        assert "==" in line, line
        assert "--hash=sha256:" in line, line
    assert "://" not in text


def test_a_jar_that_differs_from_its_pin_is_named(tmp_path, monkeypatch):
    good = b"jar"
    pins = tmp_path / "jars.sha256"
    pins.write_text(f"{hashlib.sha256(good).hexdigest()}  a.jar\n{hashlib.sha256(b'other').hexdigest()}  b.jar\n")
    monkeypatch.setattr(jars, "PINS", pins)
    (tmp_path / "a.jar").write_bytes(good)
    (tmp_path / "b.jar").write_bytes(good)
    assert jars.wrong_jars(tmp_path) == ["b.jar"]


def test_five_delta_jars_are_pinned():
    assert len(jars.pinned()) == 5
    assert all(name.startswith("delta-") for name in jars.pinned())
