"""The command line, up to where the server begins."""

import errno
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homeserver import VERSION
from homeserver.cli.accounts import asked_for, given_password
from homeserver.cli.commands import hearth
from homeserver.cli.faults import Fault
from homeserver.cli.options import bound_to, load, prepare_data
from homeserver.cli.serve import listening_urls, port_fault, register_command
from homeserver.web.listeners import CannotBind
from synapse_like_config import Config


def run(*words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(hearth, [str(word) for word in words], input=text)


def test_the_version_is_the_packages() -> None:
    assert run("version").output == f"Hearth {VERSION}\n"


def test_a_generated_configuration_is_good(tmp_path: Path) -> None:
    file = tmp_path / "data" / "homeserver.yaml"
    assert run("generate-config", "--server-name", "example.org", "-o", file).exit_code == 0
    checked = run("check-config", "-c", file)
    assert checked.exit_code == 0
    assert "The server name is example.org." in checked.output


def test_an_existing_configuration_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: mine.example.org\n")
    result = run("generate-config", "--server-name", "example.org", "-o", file)
    assert result.exit_code == 1
    assert file.read_text() == "server_name: mine.example.org\n"


def test_a_bad_server_name_is_a_usage_error() -> None:
    result = run("generate-config", "--server-name", "no such name")
    assert result.exit_code == 2
    assert "--server-name" in result.output


def test_all_faults_of_a_configuration_are_told_with_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: example.org\nenable_registration: perhaps\nmax_upload_size: much\n")
    result = run("check-config", "-c", file)
    assert result.exit_code == 2
    assert "enable_registration: " in result.output
    assert "max_upload_size: " in result.output
    assert "Traceback" not in result.output


def test_registrations_of_bridges_are_checked_with_the_configuration(tmp_path: Path) -> None:
    registration = tmp_path / "irc.yaml"
    registration.write_text("id: irc\n")
    file = tmp_path / "homeserver.yaml"
    file.write_text(f"server_name: example.org\napp_service_config_files: [{registration}]\n")
    result = run("check-config", "-c", file)
    assert result.exit_code == 2
    assert f"app_service_config_files: {registration}: as_token: must be given" in result.output


def test_an_option_that_is_not_known_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: example.org\nenable_registratoin: true\n")
    result = run("check-config", "-c", file)
    assert result.exit_code == 0
    assert "Warning: enable_registratoin" in result.output


def test_serve_ends_with_the_code_for_a_bad_configuration(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: [1]\n")
    assert run("serve", "-c", file, "--data", tmp_path).exit_code == 2


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run("serve", "-c", tmp_path / "nowhere.yaml").exit_code == 2


def test_the_file_in_the_data_directory_is_found_by_itself(tmp_path: Path) -> None:
    (tmp_path / "homeserver.yaml").write_text("server_name: found.example.org\n")
    assert load((), tmp_path).server.server_name == "found.example.org"


def test_without_any_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load((), tmp_path).server.server_name == Config.default().server.server_name


def test_a_data_directory_is_made(tmp_path: Path) -> None:
    prepare_data(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data").is_dir()


def test_a_data_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="--data DIR"):
        prepare_data(tmp_path / "file" / "data")


def test_bind_moves_the_default_listener() -> None:
    (listener,) = bound_to(Config.default(), ("0.0.0.0",)).listeners.listeners
    assert (listener.port, listener.bind_addresses) == (8008, ("0.0.0.0",))


def test_bind_does_not_touch_listeners_that_are_configured(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: example.org\nlisteners: [{port: 80, bind_addresses: ['::1'], type: http}]\n")
    config = load((file,), tmp_path)
    assert bound_to(config, ("0.0.0.0",)) == config


def test_a_port_in_use_is_explained() -> None:
    fault = port_fault(OSError(errno.EADDRINUSE, "Address already in use"), Config.default())
    assert fault is not None
    assert "Port 8008 is in use" in fault.message


def test_of_several_ports_the_one_is_named_that_cannot_be_had() -> None:
    fault = port_fault(CannotBind(OSError(errno.EADDRINUSE, "Address already in use"), 9000), Config.default())
    assert fault is not None
    assert fault.message.startswith("Port 9000 is in use")


def test_another_error_is_not_called_a_port_in_use() -> None:
    assert port_fault(OSError(errno.EIO, "Input/output error"), Config.default()) is None
    assert port_fault(PermissionError(errno.EACCES, "Permission denied", "/srv/key"), Config.default()) is None


def test_a_person_is_told_localhost_for_every_way_to_this_machine() -> None:
    assert listening_urls(Config.default().listeners) == ["http://localhost:8008"]
    everywhere = bound_to(Config.default(), ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1"))
    assert listening_urls(everywhere.listeners) == [
        "http://localhost:8008",
        "http://192.0.2.1:8008",
        "http://[2001:db8::1]:8008",
    ]


def test_the_register_command_leads_to_this_server(tmp_path: Path) -> None:
    words = shlex.split(register_command(Config.default(tmp_path), (Path("a b.yaml"),)))
    assert words[-4:] == ["-c", str(Path.cwd() / "a b.yaml"), "--data", str(tmp_path)]
    assert "--admin" in words


def test_an_account_is_no_administrator_unless_it_is_said() -> None:
    assert not asked_for("anna", "secret", None).admin
    assert asked_for("anna", "secret", True).admin


@pytest.mark.parametrize("user", ["Anna", "an na", "@anna:example.org", ""])
def test_a_name_that_no_account_can_have_is_refused(user: str) -> None:
    with pytest.raises(Fault, match="user name"):
        asked_for(user, "secret", False)


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(Fault, match="empty"):
        asked_for("anna", "", False)


def test_without_a_terminal_the_password_must_be_given(tmp_path: Path) -> None:
    result = run("register-user", "-u", "anna", "--data", tmp_path)
    assert result.exit_code == 2
    assert "--password-file" in result.output


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\nanother line\n")
    with file.open() as opened:
        assert given_password(None, opened) == "correct horse"


def test_a_database_that_is_not_there_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text(f"server_name: example.org\ndatabase: {{name: psycopg2, args: {{host: {tmp_path}, user: x}}}}\n")
    result = run("migrate", "-c", file, "--data", tmp_path)
    assert result.exit_code == 1
    assert "The database cannot be reached" in result.output
    assert "Traceback" not in result.output


def test_the_server_is_imported_without_a_reactor() -> None:
    """So that __main__ can choose one, and a process that has imported everything can fork."""
    words = "import sys, homeserver.app, homeserver.cli.commands; print('twisted.internet.reactor' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
