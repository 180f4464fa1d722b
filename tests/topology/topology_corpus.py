"""A file that uses every key, and files that are wrong in one way each."""

from __future__ import annotations

GOOD = """\
version: 1
name: Café stage
expect: recovery
description: |
  Two lines,
  with 'quotes' and a # sign.
run: {duration: 2min, warmup: 10s, seed: 7, replication: 1, window: 5ms, workers: 2, compiled: never, checkpoints: 4, messages: 10k}
network: {hop: 300us, storage_hop: 1ms, bus_hop: 400us, replay_hop: 2ms}
clients:
  count: 10_000
  tenants: 10
  tenant_popularity: 1.2
  devices_per_user: 2
  behind_nat: 20%
  nat_size: 30
  fleet: [{profile: phoenix, share: 10%}]
  regions:
    - {name: near, share: 75%, delay: "lognormal(10ms, 80ms)"}
    - name: far
      share: 0.25
      delay: weibull(scale 90ms, shape 1.5)
  delay: exponential(20ms)
  delay_floor: 500us
  bandwidth: 10Mbit/s
  subscriptions: 3
  start: 20s
  reconnect: {first: 500ms, factor: 1.5, cap: 20s, jitter: 10%}
  notice: 1s
  links: [{name: cell, share: 10%, bandwidth: 256kbit/s}]
  churn: [{name: office, share: 30%, stays: exponential(10min), ends: close, away: exponential(5min)}]
  replay_max: 500
  fetch_timeout: 5s
  heartbeat_interval: 20s
  heartbeat_timeout: 8s
channels:
  count: 1k
  popularity: zipf(1.1)
  given:
    - {name: all, members: 100%}
    - {name: staff, members: 250}
traffic:
  - name: chat
    kind: users
    rate: 3/min
    size: lognormal(median 200B, p99 4KB)
    bursts: {every: 30s, length: 5s, times: 4}
    daily: {peak_to_mean: 2.5, peak_at: 13h, starts_at: 8h}
    arrivals: regular
  - {name: news, kind: producers, rate: 0.5/s, to: all, size: 1KiB}
  - {name: rooms, kind: channels, rate: 6/h, per: channel, to: uniform}
  - {name: old, kind: trace, file: traces/day.csv}
  - {name: flood, kind: users, per: all, tenant: 3, rate: 9/s}
balancer:
  policy: bounded_hash
  key: tenant
  virtual_nodes: 200
  load_bound: 10%
  slow_start: 30s
  servers: 8
  handshake: 1ms
  health: {interval: 1s, timeout: 500ms, fall: 2, rise: 3}
limits:
  publish: {per_user: {rate: 5/s, burst: 10, policy: leaky_bucket}, per_tenant: {rate: 500/s, burst: 2k, policy: token_bucket, scope: fabric}}
  subscribe: {per_user: {rate: unlimited, burst: 400}, per_tenant: {rate: 10k/s, burst: 40k}}
gateways:
  count: 4
  cores: 2
  dispatch: shared
  work: {handshake: 0.4ms, subscribe: 12us, frame_in: 25us, delivery: 'uniform(3us, 5us)', byte_out: 0.5ns}
  memory: 4GB
  memory_per_connection: 40KB
  connections: 50k
  descriptors: 60k
  buffer: 256KiB
  accept_timeout: 3s
  pauses: {every: exponential(10s), length: "quantiles(0:1ms, 50%:3ms, 99%:34ms, 100%:314ms)"}
storage: {enabled: false, shards: 4, work: "pareto(minimum 1ms, shape 2.5)"}
bus:
  brokers: 5
  partitions: 24
  replication: 2
  acks: 1
  linger: 2ms
  batch: 32KB
  work: 60us
  work_per_byte: 0.25ns
  threads: 4
  replica_delay: 2ms
  fetch: {min_bytes: 1KB, max_wait: 100ms, max_bytes: 2MB}
  commit_every: 1s
  retention: 2h
  assignor: round_robin
fanout: {pattern: broadcast, routers: 3, work: 5us, work_per_target: 1us}
routing: {store_delay: 2ms, heartbeat: 3s, ttl: 9s, cache: 0s}
replay: {servers: 2, work: 3ms, work_per_message: 30us}
faults:
  - {kind: kill_node, target: {gateway: 3}, at: 30s, down: 10s}
  - {at: 60s, target: {gateway: one}}
slo: {delivery_p99: 1s, connect_success: 99%, recovery_p99: 20s, replay_success: 98%}
published:
  source: somebody, 2020
  quantiles:
    - {quantile: 50%, delay: 80ms}
    - {quantile: 99%, delay: 1s}
  cpu: 40%
  note: A note.
"""

