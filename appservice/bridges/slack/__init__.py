"""The bridge to Slack: a network for `appservice.bridges.core`."""
