"""Units: what people write, exactly; what they write wrong, with law and cure; and back."""

from __future__ import annotations

import typing
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric import chance, units
from simfabric.errors import Refusal

READERS: list[typing.Callable[[str], object]] = [
    units.parse_duration, units.parse_size, units.parse_count, units.parse_number, units.parse_rate, units.parse_share, units.parse_bandwidth,
    units.parse_time_per_byte,
]  # fmt: skip
QUICK = settings(max_examples=150, deadline=None)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("25s", 25_000_000_000), ("500us", 500_000), ("1.5ms", 1_500_000), ("2h", 7_200_000_000_000), ("1d", 86_400_000_000_000), ("3min", 180_000_000_000),
        ("7ns", 7), ("0", 0), ("0s", 0), ("0.1s", 100_000_000), ("0.000000001s", 1), ("1_000ms", 1_000_000_000), ("5 s", 5 * 10**9), (" 5s ", 5 * 10**9),
        ("0.3s", 300_000_000), ("9223372036854775807ns", 2**63 - 1),
    ],
)  # fmt: skip
def test_a_duration_is_whole_nanoseconds_exactly(text: str, ns: int) -> None:
    assert units.parse_duration(text) == ns
    assert type(units.parse_duration(text)) is int


def test_sizes_counts_rates_shares_and_bandwidths() -> None:
    sizes = {"512B": 512, "64KB": 64_000, "64KiB": 65_536, "1.5MB": 1_500_000, "1MiB": 2**20, "8GB": 8_000_000_000, "2GiB": 2**31, "0": 0}
    assert {text: units.parse_size(text) for text in sizes} == sizes
    counts = {"7": 7, "1_000_000": 1_000_000, "10k": 10_000, "1.5M": 1_500_000, "2G": 2_000_000_000, "007": 7}
    assert {text: units.parse_count(text) for text in counts} == counts
    rates = {"800/s": 800.0, "10k/s": 10_000.0, "3/min": 0.05, "0.5/h": 0.5 / 3600, "1M/d": 1e6 / 86400, "1.5 k / s": 1500.0, "0": 0.0}
    assert {text: units.parse_rate(text) for text in rates if text != "1.5 k / s"} == {text: rate for text, rate in rates.items() if text != "1.5 k / s"}
    shares = {"20%": 0.2, "0.2": 0.2, "99.9%": 0.999, "100%": 1.0, "0": 0.0, "1": 1.0, "0.07%": 0.0007}
    assert {text: units.parse_share(text) for text in shares} == shares
    bandwidths = {"10Mbit/s": 10**7, "1Gbit/s": 10**9, "64kbit/s": 64_000, "9bit/s": 9, "unlimited": 0}
    assert {text: units.parse_bandwidth(text) for text in bandwidths} == bandwidths
    assert units.parse_time_per_byte("0.25ns") == 0.25


