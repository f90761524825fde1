"""Registrations that are added, changed and removed while the server runs, and files that are read again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from appservice.registration import Registration
from homeserver.cli.appservices import Known, added, know, listed, queues_of, removed
from homeserver.cli.faults import Fault
from storage.opened import Storage, open_storage
from synapse_like_config import ConfigFault
from tests.integration.appservice.bridge import BOT, IRC, Bridge, Start, refusal, write
from tests.support.homeserver import SERVER, Homeserver, make_config

OTHER = IRC.replace("_irc", "_slack").replace("irc", "slack")


@pytest.fixture
def other_process(dsn: str) -> Iterator[Storage]:
    """Of the command that is run beside the server."""
    storage = open_storage(dsn, reactor=reactor, threads=1)
    yield storage
    storage.close()


async def known(storage: Storage, tmp_path: Path, more: str = "") -> Known:
    return await know(make_config(tmp_path, more), storage)


async def add(known: Known, text: str = IRC) -> str:
    return await added(known, Registration.read(text, SERVER), text, 0)


def change(hs: Homeserver) -> "Deferred[None]":
    """Fires when the registrations of a server have changed."""
    changed: Deferred[None] = Deferred()
    hs.server.appservices.registry.on_change(lambda: None if changed.called else changed.callback(None))
    return changed


async def test_what_is_added_is_taken_up_by_every_process_at_once(
    start_homeserver: Start, tmp_path: Path, other_process: Storage
) -> None:
    first, second = await start_homeserver(""), await start_homeserver("")
    assert refusal(await Bridge(first).ask("GET", "/account/whoami")) == (401, "M_UNKNOWN_TOKEN")
    changes = [change(first), change(second)]
    said = await add(await known(other_process, tmp_path))
    assert said == "Added irc: no url, speaks as @_irc_bot:hearth.test and @_irc_"
    for one in changes:
        await one
    for hs in (first, second):
        assert (await Bridge(hs).ok("GET", "/account/whoami"))["user_id"] == BOT


async def test_what_was_added_is_there_after_a_start(
    start_homeserver: Start, tmp_path: Path, other_process: Storage
) -> None:
    await add(await known(other_process, tmp_path))
    bridge = Bridge(await start_homeserver(""))
    assert (await bridge.ok("GET", f"/profile/{BOT}"))["displayname"] == "_irc_bot"


async def test_added_again_it_is_changed_and_removed_it_is_no_more(
    start_homeserver: Start, tmp_path: Path, other_process: Storage
) -> None:
    hs = await start_homeserver("")
    for text, says in ((IRC, "Added irc"), (IRC.replace("as-irc", "as-new"), "Changed irc")):
        is_changed = change(hs)
        assert (await add(await known(other_process, tmp_path), text)).startswith(says)
        await is_changed
    assert refusal(await Bridge(hs).ask("GET", "/account/whoami")) == (401, "M_UNKNOWN_TOKEN")
    await Bridge(hs, "as-new").ok("GET", "/account/whoami")
    is_changed = change(hs)
    said = await removed(await known(other_process, tmp_path), "irc")
    assert said == "Removed 'irc'. Its users and rooms stay as they are."
    await is_changed
    assert refusal(await Bridge(hs, "as-new").ask("GET", "/account/whoami")) == (401, "M_UNKNOWN_TOKEN")


async def test_two_services_do_not_share_a_token(tmp_path: Path, other_process: Storage) -> None:
    await add(await known(other_process, tmp_path))
    with pytest.raises(Fault, match="as_token: 'irc' and 'slack' have the same"):
        await add(await known(other_process, tmp_path), OTHER.replace("as-slack", "as-irc"))


async def test_what_a_file_of_the_configuration_says_is_changed_there(tmp_path: Path, other_process: Storage) -> None:
    config = write(tmp_path)
    with pytest.raises(Fault, match="is in a file that the configuration names"):
        await add(await known(other_process, tmp_path, config))
    with pytest.raises(Fault, match="SIGHUP"):
        await removed(await known(other_process, tmp_path, config), "irc")


async def test_who_removes_what_is_not_there_is_told_what_is(tmp_path: Path, other_process: Storage) -> None:
    with pytest.raises(Fault, match=r"There is no application service 'irc'\.$"):
        await removed(await known(other_process, tmp_path), "irc")
    await add(await known(other_process, tmp_path), OTHER)
    with pytest.raises(Fault, match=r"There are: slack\."):
        await removed(await known(other_process, tmp_path), "irc")


async def test_all_services_are_listed(tmp_path: Path, other_process: Storage) -> None:
    assert await listed(await known(other_process, tmp_path)) == "There are no application services."
    await add(await known(other_process, tmp_path), OTHER)
    text = await listed(await known(other_process, tmp_path, write(tmp_path)))
    assert text.splitlines() == [
        "irc: no url, speaks as @_irc_bot:hearth.test and @_irc_ (configuration)",
        "slack: no url, speaks as @_slack_bot:hearth.test and @_slack_",
    ]
    said = await queues_of(await known(other_process, tmp_path, write(tmp_path)), 0)
    assert said.splitlines() == ["irc: is told nothing", "slack: is told nothing"]


async def test_who_closes_the_names_of_people_is_warned(tmp_path: Path, other_process: Storage) -> None:
    said = await add(await known(other_process, tmp_path), IRC.replace("@_irc_", "@.*"))
    assert "people, who can no longer register" in said


async def test_a_file_with_faults_keeps_the_server_from_starting(start_homeserver: Start, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault) as caught:
        await start_homeserver(write(tmp_path, IRC.replace("id: irc", "id: 7").replace("url: null", "")))
    file = tmp_path / "irc.yaml"
    assert caught.value.faults == (
        f"app_service_config_files: {file}: id: must be a text, not a number; put it in quotes",
        f"app_service_config_files: {file}: url: must be given: an address, or null for a service that is told nothing",
    )


async def test_files_that_contradict_each_other_or_are_not_there_are_faults(
    start_homeserver: Start, tmp_path: Path
) -> None:
    write(tmp_path)
    write(tmp_path, IRC, "again.yaml")
    for names, fault in (("irc again", "'irc' is used by two"), ("nothing", "No such file or directory")):
        files = ", ".join(str(tmp_path / f"{name}.yaml") for name in names.split())
        with pytest.raises(ConfigFault, match=fault):
            await start_homeserver(f"app_service_config_files: [{files}]")


async def test_files_are_read_again_when_the_operator_asks(start_homeserver: Start, tmp_path: Path) -> None:
    hs = await start_homeserver(write(tmp_path))
    write(tmp_path, IRC.replace("as-irc", "as-new"))
    is_changed = change(hs)
    hs.server.reload()
    await is_changed
    assert (await Bridge(hs, "as-new").ok("GET", "/account/whoami"))["user_id"] == BOT


async def test_a_fault_in_a_file_that_is_read_again_changes_nothing(
    start_homeserver: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hs = await start_homeserver(write(tmp_path))
    write(tmp_path, "id: [")
    hs.server.reload()
    assert "Application services stay as they were" in caplog.text
    assert (await Bridge(hs).ok("GET", "/account/whoami"))["user_id"] == BOT
