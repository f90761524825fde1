"""Options that are read and checked, and have no effect yet: who sets one is told so when the server starts.

A line goes when the option gets its effect; a test compares this list with the code.
"""

NOT_YET = frozenset(
    [
        "bcrypt_rounds",
        "disable_msisdn_registration",
        "dummy_events_threshold",
        "federation_rr_transactions_per_room_per_second",
        "federation_whitelist_endpoint_enabled",
        "forgotten_room_retention_period",
        "form_secret",
        "jwt_config",
        "max_event_delay_duration",
        "oidc_providers",
        "rc_delayed_event_mgmt",
        "retention",
        "sso",
    ]
)

WARNING = "this option has no effect yet"