# Name -> (text, line:column, path, a part of the law, a part of the cure).
BROKEN: dict[str, tuple[str, str, str, str, str]] = {
    "nothing at all": ("", "1:1", "", "must be a mapping", "version: 1"),
    "only a comment": ("# nothing\n", "1:1", "", "must be a mapping", "version: 1"),
    "a list": ("- version: 1\n", "1:1", "", "must be a mapping", "version: 1"),
    "a word": ("hello\n", "1:1", "", "must be a mapping", "version: 1"),
    "no version": ("name: a\n", "1:1", "version", "must say its version", "version: 1"),
    "version 2": ("version: 2\n", "1:10", "version", "from 1 to 1", "give a value"),
    "an unknown key": ("version: 1\ngatewais:\n  count: 2\n", "2:1", "gatewais", "no such key", "did you mean 'gateways'"),
    "an unknown inner key": ("version: 1\ngateways:\n  cuont: 2\n", "3:10", "gateways.cuont", "no such key", "did you mean 'count'"),
    "a key twice": ("version: 1\nname: a\nname: b\n", "3:1", "name", "must stand once; it stands at line 2", "keep one"),
    "an inner key twice": ("version: 1\nrun:\n  seed: 1\n  seed: 2\n", "4:3", "run.seed", "must stand once", "keep one"),
    "no unit": ("version: 1\nrun: {duration: 60}\n", "2:17", "run.duration", "with a unit", "write 60s"),
    "another unit": ("version: 1\nrun: {duration: 60sec}\n", "2:17", "run.duration", "'sec' is none", "did you mean 's'"),
    "minutes as m": ("version: 1\nrun: {duration: 5m}\n", "2:17", "run.duration", "'m' is none", "did you mean 'min'"),
    "a size for a duration": ("version: 1\nrun: {duration: 64KB}\n", "2:17", "run.duration", "'KB' is none", "units: ns"),
    "a small size letter": ("version: 1\nbus: {batch: 16kb}\n", "2:14", "bus.batch", "'kb' is none", "did you mean 'KB'"),
    "a rate without period": ("version: 1\ntraffic: [{name: a, rate: 5}]\n", "2:27", "traffic[0].rate", "must be a rate", "write 5/s"),
    "a rate per fortnight": ("version: 1\ntraffic: [{name: a, rate: 5/fn}]\n", "2:27", "traffic[0].rate", "'fn' is none", "units: s, min, h, d"),
    "bytes of bandwidth": ("version: 1\nclients: {bandwidth: 5MB}\n", "2:22", "clients.bandwidth", "'MB' is none", "Mbit/s"),
    "less than a nanosecond": ("version: 1\nnetwork: {hop: 1000.5ns}\n", "2:16", "network.hop", "whole number of nanoseconds", "round"),
    "zero duration": ("version: 1\nrun: {duration: 0, warmup: 0}\n", "2:17", "run.duration", "from 1ns to 7d", "give a value"),
    "too long a run": ("version: 1\nrun: {duration: 8d}\n", "2:17", "run.duration", "from 1ns to 7d", "give a value"),
    "negative": ("version: 1\nclients: {count: -5}\n", "2:18", "clients.count", "must not be negative", "such as 4"),
    "half a client": ("version: 1\nclients: {count: 1.5}\n", "2:18", "clients.count", "whole number", "round"),
    "too many clients": ("version: 1\nclients: {count: 101M}\n", "2:18", "clients.count", "from 1 to 100M", "give a value"),
    "beyond 64 bits": ("version: 1\nrun: {seed: 9223372036854775808}\n", "2:13", "run.seed", "64 bits", "smaller"),
    "a share above one": ("version: 1\nclients: {behind_nat: 120%}\n", "2:23", "clients.behind_nat", "from 0 to 1", "give a value"),
    "hexadecimal": ("version: 1\nrun: {seed: 0x10}\n", "2:13", "run.seed", "plain decimal", "no hexadecimal"),
    "an exponent": ("version: 1\nrun: {seed: 1e3}\n", "2:13", "run.seed", "plain decimal", "exponent"),
    "base 60": ("version: 1\nrun: {seed: 1:30}\n", "2:13", "run.seed", "must be a whole number", "such as 4"),
    "infinity": ("version: 1\nchannels: {popularity: .inf}\n", "2:24", "channels.popularity", "must be zipf", "zipf(1.1)"),
    "not a number": ("version: 1\nclients: {tenant_popularity: .nan}\n", "2:30", "clients.tenant_popularity", "must be a number", "such as 1.5"),
    "Norway": ("version: 1\nstorage: {enabled: no}\n", "2:20", "storage.enabled", "must be true or false", "are not read"),
    "True in capitals": ("version: 1\nstorage: {enabled: TRUE}\n", "2:20", "storage.enabled", "must be true or false", "write true"),
    "a word that is no option": ("version: 1\nfanout: {pattern: target}\n", "2:19", "fanout.pattern", "must be one of broadcast", "did you mean 'targeted'"),
    "an unknown law": ("version: 1\nstorage: {work: gauss(1ms)}\n", "2:17", "storage.work", "known law of chance", "lognormal"),
    "too few parameters": ("version: 1\nstorage:\n  work: lognormal(5ms)\n", "3:9", "storage.work", "takes 2 parameters", "lognormal(median, p99)"),
    "a median above the p99": ("version: 1\nstorage:\n  work: lognormal(5ms, 1ms)\n", "3:9", "storage.work", "0 < median <= p99", "smaller"),
    "quantiles that fall": ("version: 1\nstorage:\n  work: quantiles(0:5ms, 100%:1ms)\n", "3:9", "storage.work", "do not fall", "quantiles(0:1ms"),
    "quantiles without an end": ("version: 1\nstorage:\n  work: quantiles(0:5ms, 90%:7ms)\n", "3:9", "storage.work", "ends at 100%", "quantiles(0:1ms"),
    "a tail without end": ("version: 1\nstorage:\n  work: pareto(1ms, 0.2)\n", "3:9", "storage.work", "farthest draw", "lighter tail"),
    "a law out of range": ("version: 1\nstorage: {work: 2h}\n", "2:17", "storage.work", "from 0 to 1min", "give durations"),
    "a section that is a value": ("version: 1\nrun: 5\n", "2:6", "run", "must be a section", "duration"),
    "a section that is a list": ("version: 1\nrun: [1]\n", "2:1", "run", "must be a section", "duration"),
    "a value that is a list": ("version: 1\nname: [a, b]\n", "2:1", "name", "must be one value, not a list", "characters"),
    "a value that is a mapping": ("version: 1\nname: {a: b}\n", "2:1", "name", "must be one value, not a mapping", "characters"),
    "a list that is a section": ("version: 1\nfaults: {at: 5s}\n", "2:1", "faults", "must be a list", "items"),
    "an item that is a value": ("version: 1\nfaults: [5s]\n", "2:10", "faults[0]", "must be a section", "its keys are"),
    "a needed key missing": ("version: 1\nclients:\n  fleet:\n  - {share: 3%}\n", "4:5", "clients.fleet[0].profile", "'profile' must be given", "add profile"),
    "a fault at no time": ("version: 1\nfaults:\n  - {down: 3s}\n", "3:5", "faults[0].at", "a time: at, or every", "give one"),
    "warmup beyond the end": ("version: 1\nrun: {duration: 5s, warmup: 5s}\n", "2:29", "run.warmup", "shorter than the duration, 5s", "shorten"),
    "too many members": (
        "version: 1\nchannels:\n  given: [{name: a, members: 101}]\n", "3:30", "channels.given[0].members", "more members than there are clients", "lower",
    ),
    "members above all": ("version: 1\nchannels:\n  given: [{name: a, members: 101%}]\n", "3:30", "channels.given[0].members", "from 0% to 100%", "give"),
    "two channels of one name": (
        "version: 1\nchannels:\n  given: [{name: a, members: 1}, {name: a, members: 2}]\n", "3:41", "channels.given[1].name", "must be unique", "another name",
    ),
    "two sources of one name": (
        "version: 1\ntraffic: [{name: a, rate: 1/s}, {name: a, rate: 1/s}]\n", "2:40", "traffic[1].name", "must be unique", "another name",
    ),
    "one name in two forms": (
        'version: 1\ntraffic: [{name: "caf\\u00e9", rate: 1/s}, {name: "cafe\\u0301", rate: 1/s}]\n', "2:50", "traffic[1].name", "must be unique", "another",
    ),
    "to a channel that is not": ("version: 1\ntraffic: [{name: a, rate: 1/s, to: subscribd}]\n", "2:36", "traffic[0].to", "pick a channel", "mean 'subs"),
    "producers who subscribe": (
        "version: 1\ntraffic: [{name: a, kind: producers, rate: 1/s, to: subscribed}]\n", "2:53", "traffic[0].to", "only users", "popularity",
    ),
    "users without rate": ("version: 1\ntraffic: [{name: a}]\n", "2:11", "traffic[0].rate", "needs its rate", "add rate"),
    "a trace without file": ("version: 1\ntraffic: [{name: a, kind: trace}]\n", "2:11", "traffic[0].file", "needs its file", "add file"),
    "a trace with a rate": ("version: 1\ntraffic: [{name: a, kind: trace, file: a.csv, rate: 1/s}]\n", "2:53", "traffic[0].rate", "has no rate", "away"),
    "a file of users": ("version: 1\ntraffic: [{name: a, rate: 1/s, file: a.csv}]\n", "2:38", "traffic[0].file", "only a trace", "kind: trace"),
    "an absolute trace": ("version: 1\ntraffic: [{name: a, kind: trace, file: /a.csv}]\n", "2:40", "traffic[0].file", "not an absolute one", "relative"),
    "a burst that never ends": (
        "version: 1\ntraffic: [{name: a, rate: 1/s, bursts: {every: 1s, length: 2s, times: 2}}]\n", "2:60", "traffic[0].bursts.length", "outlast", "shorten",
    ),
    "a gateway that is not": ("version: 1\nfaults: [{at: 5s, target: {gateway: 1}}]\n", "2:37", "faults[0].target.gateway", "from 0 to 0", "smaller"),
    "a fault after the end": ("version: 1\nfaults: [{at: 60s}]\n", "2:15", "faults[0].at", "before the run's end, 1min", "earlier"),
    "more copies than brokers": ("version: 1\nbus: {brokers: 2}\n", "2:1", "bus.replication", "its own broker", "lower bus.replication"),
    "a lease shorter than a heartbeat": ("version: 1\nrouting: {ttl: 4s}\n", "2:16", "routing.ttl", "outlive a heartbeat, 5s", "three heartbeats"),
    "shares that do not sum": (
        "version: 1\nclients: {regions: [{name: a, share: 50%}, {name: b, share: 40%}]}\n", "2:11", "clients.regions", "sum to 100%", "they sum to 90%",
    ),
    "a fleet that is more than everybody": (
        "version: 1\nclients: {fleet: [{profile: phoenix, share: 60%}, {profile: nats.py, share: 60%}]}\n", "2:11", "clients.fleet", "at most 100%", "120%",
    ),
    "a library that is not known": ("version: 1\nclients: {fleet: [{profile: phenix, share: 1%}]}\n", "2:29", "clients.fleet[0].profile", "one of", "phoenix"),
    "an entry shorter than a heartbeat": ("version: 1\npresence: {lease: 4s}\n", "2:19", "presence.lease", "outlive a heartbeat, 10s", "three heartbeats"),
    "a debounce of nothing": ("version: 1\npresence: {debounce: 1ms}\n", "2:22", "presence.debounce", "at least 10ms", "0s for none"),
    "more lookers than all": ("version: 1\npresence: {looking: 101%}\n", "2:21", "presence.looking", "from 0% to 100%", "share such as"),
    "a token that is stale at once": ("version: 1\napis: {token: {ttl: 5s}}\n", "2:21", "apis.token.ttl", "longer than the margin", "lengthen"),
    "two regions of one name": (
        "version: 1\nclients: {regions: [{name: a, share: 50%}, {name: a, share: 50%}]}\n", "2:51", "clients.regions[1].name", "must be unique", "another",
    ),
    "no room for all clients": ("version: 1\nclients: {count: 100_001}\n", "2:18", "clients.count", "room for all clients", "raise gateways.count to 2"),
    "more subscriptions than channels": ("version: 1\nclients: {subscriptions: 21}\n", "2:26", "clients.subscriptions", "than there are, 20", "lower"),
    "a check longer than its interval": ("version: 1\nbalancer: {health: {timeout: 3s}}\n", "2:30", "balancer.health.timeout", "at most the interval", "sh"),
    "a cap below the first wait": ("version: 1\nclients: {reconnect: {cap: 500ms}}\n", "2:28", "clients.reconnect.cap", "at least the first wait", "raise"),
    "an answer smaller than its least": ("version: 1\nbus: {fetch: {min_bytes: 2MB}}\n", "2:7", "bus.fetch.max_bytes", "at least min_bytes", "raise"),
    "a connection larger than memory": (
        "version: 1\ngateways: {memory: 1MB, memory_per_connection: 2MB}\n", "2:48", "gateways.memory_per_connection", "fit in", "lower",
    ),
    "a tenant that is not there": (
        "version: 1\ntraffic: [{name: a, per: all, rate: 1/s, tenant: 1}]\n", "2:50", "traffic[0].tenant", "from 0 to 0", "raise clients.tenants",
    ),
    "a rate for each user of a tenant": ("version: 1\ntraffic: [{name: a, rate: 1/s, tenant: 0}]\n", "2:40", "traffic[0].tenant", "all together", "per: all"),
    "a bucket that takes a year to fill": (
        "version: 1\nlimits: {publish: {per_user: {rate: 1/d, burst: 365}}}\n", "2:49", "limits.publish.per_user.burst", "within 30 days", "lower burst",
    ),
    "a burst that no client fits in": (
        "version: 1\nlimits: {subscribe: {per_user: {rate: 5/s, burst: 4}}}\n", "2:51", "limits.subscribe.per_user.burst", "here up to 5", "by at least 1",
    ),
    "a share of a burst that no client fits in": (
        "version: 1\ngateways: {count: 5}\nlimits: {subscribe: {per_tenant: {rate: 5/s, scope: fabric}}}\n", "3:22", "limits.subscribe.per_tenant.burst",
        "each gateway has 4", "raise burst",
    ),
    "a queue that outlasts its clients": (
        "version: 1\nlimits: {subscribe: {per_user: {rate: 1/s, policy: leaky_bucket}}}\n", "2:22", "limits.subscribe.per_user.burst", "drain in half of that",
        "lower burst",
    ),
    "more buckets than memory": (
        "version: 1\nclients: {tenants: 1M}\ngateways: {count: 21}\nlimits: {publish: {per_tenant: {rate: 5/s}}}\n", "4:20", "limits.publish.per_tenant",
        "21 gateways x 1_000_000", "limit per_user",
    ),
    "an empty name": ("version: 1\ntraffic: [{name: '', rate: 1/s}]\n", "2:18", "traffic[0].name", "1 to 100 characters", "short name"),
    "too long a name": (f"version: 1\nname: {'a' * 101}\n", "2:7", "name", "at most 100 characters", "shorten"),
    "a name on two lines": ('version: 1\nname: "a\\nb"\n', "2:7", "name", "one line", "plain"),
    "extends without a folder": ("version: 1\nextends: a.yaml\n", "2:10", "extends", "without a folder", "load it from a file"),
    "a document cut short": ("version: 1\nrun: {seed: 1\n", "3:1", "", "must be YAML", "mend"),
    "a tab as indent": ("version: 1\nrun:\n\tseed: 1\n", "3:1", "", "must be YAML", "mend"),
    "a colon inside a value": ("version: 1\nname: a: b\n", "2:8", "", "must be YAML", "in quotes"),
}  # fmt: skip

BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join(['*' + chr(97 + i)] * 8)}]}}\n" for i in range(8))

# Name -> (content, a part of the law): what the guard stops before the model sees anything.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "merge-key bomb": (MERGE_BOMB.encode(), "anchors are not read"),
    "merge key": (b"version: 1\nrun: {<<: {seed: 1}}\n", "merge keys are not read"),
    "alias bomb": (BOMB.encode(), "anchors are not read"),
    "alias alone": (b"version: 1\nname: *a\n", "aliases are not read"),
    "alias as a key": (b"version: 1\n*a : 1\n", "aliases are not read"),
    "anchor on a key": (b"version: 1\n&a name: x\n", "anchors are not read"),
    "anchor at the root": (b"&a\nversion: 1\n", "anchors are not read"),
    "an object in itself": (b"&a [*a]", "anchors are not read"),
    "500 brackets": (b"[" * 500, "at most 32 levels"),
    "50 000 brackets": (b"[" * 50_000, "at most 32 levels"),
    "50 000 braces": (b"{a: " * 50_000, "at most 32 levels"),
    "nested blocks": ("".join(" " * i + "a:\n" for i in range(1000)).encode(), "at most 32 levels"),
    "nested dashes": (b"- " * 50_000, "at most 32 levels"),
    "nested questions": (b"? " * 50_000, "a key must be a word"),
    "2 million hexadecimal digits": (b"version: 1\nrun: {seed: 0x" + b"f" * 2_000_000 + b"}\n", "at most"),
    "half a million hexadecimal digits": (b"version: 1\nrun: {seed: 0x" + b"f" * 500_000 + b"}\n", "at most 4096 characters"),
    "4 000 decimal digits": (b"version: 1\nrun: {seed: " + b"9" * 4000 + b"}\n", "at most 60 characters"),
    "4 000 digits after the point": (b"version: 1\nrun: {duration: 0." + b"9" * 4000 + b"s}\n", "at most 60 characters"),
    "base 60 without end": (b"version: 1\nrun: {seed: 1" + b":59" * 1000 + b"}\n", "at most 60 characters"),
    "100 000 keys": ("".join(f"k{i}: 1\n" for i in range(100_000)).encode(), "at most"),
    "40 000 unknown keys": (("version: 1\n" + "".join(f"k{i}: 1\n" for i in range(40_000))).encode(), "no such key"),
    "9 000 unknown keys": (("version: 1\n" + "".join(f"k{i}: 1\n" for i in range(9_000))).encode(), "no such key"),
    "60 000 items": (b"version: 1\nfaults: [" + b"1," * 60_000 + b"]\n", "at most 10000 items"),
    "200 000 items": (b"version: 1\nfaults: [" + b"1," * 200_000 + b"]\n", "at most 100000 values"),
    "90 000 items": (b"version: 1\nfaults: [" + b"1," * 90_000 + b"]\n", "at most 10000 items"),
    "one key 40 000 times": (b"name: a\n" * 40_000, "must stand once"),
    "2 MB": (b"version: 1\nname: " + b"a" * 2_000_000, "at most"),
    "1 MB of spaces": (b" " * 1_000_000, "must be a mapping"),
    "1 MB of line ends": (b"\n" * 1_000_000, "must be a mapping"),
    "1 MB of quotes": (b"'" * 1_000_000, "at most 4096 characters"),
    "1 MB of key": (b"? " + b"a" * 1_000_000, "at most 4096 characters"),
    "1 MB of folded text": (b"name: >\n" + b" b\n" * 300_000, "at most 4096 characters"),
    "1 MB of escapes": (b'name: "' + b"\\x41" * 250_000 + b'"', "at most 4096 characters"),
    "1 MB of exclamation marks": (b"!" * 1_000_000, ""),
    "1 MB of commas": (b"[" + b"," * 1_000_000, "must be YAML"),
    "a python object": (b"version: 1\nname: !!python/object/apply:os.system ['true']\n", "tags are not read"),
    "a tag of one's own": (b"version: 1\nname: !secret a\n", "tags are not read"),
    "a tag for text": (b"version: 1\nname: !!str a\n", "tags are not read"),
    "a bare tag": (b"version: 1\nname: ! a\n", "tags are not read"),
    "a tagged mapping": (b"version: 1\nrun: !!map {seed: 1}\n", "tags are not read"),
    "binary by tag": (b"version: 1\nname: !!binary aGk=\n", "tags are not read"),
    "a tag directive": (b"%TAG ! tag:example.com,2000:\n---\nversion: 1\n", "tags are not read"),
    "a second document": (b"version: 1\n---\nversion: 1\n", "one document"),
    "a list as a key": (b"version: 1\n? [a]\n: 1\n", "a key must be a word"),
    "a mapping as a key": (b"version: 1\n? {a: 1}\n: 1\n", "a key must be a word"),
    "UTF-16 with mark": ("version: 1\n".encode("utf-16"), "UTF-8"),
    "UTF-16 without mark": ("version: 1\n".encode("utf-16-le"), "U+0000"),
    "UTF-32": ("version: 1\n".encode("utf-32"), ""),
    "Latin-1": ("version: 1\nname: Café\n".encode("latin-1"), "UTF-8"),
    "overlong UTF-8": (b"version: 1\nname: \xc0\xaf\n", "UTF-8"),
    "half a surrogate pair": (b"version: 1\nname: \xed\xa0\x80\n", "UTF-8"),
    "an escaped surrogate": (b'version: 1\nname: "\\ud800"\n', ""),
    "NUL": (b"version: 1\nname: a\x00b\n", "U+0000"),
    "an escaped NUL": (b'version: 1\nname: "a\\0b"\n', "U+0000"),
    "a terminal's escape": (b"version: 1\nname: \x1b[2J\n", "U+001B"),
    "an escaped terminal's escape": (b'version: 1\nname: "\\e[2J"\n', "U+001B"),
    "an escape in a comment": (b"version: 1 # \x1b[2J\n", "U+001B"),
    "a bidirectional override": ("version: 1\nname: \u202egnp.exe\n".encode(), "U+202E"),
    "an isolate in a comment": ("version: 1 # \u2066 a\n".encode(), "U+2066"),
    "an escaped override": (b'version: 1\nname: "\\u202e"\n', "U+202E"),
    "an override as a key": ("version: 1\n\u202eeman: a\n".encode(), "U+202E"),
    "a line separator": ("version: 1\nname: a\u2028run: 1\n".encode(), "U+2028"),
    "next line": ("version: 1\nname: a\u0085b\n".encode(), "U+0085"),
    "a second byte-order mark": ("\ufeff\ufeffversion: 1\n".encode(), "U+FEFF"),
    "no character": ("version: 1\nname: \uffff\n".encode(), "U+FFFF"),
    "an ELF header": (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 8, ""),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(range(255, 0, -1)) * 8, "UTF-8"),
    "all bytes": (bytes(range(256)), ""),
    "nothing but a percent sign": (b"%", ""),
    "an unknown directive": (b"%FOO bar\n--- a\n", ""),
    "YAML 9": (b"%YAML 9.9\n---\nversion: 1\nname: [\n", ""),
    "an open quote": (b'version: 1\nname: "a\n', "must be YAML"),
}
