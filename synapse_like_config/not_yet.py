"""Options that are read and checked, and have no effect yet: who sets one is told so when the server starts.

A line goes when the option gets its effect; a test compares this list with the code.
"""

NOT_YET = frozenset(
    [
        "federation_rr_transactions_per_room_per_second",
        "forgotten_room_retention_period",
        "jwt_config",
        "max_event_delay_duration",
        "oidc_providers",
        "rc_delayed_event_mgmt",
        "retention",
        "sso",
    ]
)

# They say what is so in any case: nobody is asked for a phone number, and no form needs a secret of the operator's.
NO_NEED = frozenset(["disable_msisdn_registration", "form_secret"])

WARNING = "this option has no effect yet"
