"""The generated file."""

import re
from pathlib import Path

import attrs
import pytest

from matrix.ids import BadIdentifier, ServerName
from synapse_like_config import Config
from synapse_like_config.generate import sample
from synapse_like_config.not_yet import WARNING


def load(text: str, directory: Path) -> Config:
    file = directory / "homeserver.yaml"
    file.write_text(text)
    return Config.load((file,), environ={}, data_directory=directory)


def expected(directory: Path) -> Config:
    config = Config.default(directory)
    return attrs.evolve(config, server=attrs.evolve(config.server, server_name=ServerName("example.org")))


def test_it_loads_back_to_the_defaults(tmp_path: Path) -> None:
    config = load(sample("example.org"), tmp_path)
    assert config == expected(tmp_path)
    assert config.warnings == ()


def test_what_it_says_of_the_defaults_is_true(tmp_path: Path) -> None:
    uncommented = re.sub(r"^#(?=[a-z]|  )", "", sample("example.org"), flags=re.MULTILINE)
    config = load(uncommented, tmp_path)
    assert config == expected(tmp_path)
    assert all(warning.endswith(WARNING) for warning in config.warnings)
    assert "\nrc_message:" in uncommented


def test_files_are_named_below_the_data_directory(tmp_path: Path) -> None:
    config = load(sample("example.org", data_directory=tmp_path / "d", enable_search=False), tmp_path)
    assert config.signing_key_path == tmp_path / "d" / "example.org.signing.key"
    assert config.media_path == tmp_path / "d" / "media"
    assert not config.server.enable_search


def test_every_option_is_explained() -> None:
    lines = sample("example.org").splitlines()
    assert max(map(len, lines)) <= 121
    options = [n for n, line in enumerate(lines) if re.match(r"#? *[a-z_0-9]+:( |$)", line)]
    assert len(options) > 250
    assert not [lines[n] for n in options if not lines[n - 1].lstrip().startswith("## ") and "  - " not in lines[n]]


def test_a_bad_server_name_is_refused() -> None:
    with pytest.raises(BadIdentifier):
        sample("exa mple")
