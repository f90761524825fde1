"""The options that Synapse has and Hearth does not: to tell them from a slip of the pen.

Below an option that is named here, its own options are not.
"""

import re

# Nothing is lost without them: no statistics are sent anywhere, and the rest tunes Synapse's own machinery.
_MEANINGLESS = """
    background_updates event_cache_size gc_min_interval gc_thresholds print_pidfile report_stats
    report_stats_endpoint stats suppress_key_server_warning use_frozen_dicts
"""

# An element of a list is `[]`.
_OPTIONS = """
    account_threepid_delegates account_validity allow_insecure_secrets_in_config allow_underscore_prefixed_localpart
    auto_accept_invites.worker_to_run_on backup_media_store_path caches.cache_autotuning caches.cache_entry_ttl
    caches.expire_caches caches.per_cache_factors caches.sync_response_cache_duration cas_config daemonize
    database.txn_limit databases default_identity_server dont_notify_new_devices_for enable_local_media_storage
    enable_registration_captcha enable_registration_token_3pid_bypass exclude_rooms_from_presence
    experimental_features federation_metrics_domains federation_rc_concurrent federation_rc_reject_limit
    federation_rc_sleep_delay federation_rc_sleep_limit federation_rc_window_size federation_sender_instances
    full_twisted_stacktraces hs_disabled hs_disabled_message http_proxy https_proxy instance_map
    key_server_signing_keys_path limit_usage_by_mau listeners[].additional_resources listeners[].request_id_header
    listeners[].tag manhole manhole_settings matrix_authentication_service matrix_rtc mau_appservice_trial_days
    mau_limit_alerting mau_limit_reserved_threepids mau_stats_only mau_trial_days max_mau_value
    media_instance_running_background_jobs media_storage_providers metrics_flags modules next_link_domain_whitelist
    no_proxy_hosts notify_appservices_from_worker oembed oidc_providers[].additional_authorization_parameters
    oidc_providers[].backchannel_logout_enabled oidc_providers[].backchannel_logout_ignore_sub
    oidc_providers[].client_secret_jwt_key oidc_providers[].id_token_signing_alg_values_supported
    oidc_providers[].passthrough_authorization_parameters oidc_providers[].redirect_uri opentracing
    outbound_federation_restricted_to password_providers perspectives pusher_instances rc_message_burst_count
    rc_messages_per_second recaptcha_private_key recaptcha_private_key_path recaptcha_public_key
    recaptcha_public_key_path recaptcha_siteverify_api redis room_invite_state_types run_background_tasks_on
    saml2_config send_federation sentry server_context signing_key spam_checker start_pushers stream_writers
    synchronous_backup_media_store templates third_party_event_rules track_appservice_user_ips
    track_puppeted_user_ips update_user_directory_from_worker use_presence user_agent_suffix user_consent user_types
    worker_app worker_daemonize worker_listeners worker_log_config worker_manhole worker_name worker_pid_file
    worker_replication_secret worker_replication_secret_path
"""

MEANINGLESS = frozenset(_MEANINGLESS.split())
_OPTION_PATHS = frozenset(_OPTIONS.split())


def is_synapse_option(path: str) -> bool:
    """Is `path.to.an[3].option` one of Synapse's that Hearth does not read?"""
    return re.sub(r"\[[0-9]+\]", "[]", path) in _OPTION_PATHS
