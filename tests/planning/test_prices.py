"""What a topology costs a month."""

import pytest

import simfabric as sf
from simfabric.planning.prices import EXAMPLE, MONTH_S, load_prices

TOPOLOGY = "version: 1\nrun: {duration: 20s, warmup: 1s}\ngateways: {count: 3, cores: 2}\ntraffic: [{name: chat, rate: 1/s, size: 1KB}]\n"


def test_the_bill_is_quantity_times_price_and_names_currency_source_and_date(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("currency: CHF\nsource: our contract\ndate: 2026-02-01\ngateway: 10\ngateway_core: 5\nshard: 7\n")
    bill = sf.cost(sf.loads(TOPOLOGY), prices=file)
    assert bill.total == 3 * 10 + 6 * 5 + 8 * 7
    assert bill.line() == "116.00 CHF a month (prices: our contract, 2026-02-01)"
    assert "gateway cores" in bill.text() and bill.figures()["total"] == bill.total


def test_egress_is_what_is_expected_or_what_a_run_delivered():
    topology = sf.loads(TOPOLOGY)
    expected = {item.name: item.quantity for item in sf.cost(topology).items}["egress GB"]
    result = sf.run(topology, progress=False)
    counted = {item.name: item.quantity for item in sf.cost(topology, result).items}["egress GB"]
    assert counted == pytest.approx(expected, rel=0.05)
    assert counted == pytest.approx(result.delivered * 1000 / 20 * MONTH_S / 1e9, rel=1e-9)


def test_the_table_of_the_package_says_that_it_is_an_example():
    table = load_prices()
    assert "example" in table.source and table.currency == "EUR" and "Nobody offers these prices" in EXAMPLE.read_text()


def test_a_wrong_table_is_told_with_every_place(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("currency: EUR\nsource: x\ndate: y\ngatway: 1\nbroker: -3\n")
    with pytest.raises(sf.TopologyError) as told:
        load_prices(file)
    assert "prices.yaml:4:9: gatway" in str(told.value) and "did you mean 'gateway'" in str(told.value) and "prices.yaml:5:" in str(told.value)
    file.write_text("&a [*a]")
    with pytest.raises(sf.TopologyError):
        load_prices(file)
