"""The faults of the swarm: each must be survived, alone and with any others; up to three are drawn for a topology, one line each.

Those that a topology refuses (a router where there is none) are drawn again. Traffic falls silent at 24 s and the run ends at 40 s: what is still
away then, or longer, is no fault for this list.
"""

from __future__ import annotations

from simfabric.chance import below, decision_key

NODES = (
    "{kind: kill_node, at: 3s, down: 2s}",
    "{kind: kill_node, at: 11s, down: 300ms, target: {gateway: 0}}",
    "{kind: kill_node, at: 17s, down: 4s, target: {gateway: all}}",
    "{kind: restart_node, at: 8s, down: 1s, target: {gateway: all}}",
    "{kind: rolling_deploy, at: 5s, down: 1s, pause: 2s}",
    "{kind: kill_node, at: 9s, down: 1s, target: {router: one}}",
    "{kind: kill_node, at: 6s, down: 9s, target: {router: 0}}",
    "{kind: drain_node, at: 9s, grace: 2s, down: 1s}",
    "{kind: crash_loop_node, at: 5s, down: 500ms, pause: 1s}",
    "{kind: lose_region, at: 7s, down: 3s}",
    "{kind: pause_node, at: 6s, length: 5s}",
    "{kind: stall_loop, every: exponential(5s), length: 400ms, target: {gateway: all}}",
    "{kind: slow_node, at: 4s, length: 9s, cpu: 30%, target: {gateway: all}}",
    "{kind: exhaust_descriptors, at: 5s, length: 9s, limit: 2}",
    "{kind: push_bad_config, at: 6s, length: 3s, factor: 30}",
)
LINKS = (
    "{kind: reset_connections, every: exponential(4s), share: 30%, spread: 500ms, p: 80%}",
    "{kind: storm_reconnect, at: 9s, spread: 200ms}",
    "{kind: half_open, at: 7s, share: 40%, spread: 2s}",
    "{kind: rebind_address, at: 12s, share: 50%}",
    "{kind: sleep_clients, at: 5s, share: 40%, length: 6s, spread: 1s}",
    "{kind: slow_clients, at: 6s, share: 50%, length: 5s}",
    "{kind: cap_bandwidth, at: 6s, share: 50%, length: 7s, bandwidth: 16kbit/s}",
    "{kind: clog_link, every: exponential(5s), share: 40%, length: 1500ms}",
    "{kind: split_network, at: 7s, length: 1500ms, target: {gateway: one}}",
    "{kind: split_network, at: 4s, length: 8s, target: {gateway: minority}}",
    "{kind: split_one_way, at: 9s, length: 3s, way: in}",
    "{kind: reorder_packets, at: 5s, length: 8s, share: 30%, most: 400ms}",
    "{kind: duplicate_packets, at: 5s, length: 8s, share: 30%, most: 300ms}",
    "{kind: lose_packets, at: 5s, length: 8s, share: 5%}",
    "{kind: delay_packets, every: exponential(6s), length: 2s, most: 400ms}",
    "{kind: old_clients, at: 2s, length: 30s, share: 60%, profile: never_reset}",
    "{kind: stale_dns, at: 8s, length: 4s, share: 50%}",
)
EDGE = (
    "{kind: slow_handshakes, at: 10s, length: 3s, factor: 50}",
    "{kind: lose_balancer, at: 9s, length: 3s}",
    "{kind: stale_balancer, at: 2s, length: 12s, late: 3s}",
    "{kind: flap_health, at: 6s, length: 6s, share: 40%, target: {gateway: all}}",
    "{kind: bad_canary, at: 7s, length: 6s, share: 70%}",
    "{kind: limit_api, at: 7s, length: 6s, factor: 20}",
    "{kind: limit_api, at: 7s, length: 6s, api: snapshot, factor: 1, errors: 40%}",
    "{kind: fail_tokens, at: 9s, length: 4s, factor: 0}",
    "{kind: fail_tokens, at: 10s, length: 2s, factor: 1, errors: 50%, expire: true}",
)
ROUTES = (
    "{kind: corrupt_routes, every: 2s, share: 30%, p: 50%, target: {gateway: minority}}",
    "{kind: fail_over_store, at: 12500ms, lost: 2s}",
)
STATE = ("{kind: degrade_store, at: 4s, length: 3s, factor: 0}", "{kind: degrade_store, every: exponential(6s), length: 2s, factor: 8, p: 70%}")
BUS: tuple[str, ...] = (
    "{kind: restart_broker, at: 7s, down: 4s}",
    "{kind: restart_broker, every: exponential(4s), down: 2s, p: 50%, target: {broker: all}}",
    "{kind: crash_consumer, at: 9s, down: 2s, mode: commit_first}",
    "{kind: rebalance_group, at: 6s, down: 5s, pause: 1s}",
    "{kind: rebalance_group, at: 10s, down: 2s, pause: 500ms, mode: cooperative, target: {router: all}}",
    "{kind: poison_record, at: 4s, length: 8s, share: 5%, attempt_time: 20ms}",
    "{kind: burst_channel, at: 8s, length: 4s, factor: 8}",
    "{kind: flood_clients, at: 8s, length: 5s, factor: 20}",
    "{kind: expire_log, at: 12s}",
    "{kind: shrink_replicas, at: 6s, length: 3s}",
)
FAULTS = (*NODES, *LINKS, *EDGE, *ROUTES, *STATE, *BUS)
HOW_MANY = (0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3)  # Faults of a topology, each entry as likely as the others.


def drawn_faults(seed: int, attempt: int) -> tuple[str, ...]:
    """The faults of a draw, in the order of their list; the chance of each is addressed, so that a new kind changes no other draw's number."""
    count = HOW_MANY[int(below(decision_key(seed, 0, "swarm/faults"), attempt, 0, len(HOW_MANY)))]
    chosen = {int(below(decision_key(seed, 0, "swarm/fault"), attempt, n, len(FAULTS))) for n in range(count)}
    return tuple(FAULTS[place] for place in sorted(chosen))
