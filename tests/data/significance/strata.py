"""Writes strata.json: figures of the test of a mean of collections (pip install numpy scipy).

Two collections of equal weight are Welch's test of one sample against the other with its sign turned, which is scipy's
own; more collections and other weights are the closed forms of Cochran (Sampling techniques, 1977, section 5.4) with
Satterthwaite's degrees of freedom. Randomisation is counted over all signs where that is possible.
"""
import itertools, json, pathlib
import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import gammaln

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(11)


def moments(parts):
    mean = sum(w * d.mean() for w, d in parts)
    variances = [w * w * d.var(ddof=1) / len(d) for w, d in parts]
    sizes = [len(d) - 1 for _, d in parts]
    freedom = sum(variances) ** 2 / sum(v * v / m for v, m in zip(variances, sizes))
    sd = np.sqrt(sum(w * d.var(ddof=1) for w, d in parts))
    return mean, np.sqrt(sum(variances)), freedom, sd


def randomisation(parts, exact):
    x = np.concatenate([w * d / len(d) for w, d in parts])
    limit = abs(x.sum()) - 1e-12 * np.abs(x).sum()
    if exact:
        signs = np.array(list(itertools.product([-1.0, 1.0], repeat=len(x))))
        return float((np.abs(signs @ x) >= limit).mean())
    hits = sum(int((np.abs(rng.choice([-1.0, 1.0], (10_000, len(x))) @ x) >= limit).sum()) for _ in range(40))
    return hits / 400_000


def bootstrap(parts, draws=400_000):
    mean, error, _, _ = moments(parts)
    hits = 0
    for _ in range(draws // 10_000):
        m, v = 0.0, 0.0
        for w, d in parts:
            z = rng.choice(d - d.mean(), size=(10_000, len(d)))
            m, v = m + w * z.mean(axis=1), v + w * w * z.var(axis=1, ddof=1) / len(d)
        with np.errstate(divide="ignore", invalid="ignore"):
            hits += int((np.abs(m / np.sqrt(v)) >= abs(mean / error)).sum())
    return hits / draws


cases = []
samples = [
    [(0.5, rng.normal(0.1, 0.3, 7).round(3)), (0.5, rng.normal(0.0, 0.1, 11).round(3))],
    [(0.5, rng.normal(-0.03, 0.3, 200).round(4)), (0.5, rng.normal(0.12, 0.2, 43).round(4))],
    [(0.5, rng.normal(0.02, 0.25, 225).round(4)), (0.25, rng.normal(0.05, 0.2, 52).round(4)), (0.25, rng.normal(0.1, 0.4, 30).round(4))],
    [(1 / 3, rng.normal(0.3, 0.2, 5).round(3)), (1 / 3, rng.normal(0.2, 0.3, 6).round(3)), (1 / 3, rng.normal(-0.1, 0.1, 8).round(3))],
    [(0.75, rng.normal(0.05, 0.1, 60).round(4)), (0.25, rng.normal(-0.1, 0.5, 25).round(4))],
]
for parts in samples:
    mean, error, freedom, sd = moments(parts)
    t = mean / error
    p = 2 * stats.t.sf(abs(t), freedom)
    if [w for w, _ in parts] == [0.5, 0.5]:
        welch = stats.ttest_ind(parts[0][1], -parts[1][1], equal_var=False)
        assert np.allclose([t, p, freedom], [welch.statistic, welch.pvalue, welch.df], rtol=1e-12)
        ci = welch.confidence_interval(0.95)
        low, high = ci.low / 2, ci.high / 2
    else:
        low, high = mean - stats.t.ppf(0.975, freedom) * error, mean + stats.t.ppf(0.975, freedom) * error
    n = (sd / error) ** 2
    j = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    at = lambda q: brentq(lambda s: stats.nct.cdf(t, freedom, s) - q, t - 12 - abs(t), t + 12 + abs(t), xtol=1e-12) / np.sqrt(n)
    critical = stats.t.ppf(1 - 0.025, freedom)
    power = lambda d: stats.nct.sf(critical, freedom, d * np.sqrt(n)) + stats.nct.cdf(-critical, freedom, d * np.sqrt(n))
    exact = sum(len(d) for _, d in parts) <= 20
    cases.append(dict(
        parts=[dict(weight=w, differences=d.tolist()) for w, d in parts], mean=mean, t=t, p=p, freedom=freedom, sd=sd, n=n,
        effect=mean / sd, low=low, high=high, hedges=j * mean / sd, effect_low=at(0.975), effect_high=at(0.025),
        detectable=brentq(lambda d: power(d) - 0.8, 1e-6, 6 / np.sqrt(n), xtol=1e-14), exact=exact,
        randomisation=randomisation(parts, exact), bootstrap=bootstrap(parts)))
(here / "strata.json").write_text(json.dumps(cases) + "\n")
