"""History: what happened in a run, record by record, for laws that speak of single clients and messages.

    gateways' notes, frames taken from inboxes, rows of messages ──▶ tables, one per kind ──▶ laws · result.table("history") · Parquet

It is kept when it is asked for, of all clients of a small run and of whole clients of a large one; it is bounded, and it changes nothing.
"""

from simfabric.history.schema import KINDS
from simfabric.history.storing import HistoryError, load_history, save_history
from simfabric.history.tables import History, HistoryBuilder

__all__ = ["KINDS", "History", "HistoryBuilder", "HistoryError", "load_history", "save_history"]
