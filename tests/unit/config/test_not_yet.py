"""The list of options without effect is true: each is used nowhere, and every other is used somewhere."""

import re
from pathlib import Path

import attrs
import pytest

from synapse_like_config.config import Sections
from synapse_like_config.not_yet import NO_NEED, NOT_YET
from synapse_like_config.reading import keys_of
from synapse_like_config.sections.federation import Retries

ROOT = Path(__file__).parents[3]
# A secret may be in a file of its own: `x_path` is read as `x`.
OPTIONS = sorted(
    key
    for f in attrs.fields(Sections)
    for key in keys_of(f.metadata["of"])
    if not key.endswith(("_secret_path", "_secret_key_path", "_password_path"))
)
# What is read by a method of its section, under another name.
BY_METHOD = {
    "alias_creation_rules": "may_make_alias",
    "room_list_publication_rules": "may_publish",
    "media_store_path": "media_path",
    "signing_key_path": "signing_key_path",
    "extra_well_known_client_content": "well_known_client",
    "database": "dsn",
    "admin_contact": "well_known_support",
    "listeners": "open",
    "enable_metrics": "enable_metrics",
    "federation_domain_whitelist": "may_talk_to",
    "federation": r"federation\.federation",
    "push": r"notifications\.push",
}
# They say how the others are to be read, and have their effect while they are.
IN_THE_CONFIGURATION = {"enable_registration_without_verification", "enable_metrics", "caches"}
CODE = "\n".join(path.read_text() for path in ROOT.joinpath("homeserver").rglob("*.py"))


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_an_effect_or_is_on_the_list(option: str) -> None:
    used = re.search(rf"\.{BY_METHOD.get(option, option)}\b", CODE) is not None
    if option in IN_THE_CONFIGURATION:
        return
    assert used != (option in NOT_YET | NO_NEED), option


@pytest.mark.parametrize("option", keys_of(Retries))
def test_so_has_each_of_those_for_federation(option: str) -> None:
    assert re.search(rf"retries\.{option}\b", CODE), option
