"""The bridge to Discord: a network for `appservice.bridges.core`."""