@pytest.mark.parametrize(
    ("read", "text", "law", "cure"),
    [
        (units.parse_duration, "25", "with a unit", "write 25s if that is meant"),
        (units.parse_duration, "5m", "'m' is none", "did you mean 'min'"),
        (units.parse_duration, "5 seconds", "'seconds' is none", "did you mean 's'"),
        (units.parse_duration, "5S", "'S' is none", "did you mean 's'"),
        (units.parse_duration, "0.5ns", "whole number of nanoseconds", "round"),
        (units.parse_duration, "300000000d", "64 bits", "smaller"),
        (units.parse_duration, "-5s", "must not be negative", "such as 25s"),
        (units.parse_duration, "1h30min", "must be a duration", "units"),
        (units.parse_size, "64kb", "'kb' is none", "did you mean 'KB'"),
        (units.parse_size, "64K", "'K' is none", "did you mean 'KB'"),
        (units.parse_size, "1500", "with a unit", "write 1500B"),
        (units.parse_count, "5s", "without a unit", "10k"),
        (units.parse_count, "1.5", "whole number", "round"),
        (units.parse_count, "0x10", "plain decimal", "no hexadecimal"),
        (units.parse_count, "1e3", "plain decimal", "exponent"),
        (units.parse_rate, "5", "so many per period", "write 5/s"),
        (units.parse_rate, "5/parsec", "'parsec' is none", "units: s, min, h, d"),
        (units.parse_rate, "5kk/s", "'kk' is no suffix", "suffixes: k, M, G"),
        (units.parse_share, "20 percent", "must be a share", "20%"),
        (units.parse_bandwidth, "5MB/s", "'MB/s' is none", "Mbit/s"),
        (units.parse_bandwidth, "5Mbps", "'Mbps' is none", "did you mean 'Mbit/s'"),
        (units.parse_number, "5s", "without a unit", "write 5"),
    ],
)
def test_what_is_written_wrong_is_told_with_law_and_cure(read: typing.Callable[[str], object], text: str, law: str, cure: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(text)
    assert law in caught.value.law
    assert cure in caught.value.cure
    assert isinstance(caught.value, ValueError)


HOSTILE = [
    "", " ", "nan", "NaN", ".nan", "inf", "-inf", ".inf", "+5", "--5", "1e9", "1E400", "0b1", "0o7", "0xFF", "1:30", "1,5", "1.2.3", ".5", "5.", "_5", "5_",
    "5__0", "٥", "５", "1\n", "1\x00", "½", "²", "s", "/s", "%", "1" * 61, "9" * 4096, "0." + "0" * 4096 + "1", "1" + "_1" * 2000, "1" + " " * 4096 + "k",
    "9" * 40, "(" * 4096,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_reader_takes_hostile_text_for_a_number(text: str) -> None:
    for read in READERS:
        with pytest.raises(Refusal) as caught:
            read(text)
        assert len(str(caught.value)) < 600
    with pytest.raises(Refusal):
        units.parse_law(text, "duration")


@given(st.text(max_size=80))
@QUICK
def test_any_text_is_read_or_refused(text: str) -> None:
    laws: list[typing.Callable[[str], object]] = [lambda each: units.parse_law(each, "size"), lambda each: units.parse_law(f"quantiles({each})", "duration")]
    for read in [*READERS, *laws]:
        try:
            read(text)
        except Refusal as refusal:
            told = refusal
        else:
            continue
        assert told.law and told.cure


@given(st.integers(0, 2**63 - 1))
@QUICK
def test_whole_quantities_survive_writing_and_reading(value: int) -> None:
    assert units.parse_duration(units.write_duration(value)) == value
    assert units.parse_size(units.write_size(value)) == value
    assert units.parse_count(units.write_count(value)) == value
    assert units.parse_bandwidth(units.write_bandwidth(value)) == value


@given(st.floats(1e-15, 1e15))
@QUICK
def test_floats_survive_writing_and_reading(value: float) -> None:
    assert units.parse_rate(units.write_rate(value)) == value
    assert units.parse_share(units.write_share(value)) == value
    assert units.parse_number(units.write_number(value)) == value
    assert units.parse_time_per_byte(units.write_time_per_byte(value)) == value


@given(st.integers(0, 10**15), st.sampled_from(list(units.DURATIONS.items())))
@QUICK
def test_a_duration_is_its_number_times_its_unit(number: int, unit: tuple[str, int]) -> None:
    text, expected = f"{number / 1000:.3f}{unit[0]}", Fraction(f"{number / 1000:.3f}") * unit[1]
    if expected.denominator == 1 and expected <= units.LARGEST:
        assert units.parse_duration(text) == expected
    else:
        with pytest.raises(Refusal):
            units.parse_duration(text)


def test_people_read_four_digits_and_the_nearest_unit() -> None:
    durations = {
        0: "0s",
        7: "7ns",
        1_500_000: "1.5ms",
        999_999_999: "1s",
        25_000_000_000: "25s",
        90_000_000_000: "1.5min",
        123_456_789: "123.5ms",
        172_800 * 10**9: "2d",
    }
    assert {ns: units.format_duration(ns) for ns in durations} == durations
    assert units.format_duration(-1_500_000) == "-1.5ms"
    assert [units.format_size(size) for size in (0, 512, 64_000, 8_000_000_000, 1_234_567)] == ["0B", "512B", "64KB", "8GB", "1.235MB"]
    assert [units.format_rate(rate) for rate in (0.0, 0.05, 800.0, 10_000.0, 1.5e6)] == ["0/s", "0.05/s", "800/s", "10k/s", "1.5M/s"]
    assert [units.format_count(n) for n in (0, 999, 9_999, 12_345, 1_000_000, 10**10)] == ["0", "999", "9999", "12.35k", "1M", "10G"]


LAWS = {
    "5ms": ("constant", (5e6,)),
    "constant(1ms)": ("constant", (1e6,)),
    "uniform(1ms, 2ms)": ("uniform", (1e6, 2e6)),
    "uniform(high 2ms, low 1ms)": ("uniform", (1e6, 2e6)),
    "exponential(1ms)": ("exponential", (1e6,)),
    "exponential(mean=0.5ns)": ("exponential", (0.5,)),
    "lognormal(median 20ms, p99 150ms)": ("lognormal", (20e6, 150e6)),
    "lognormal(20ms, 150ms)": ("lognormal", (20e6, 150e6)),
    "weibull(scale 1ms, shape 1.5)": ("weibull", (1e6, 1.5)),
    "pareto (minimum 1ms,shape 2.5)": ("pareto", (1e6, 2.5)),
    "quantiles(0:1ms, 50%:3ms, 99%: 34ms, 100%:314ms)": ("quantiles", (0.0, 1e6, 0.5, 3e6, 0.99, 34e6, 1.0, 314e6)),
}


@pytest.mark.parametrize("text", LAWS)
def test_laws_of_chance_are_read_and_written(text: str) -> None:
    law = units.parse_law(text, "duration")
    assert law == LAWS[text]
    assert units.parse_law(units.write_law(*law, "duration"), "duration") == law


def test_laws_of_sizes_have_sizes() -> None:
    assert units.parse_law("lognormal(200B, 4KB)", "size") == ("lognormal", (200.0, 4000.0))
    assert units.write_law("uniform", (64.0, 65_536.0), "size") == "uniform(low 64B, high 64KiB)"
    with pytest.raises(Refusal, match="'ms' is none"):
        units.parse_law("exponential(5ms)", "size")


def test_the_laws_that_are_read_are_those_that_can_be_drawn() -> None:
    assert typing.get_args(units.LawName) == typing.get_args(chance.LawName)
    for name, signature in units.LAW_PARAMETERS.items():
        assert ", ".join(key for key, _ in signature) == chance.PARAMETERS[name]


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("gauss(1ms)", "known law"), ("lognrmal(1ms, 2ms)", "known law"), ("exponential", "known law"), ("exponential()", "must be a duration"),
        ("exponential(1ms, 2ms)", "takes 1 parameters"), ("exponential(1ms", "in brackets"), ("exponential(1ms))", "must be a duration"),
        ("uniform(2ms, 1ms)", "from low to high"), ("uniform(low 1ms, low 2ms)", "each once"), ("uniform(left 1ms, high 2ms)", "takes the parameters"),
        ("lognormal(0s, 1ms)", "0 < median"), ("lognormal(2ms, 1ms)", "0 < median"),
        ("weibull(0s, 1)", "scale above zero"), ("pareto(0s, 2)", "minimum above zero"),
        ("weibull(1ms, 0)", "between 0.1 and 100"), ("pareto(1ms, 101)", "between 0.1 and 100"), ("pareto(1ms, 2ms)", "without a unit"),
        ("quantiles(0:1ms)", "2 to 100 points"), ("quantiles(0 1ms, 100% 2ms)", "a colon"), ("quantiles(1%:1ms, 100%:2ms)", "starts at 0"),
        ("quantiles(0:1ms, 99%:2ms)", "ends at 100%"), ("quantiles(0:1ms, 50%:2ms, 50%:3ms, 100%:4ms)", "rise"), ("quantiles(0:2ms, 100%:1ms)", "do not fall"),
        ("quantiles(" + "0:1ms," * 101 + "100%:1ms)", "2 to 100 points"), ("__import__('os')", "known law"), ("constant(constant(1ms))", "must be a duration"),
        ("lognormal(" + "(" * 4000 + ")", "takes 2 parameters"),
    ],
)  # fmt: skip
def test_what_is_no_law_is_refused(text: str, law: str) -> None:
    with pytest.raises(Refusal) as caught:
        units.parse_law(text, "duration")
    assert law in caught.value.law
