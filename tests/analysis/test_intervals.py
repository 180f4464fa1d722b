"""Intervals against scipy, and against what they promise: how often they hold the truth."""

import math

import numpy as np
import pytest

from simfabric.analysis.batch_means import batch_means
from simfabric.analysis.intervals import histogram_quantile_interval, mean_interval, quantile_interval, quantile_ranks
from simfabric.analysis.paired import paired
from simfabric.analysis.quantiles import fewest
from simfabric.analysis.student import binomial_at_most, incomplete_beta, t_quantile, t_tail
from simfabric.analysis.warmup import mser5
from simfabric.kernels.histogram import bin_edges


def lindley(service, between):
    """Waits of a queue that serves first come, first served: float[..., customers]."""
    walk = np.cumsum(service[..., :-1] - between[..., 1:], axis=-1)
    walk = np.concatenate([np.zeros((*walk.shape[:-1], 1)), walk], axis=-1)
    return walk - np.minimum.accumulate(walk, axis=-1)


def stationary_mm1(rng, shape, load):
    """Waits of M/M/1 (work 1 in the mean) that begin in the stationary law: the first customer waits as the law says."""
    service, between = rng.exponential(1.0, shape), rng.exponential(1.0 / load, shape)
    service[..., 0] = np.where(rng.random(shape[:-1]) < load, rng.exponential(1.0 / (1.0 - load), shape[:-1]), 0.0)
    between[..., 1] = 0.0
    return lindley(service, between)[..., 1:]


@pytest.mark.parametrize("freedom", [1, 2, 3, 4.5, 9, 30, 299, 1999, 2000, 10_000, 1e7])
@pytest.mark.parametrize("p", [1e-9, 0.001, 0.2, 0.5, 0.9, 0.975, 0.9999, 1 - 1e-7])
def test_t_quantiles_are_those_of_scipy(p, freedom):
    from scipy.stats import t

    assert t_quantile(p, freedom) == pytest.approx(float(t.ppf(p, freedom)), rel=1e-9, abs=1e-12)


def test_the_incomplete_beta_function_and_the_binomial_law_are_those_of_scipy():
    from scipy.special import betainc
    from scipy.stats import binom, t

    rng = np.random.default_rng(1)
    for x, a, b in zip(rng.random(200), rng.exponential(20, 200) + 0.1, rng.exponential(20, 200) + 0.1):
        assert incomplete_beta(x, a, b) == pytest.approx(float(betainc(a, b, x)), rel=1e-9, abs=1e-14)
    for n, p in ((10, 0.5), (299, 0.99), (3000, 0.999), (200_000, 0.9)):
        for k in (-1, 0, n // 2, int(n * p), n - 1, n):
            assert binomial_at_most(k, n, p) == pytest.approx(float(binom.cdf(k, n, p)), rel=1e-7, abs=1e-12)
    assert incomplete_beta(0.0, 2.0, 3.0) == 0.0 and incomplete_beta(1.0, 2.0, 3.0) == 1.0
    assert t_tail(2.0, 7.0) == pytest.approx(float(t.sf(2.0, 7.0)), rel=1e-12)


def test_a_t_quantile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one degree of freedom"):
        t_quantile(0.9, 0)


def test_the_interval_of_a_mean_is_that_of_scipy():
    from scipy.stats import sem, t

    values = np.random.default_rng(2).exponential(3.0, 12)
    found = mean_interval(values.tolist(), 0.9)
    assert (found.low, found.high) == pytest.approx(t.interval(0.9, 11, values.mean(), sem(values)))
    assert found.estimate == pytest.approx(values.mean()) and found.count == 12 and found.relative == pytest.approx(found.half_width / values.mean())
    assert mean_interval([1.0]) is None and mean_interval([1.0, math.inf]) is None
    assert mean_interval([2.0, 2.0]).relative == 0.0 and mean_interval([-1.0, 1.0]).relative == math.inf


@pytest.mark.parametrize(("count", "q"), [(20, 0.5), (100, 0.9), (1000, 0.99), (5000, 0.999), (100_000, 0.99)])
def test_ranks_of_a_quantile_hold_at_least_the_level_and_no_narrower_ones_do(count, q):
    from scipy.stats import binom

    low, high = quantile_ranks(count, q)
    assert binom.cdf(low - 1, count, q) <= 0.025 < binom.cdf(low, count, q)
    assert binom.sf(high - 1, count, q) <= 0.025 < binom.sf(high - 2, count, q)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.999])
