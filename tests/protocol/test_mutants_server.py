"""Gateways with one law broken: each must be caught by the test that is named for the law."""

from __future__ import annotations

import dataclasses

import pytest

from simfabric.protocol import channel_log, codec, cursors, limits, merging, outgoing, publishing, rules, server, subscribing
from simfabric.protocol.effects import Append, MakeRoute, ReadLog
from simfabric.protocol.queues import SEND
from tests.protocol import test_channel_log, test_codec, test_server_connection, test_server_publish, test_server_recovery, test_server_slow

recovery, connection, publish, slow = test_server_recovery, test_server_connection, test_server_publish, test_server_slow


def hold_nothing(patch):
    patch.setattr(merging.Subscription, "hold", lambda self, envelope, most_bytes: None)


def route_after_the_read(patch):
    def start(self, correlation, channel, epoch, sequence, effects):
        self.channels[channel] = merging.Subscription(channel, correlation, self._ticket(), epoch, sequence, merging.READING)
        effects += [ReadLog(channel, self.tickets, sequence, 0), MakeRoute(channel, self.tickets)]

    patch.setattr(subscribing.Subscriptions, "start", start)


def holes_unseen(patch):
    patch.setattr(merging, "_continues", lambda read, rest: True)


def doubles_kept(patch):
    patch.setattr(merging, "_above", lambda event, read: True)


def epoch_ignored(patch):
    patch.setattr(merging, "recoverable", lambda seq, epoch, top, now, floor, most: cursors.recoverable(seq, now, top, now, floor, most))


def retention_ignored(patch):
    patch.setattr(merging, "recoverable", lambda seq, epoch, top, now, floor, most: cursors.recoverable(seq, epoch, top, now, 1, most))


def limit_ignored(patch):
    patch.setattr(merging, "recoverable", lambda seq, epoch, top, now, floor, most: cursors.recoverable(seq, epoch, top, now, floor, 2**60))


def ahead_is_success(patch):
    patch.setattr(merging, "recoverable", lambda seq, epoch, top, now, floor, most: cursors.recoverable(min(seq, top), epoch, top, now, floor, most))


def old_answers_taken(patch):
    patch.setattr(subscribing.Subscriptions, "_waiting", lambda self, channel, ticket, state, effects: self.channels.get(channel))


def old_epochs_forwarded(patch):
    patch.setattr(merging, "_above", lambda event, read: event.epoch != read.epoch or event.sequence > read.top)


def position_unchecked(patch):
    patch.setattr(subscribing.Subscriptions, "position", lambda self, checked, now, effects: SEND)


def tops_unsaid(patch):
    patch.setattr(subscribing.Subscriptions, "changed_tops", lambda self: ())


def zero_dropped(patch):
    columns = tuple(dataclasses.replace(column, default=0) if column.attribute == "sequence" else column for column in codec.CURSOR)
    patch.setattr(codec, "CURSOR", columns)


def key_for_everybody(patch):
    original = outgoing.Outgoing.event

    def event(self, envelope, now, effects):
        self.user = envelope.user
        return original(self, envelope, now, effects)

    patch.setattr(outgoing.Outgoing, "event", event)


def keys_forgotten(patch):
    patch.setattr(channel_log.ChannelLog, "_forget_keys", lambda self, now: self.keys.clear())


def appends_in_parallel(patch):
    def add(self, send, user, effects):
        self.appends += 1
        effects.append(Append(self.appends, send.channel, user, send.client_message_id, send.size))
        return True

    patch.setattr(publishing.Publications, "add", add)


def pings_in_step(patch):
    patch.setattr(server, "uniform", lambda key, entity, n: 0.999)


def revocation_version_unchecked(patch):
    original = server.GatewaySession._accept
    patch.setitem(
        server.HANDLERS, server.inputs.ConnectionAccepted, lambda self, accepted, now: original(self, dataclasses.replace(accepted, revision=2**60), now)
    )


def delivery_goes_on_after_revocation(patch):
    patch.setattr(subscribing.Subscriptions, "leave", lambda self, channel, effects: None)


def hidden_loss_at_the_bound(patch):
    patch.setattr(outgoing.Outgoing, "_soil", lambda self, channel, epoch, sequence, now: None)


def sending_on_in_a_dirty_channel(patch):
    original = outgoing.Outgoing.event

    def event(self, envelope, now, effects):
        self.dirty.pop(envelope.channel, None)
        return original(self, envelope, now, effects)

    patch.setattr(outgoing.Outgoing, "event", event)


def slowness_borne_for_ever(patch):
    patch.setattr(outgoing.Outgoing, "too_slow_at", lambda self: -1)


