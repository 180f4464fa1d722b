"""The report: one self-contained HTML page about a result, to be sent by mail and read offline."""

from simfabric.report.page import page, prepared, write

__all__ = ["page", "prepared", "write"]