def test_a_quantile_is_refused_where_the_samples_cannot_bound_it_from_above(q):
    """One sided, the fewest are those of oracle Z6; two sided at 95 % they are as many as bound it with 97.5 %, and enough below."""
    least = math.ceil(math.log(0.025) / math.log(q))
    assert least > fewest(q)
    assert quantile_ranks(least - 1, q) is None and quantile_ranks(least, q) is not None
    assert quantile_interval(np.arange(least - 1), q) is None and quantile_interval([], q) is None


def test_the_interval_of_a_quantile_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    truth = -math.log(0.1)
    found = [quantile_interval(rng.exponential(1.0, 200), 0.9) for _ in range(600)]
    assert 0.935 <= np.mean([not interval.excludes(truth) for interval in found]) <= 0.985
    assert np.mean([interval.estimate for interval in found]) == pytest.approx(truth, rel=0.03)


def test_the_interval_of_a_histogram_is_that_of_its_samples_to_within_a_bin():
    edges = bin_edges()
    values = np.random.default_rng(4).lognormal(17.0, 1.0, 4000)
    histogram = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges) - 1)
    plain, binned = quantile_interval(values, 0.99), histogram_quantile_interval(histogram, 0.99)
    assert binned.low <= plain.low <= binned.low * 1.01 and plain.high <= binned.high <= plain.high * 1.01
    assert binned.estimate == pytest.approx(plain.estimate, rel=0.01)
    assert histogram_quantile_interval(histogram * 0, 0.5) is None


def test_95_percent_intervals_of_mm1_hold_the_truth_95_times_in_100():
    """300 repetitions of 10 replications each, stationary starts (a cold start of the same length covers less: oracle Z1)."""
    waits = stationary_mm1(np.random.default_rng(7), (300, 10, 2000), 0.5).mean(axis=2)
    found = [mean_interval(row.tolist()) for row in waits]
    assert 0.92 <= np.mean([not interval.excludes(1.0) for interval in found]) <= 0.97


def test_batch_means_of_a_long_run_cover_too_and_tell_when_batches_are_too_short():
    waits = stationary_mm1(np.random.default_rng(8), (300, 8000), 0.5)
    found = [batch_means(row) for row in waits]
    assert 0.90 <= np.mean([not each.interval.excludes(1.0) for each in found]) <= 0.97
    assert np.mean([each.independent for each in found]) > 0.85
    short = [batch_means(row[:400], batches=20) for row in stationary_mm1(np.random.default_rng(9), (100, 500), 0.9)]
    assert np.mean([each.independent for each in short]) < 0.5
    assert batch_means(np.arange(199.0)) is None and batch_means(np.ones(200)).correlation == 0.0


def test_mser5_finds_the_warm_up_of_a_queue_that_starts_with_a_long_one():
    """Oracle Z3: waits of M/M/1 at 80 %, the first customer waits 200."""
    rng = np.random.default_rng(10)
    service, between = rng.exponential(1.0, (60, 20_000)), rng.exponential(1.25, (60, 20_000))
    service[:, 0] += 200.0
    between[:, 1] = 0.0
    waits = lindley(service, between)
    cuts = [mser5(row) for row in waits]
    assert 750 <= np.median(cuts) <= 1000
    assert np.mean([row[cut:].mean() for row, cut in zip(waits, cuts)]) == pytest.approx(3.91, rel=0.05)


def test_mser5_cuts_nothing_of_a_level_series_and_says_when_the_series_is_too_short():
    assert mser5(np.random.default_rng(11).normal(5.0, 1.0, 5000)) < 500
    assert mser5(np.linspace(1.0, 0.0, 100)) is None
    assert mser5(np.ones(19)) is None


def test_pairs_that_rise_and_fall_together_differ_with_a_small_interval():
    rng = np.random.default_rng(12)
    luck, own = rng.normal(0.0, 1.0, 40), rng.normal(0.0, 0.1, 40)
    found = paired(luck.tolist(), (luck + 0.2 + own).tolist())
    assert found.correlation > 0.98 and found.reduction > 50 and found.decided
    assert found.difference.low < 0.2 < found.difference.high
    assert found.correlation == pytest.approx(np.corrcoef(luck, luck + own)[0, 1])
    apart = paired(luck.tolist(), rng.normal(0.2, 1.0, 40).tolist())
    assert not apart.decided and apart.reduction < 2


def test_pairs_without_spread_or_without_a_partner_are_told_as_such():
    same = paired([1.0, 2.0], [1.0, 2.0])
    assert same.difference.half_width == 0.0 and not same.decided and same.reduction == math.inf
    assert paired([1.0, 1.0], [2.0, 2.0]).correlation is None and paired([1.0, 1.0], [2.0, 2.0]).decided
    assert paired([1.0], [2.0]) is None and paired([1.0, math.inf], [1.0, 2.0]) is None
    with pytest.raises(ValueError, match="as many values"):
        paired([1.0], [])