def buckets_of_one_connection(patch):
    original = server.GatewaySession.__init__
    patch.setattr(
        server.GatewaySession,
        "__init__",
        lambda self, number, gateway, parameters=None, shared=None, **rest: original(self, number, gateway, parameters, **rest),
    )


def tenants_pay_for_refusals(patch):
    original = limits._take

    def take(users, user, tenants, tenant, now):
        level, last = tenants.level(tenant, now)
        wait = original(users, user, tenants, tenant, now)
        if wait != limits.TAKEN:
            tenants.keep(tenant, level - limits.TOKEN, last)
        return wait

    patch.setattr(limits, "_take", take)


def draining_admits(patch):
    original = server.GatewaySession._subscribe_one

    def subscribe_one(self, *arguments):
        drain, self.drain = self.drain, None
        original(self, *arguments)
        self.drain = drain

    patch.setattr(server.GatewaySession, "_subscribe_one", subscribe_one)


def a_suspended_gateway_judges(patch):
    patch.setattr(rules, "hb_verdict", lambda now, deadline, interval: rules.DEAD)


MUTANTS = [
    (hold_nothing, recovery.test_case_9_an_event_before_the_route_one_during_the_read_and_one_after_come_once_each),
    (route_after_the_read, recovery.test_case_9_the_log_is_read_only_when_the_route_is_visible),
    (holes_unseen, recovery.test_case_9_a_hole_is_read_once_more_and_then_admitted),
    (doubles_kept, recovery.test_events_that_were_held_and_are_in_the_log_are_not_said_again),
    (epoch_ignored, lambda: recovery.test_recovery_is_all_or_nothing("another epoch", None)),
    (retention_ignored, lambda: recovery.test_recovery_is_all_or_nothing("past retention", None)),
    (limit_ignored, lambda: recovery.test_recovery_is_all_or_nothing("over the limit", None)),
    (ahead_is_success, lambda: recovery.test_recovery_is_all_or_nothing("ahead of the top", None)),
    (old_answers_taken, recovery.test_case_14_the_answer_of_an_older_subscribe_is_not_taken_for_the_new_one),
    (old_epochs_forwarded, recovery.test_case_2_events_of_an_old_epoch_that_were_held_are_not_let_go),
    (position_unchecked, recovery.test_case_23_a_last_event_that_was_lost_is_pushed_by_the_position_check),
    (tops_unsaid, connection.test_case_23_a_ping_names_the_tops_that_changed_since_the_last_one),
    (zero_dropped, test_codec.test_case_7_a_cursor_of_zero_is_not_the_absence_of_one),
    (key_for_everybody, recovery.test_an_event_is_forwarded_without_the_key_of_its_author),
    (keys_forgotten, test_channel_log.test_case_31_a_key_that_comes_twice_gets_its_first_result),
    (keys_forgotten, publish.test_case_31_a_resend_gets_the_first_result),
    (appends_in_parallel, publish.test_case_35_one_author_keeps_the_order_of_a_channel),
    (pings_in_step, connection.test_case_48_first_pings_are_spread_over_the_interval),
    (revocation_version_unchecked, lambda: connection.test_case_58_a_token_from_before_a_revocation_is_refused_by_every_gateway(4, False)),
    (delivery_goes_on_after_revocation, connection.test_case_57_a_revoked_channel_ends_and_the_others_go_on),
    (hidden_loss_at_the_bound, slow.test_a_dirty_channel_sends_nothing_more_until_the_buffer_drained_and_then_says_what_to_fetch),
    (sending_on_in_a_dirty_channel, slow.test_a_dirty_channel_sends_nothing_more_until_the_buffer_drained_and_then_says_what_to_fetch),
    (slowness_borne_for_ever, slow.test_a_buffer_that_stays_full_for_longer_than_the_grace_ends_the_connection),
    (buckets_of_one_connection, publish.test_the_buckets_are_shared_by_all_connections_of_a_user_and_by_a_tenant),
    (tenants_pay_for_refusals, publish.test_a_refused_user_costs_the_tenant_nothing),
    (draining_admits, connection.test_case_60_a_draining_gateway_says_so_serves_on_and_closes_at_the_deadline),
    (a_suspended_gateway_judges, connection.test_a_gateway_that_was_suspended_asks_once_more_before_it_judges),
]


@pytest.mark.parametrize(("mutant", "catcher"), MUTANTS, ids=[f"{at} {mutant.__name__}" for at, (mutant, _) in enumerate(MUTANTS)])
def test_a_gateway_with_a_broken_law_is_caught(mutant, catcher, monkeypatch):
    catcher()
    with monkeypatch.context() as patch:
        mutant(patch)
        with pytest.raises((AssertionError, ValueError)):
            catcher()
    catcher()
