"""Live: the same protocol over real sockets.

`gateway` is a whole realtime service in memory without any socket; `server` puts it on loopback, as websockets and small HTTP calls;
`driver` runs a client session over them. None of the three decides anything about the protocol: that is `simfabric.protocol`.
"""
