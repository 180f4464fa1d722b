"""Codes: why a transport closed or a call failed, and what kind of answer that asks for.

Close codes are classed by range, so that a client acts rightly on a code that is newer than itself. A class that is also an input of the
table has the input's number (`codes.FAIL == machine.FAIL`); the others need a guard first, see `rules.close_input`.

Browsers may send only 1000 and 3000-4999, and see a refused upgrade as 1006: so gateways accept first and close with a code of 4000-4999.
Sources: RFC 6455 section 7.4 and the IANA registry for 1000-1015; 3000-4999 are the application's.
"""

from __future__ import annotations

from simfabric.protocol import inputs, machine

# Close codes by name.
NORMAL = 1000  # Own close. Sent by the server unasked it is a failure.
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005
ABNORMAL = 1006  # No close frame was seen.
INVALID_PAYLOAD = 1007
POLICY = 1008
FRAME_TOO_BIG = 1009
MISSING_EXTENSION = 1010
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
BAD_GATEWAY = 1014
TLS_FAILED = 1015
HEARTBEAT_DEAD = 4000  # Sent by the client.
LEFT_TO_REDIAL = 4001  # Sent by a client that leaves in order to dial again; 1000 is a real end.
TOKEN_EXPIRED = 4101
RATE_EXCEEDED = 4129
REVOKED = 4401
FORBIDDEN = 4403
REPLACED = 4409  # By a newer session.
UPGRADE_REQUIRED = 4426  # The client's schema is too old.
SLOW_CONSUMER = 4508

# Classes of close codes and of failed calls.
FAIL = machine.FAIL  # Dial again after the backoff.
AWAY = machine.AWAY  # A planned end: dial again as advised, not an attempt.
STALE_TOKEN = machine.STALE_TOKEN  # One new token at once, not an attempt.
TERMINAL = machine.TERMINAL  # The end, with a reason.
OVERLOAD = 18  # Fail, and wait at least as advised.
FAULT = 19  # A protocol fault, our bug: fail once, then the end.
TOO_BIG = 20  # The message in flight fails for good; the connection fails once.
ACCESS_REVOKED = 21  # Of a call for one channel: the user may no longer read it.
CLASS_NAMES = {
    FAIL: "FAIL", AWAY: "AWAY", STALE_TOKEN: "STALE_TOKEN", TERMINAL: "TERMINAL", OVERLOAD: "OVERLOAD", FAULT: "FAULT", TOO_BIG: "TOO_BIG",
    ACCESS_REVOKED: "ACCESS_REVOKED",
}  # fmt: skip

# Why a client is signed out.
REASON_AUTH, REASON_REPLACED, REASON_UPGRADE, REASON_FAULT = range(4)
REASON_NAMES = ("auth", "replaced", "upgrade", "fault")

# Kinds of fetch, as in `inputs`.
BOOTSTRAP_CALL, TOKEN_CALL = inputs.BOOTSTRAP, inputs.TOKEN


def close_class(code: int) -> int:
    """FAIL, AWAY, OVERLOAD, STALE_TOKEN, TERMINAL, FAULT or TOO_BIG; an unknown code by its range."""
    if code == 1001 or code == 1012:
        return AWAY
    if code == 1002 or code == 1003 or code == 1007 or code == 1010:
        return FAULT
    if code == 1009:
        return TOO_BIG
    if code == 1013 or code == 4129:
        return OVERLOAD
    if code == 4101:
        return STALE_TOKEN
    if code >= 4400 and code <= 4499:
        return TERMINAL
    return FAIL


def reason_of(code: int) -> int:
    """The reason of a terminal close. A terminal code that this version does not know is a fault: nothing local is cleared for it."""
    if code == 4401 or code == 4403:
        return REASON_AUTH
    if code == 4409:
        return REASON_REPLACED
    if code == 4426:
        return REASON_UPGRADE
    return REASON_FAULT


def status_class(status: int, fetch: int) -> int:
    """FAIL, OVERLOAD, TERMINAL (reason auth) or ACCESS_REVOKED for a failed call of kind `fetch` (see `inputs`); status 0 = no answer.

    FAIL is a failure of that stage for bootstrap and token, and another try of that fetch for replay and snapshot.
    """
    if status == 429 or status == 503:
        return OVERLOAD
    if fetch in (BOOTSTRAP_CALL, TOKEN_CALL):
        if status == 401 or status == 403:
            return TERMINAL
    elif status == 403:
        return ACCESS_REVOKED
    return FAIL
