"""`hearth rotate-key`: a new signing key, before the old one has to be doubted."""

from homeserver.cli.faults import MISCONFIGURED, Fault
from synapse_like_config import Config, ConfigFault
from synapse_like_config.signing_key_file import read_or_make
from synapse_like_config.signing_key_rotation import prepare_rotation


def rotated(config: Config) -> str:
    """What was done, for the operator. Raises: Fault, where a new key waits already."""
    try:
        old = read_or_make(config.signing_key_path)[0]
        new = prepare_rotation(config.signing_key_path)
    except ConfigFault as fault:
        raise Fault(str(fault), MISCONFIGURED) from None
    return (
        f"Made the signing key {new.key_id}. Start the server again, all of its processes, and it takes the place of"
        f" {old.key_id}, which stays published as an old key."
    )
