"""homeserver.yaml to frozen classes: Synapse's names, where Synapse has one, and its units."""

from synapse_like_config.config import Config
from synapse_like_config.load import ConfigFault

__all__ = ["Config", "ConfigFault"]
