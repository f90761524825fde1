"""Options that are read and checked, and have no effect yet: who sets one is told so when the server starts.

A line goes when the option gets its effect; a test compares this list with the code.
"""

NOT_YET = frozenset(
    [
        "admin_contact",
        "allow_per_room_profiles",
        "allowed_avatar_mimetypes",
        "auto_accept_invites",
        "auto_join_mxid_localpart",
        "auto_join_rooms",
        "auto_join_rooms_for_guests",
        "autocreate_auto_join_room_preset",
        "autocreate_auto_join_rooms",
        "autocreate_auto_join_rooms_federated",
        "bcrypt_rounds",
        "disable_msisdn_registration",
        "dummy_events_threshold",
        "exclude_rooms_from_sync",
        "federation_rr_transactions_per_room_per_second",
        "federation_whitelist_endpoint_enabled",
        "filter_timeline_limit",
        "forgotten_room_retention_period",
        "form_secret",
        "include_profile_data_on_invite",
        "jwt_config",
        "limit_remote_rooms",
        "max_avatar_size",
        "max_event_delay_duration",
        "oidc_providers",
        "pid_file",
        "rc_delayed_event_mgmt",
        "redaction_retention_period",
        "remote_media_download_burst_count",
        "remote_media_download_per_second",
        "retention",
        "room_prejoin_state",
        "soft_file_limit",
        "sso",
    ]
)

WARNING = "this option has no effect yet"
