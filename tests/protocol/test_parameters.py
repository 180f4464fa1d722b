"""Numbers: the defaults are those of the reference deployment, and what breaks a promise is refused by its law."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from simfabric.protocol.parameters import MINUTE, SECOND, Parameters


def test_the_numbers_of_the_architecture_are_the_defaults():
    p = Parameters()
    assert (p.heartbeat_interval, p.heartbeat_timeout) == (25 * SECOND, 10 * SECOND)
    assert (p.reconnect_first, p.reconnect_factor, p.reconnect_cap, p.reconnect_jitter, p.attempt_limit) == (SECOND, 2.0, 30 * SECOND, 0.2, 8)
    assert (p.max_channels, p.max_frame, p.out_buffer, p.queue_cap) == (200, 65_536, 1_048_576, 5_000)
    assert (p.token_ttl, p.ws_retry_min, p.ws_retry_max, p.schema_back) == (60 * SECOND, 5 * MINUTE, 10 * MINUTE, 1)


def test_case_37_the_server_must_remember_keys_longer_than_clients_resend():
    edge = 5 * MINUTE + 5 * SECOND
    with pytest.raises(ValueError, match=r"idempotency_window > outbox_age \+ ack_timeout"):
        Parameters(idempotency_window=edge)
    assert Parameters(idempotency_window=edge + 1).idempotency_window == edge + 1


def test_case_21_a_window_of_ids_below_what_a_producer_may_send_twice_is_refused():
    with pytest.raises(ValueError, match="dedupe_window >= outbox_cap; here 199 and 200 events"):
        Parameters(dedupe_window=199)
    assert Parameters(dedupe_window=200).dedupe_window == 200


def test_a_reconnect_must_not_be_throttled_by_the_bucket_of_subscribes():
    with pytest.raises(ValueError, match=r"subscribe_burst_user >= 2 \* max_channels"):
        Parameters(subscribe_burst_user=399)
    with pytest.raises(ValueError, match="400 and 201"):
        Parameters(max_channels=201)


def test_a_token_lives_from_one_to_five_minutes():
    for ttl in (MINUTE - 1, 5 * MINUTE + 1):
        with pytest.raises(ValueError, match="token_ttl"):
            Parameters(token_ttl=ttl)
    assert Parameters(token_ttl=5 * MINUTE).token_ttl == 5 * MINUTE


BROKEN = [
    ("reconnect_factor", 0.5), ("reconnect_jitter", 1.5), ("offline_jitter", -0.1), ("near_full", 0.0), ("out_soft", 1.5), ("jitter_order", "none"),
    ("heartbeat_driver", "both"), ("lease", 2 * SECOND), ("ws_retry_max", MINUTE), ("page_bytes", 70_000), ("out_buffer", 65_535), ("schema_back", 2),
    ("token_margin", 60 * SECOND), ("flush_every", 0), ("beat", 0), ("position_check", 0), ("gap_wait", -1), ("linger", -1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_number_that_breaks_a_law_is_refused_and_named(name, value):
    with pytest.raises(ValueError, match=name):
        replace(Parameters(), **{name: value})


def test_the_literal_gap_rule_and_the_absence_of_spreads_are_allowed():
    p = Parameters(gap_wait=0, reconnect_jitter=0.0, wake_jitter=0, drain_spread=0, stable_after=0)
    assert (p.gap_wait, p.stable_after) == (0, 0)


def test_a_set_of_parameters_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Parameters().beat = 1  # type: ignore[misc]  # That it cannot is the test.


def test_every_parameter_has_a_default_of_its_own_type():
    kinds = {"int": int, "bool": bool, "float": float, "JitterOrder": str, "Driver": str}
    assert all(type(getattr(Parameters(), field.name)) is kinds[field.type] for field in fields(Parameters))
