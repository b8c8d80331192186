"""Writes tests.json and corrections.json: figures of scipy and statsmodels (pip install scipy statsmodels)."""
import json, pathlib
import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)


def bootstrap(d, draws=400_000):
    t = d.mean() / (d.std(ddof=1) / np.sqrt(len(d)))
    hits = 0
    for _ in range(draws // 10_000):
        z = rng.choice(d - d.mean(), size=(10_000, len(d)))
        with np.errstate(divide="ignore", invalid="ignore"):
            s = z.mean(axis=1) / (z.std(axis=1, ddof=1) / np.sqrt(len(d)))
        same = z.std(axis=1) < 1e-15  # all drawn alike
        s[same] = np.where(z.mean(axis=1)[same] == 0, 0.0, np.inf)
        hits += int((np.abs(s) >= abs(t)).sum())
    return hits / draws


samples = [
    np.array([0.1, -0.2, 0.3]),
    rng.normal(0.05, 0.2, 8).round(3),
    rng.choice([-1.0, 0.0, 0.0, 1.0, 1.0], 12),
    rng.normal(0.1, 0.3, 20).round(3),
    rng.normal(0.02, 0.2, 50).round(4),
    rng.normal(0.0, 0.2, 43).round(4),
    rng.choice([-0.5, 0.0, 0.0, 0.0, 0.5, 1.0], 120),
    rng.normal(0.03, 0.25, 200).round(4),
    rng.normal(0.5, 0.05, 60).round(4),
]
cases = []
for d in samples:
    t = stats.ttest_rel(d, np.zeros(len(d)))
    ci95, ci99 = t.confidence_interval(0.95), t.confidence_interval(0.99)
    exact = len(d) <= 20
    r = stats.permutation_test((d, np.zeros(len(d))), lambda x, y, axis: np.mean(x - y, axis=axis), vectorized=True,
                               permutation_type="samples", n_resamples=np.inf if exact else 400_000,
                               rng=np.random.default_rng(1))
    cases.append(dict(differences=d.tolist(), t=t.statistic, p=t.pvalue, effect=d.mean() / d.std(ddof=1),
                      low=ci95.low, high=ci95.high, low99=ci99.low, high99=ci99.high,
                      randomisation=r.pvalue, exact=exact, bootstrap=bootstrap(d)))
(here / "tests.json").write_text(json.dumps(cases) + "\n")

families = []
for ps in [[0.03], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [1e-12, 0.2, 0.2, 0.04, 1.0, 0.0],
           rng.uniform(0, 0.2, 15).tolist(), (rng.uniform(0, 1, 30) ** 3).tolist()]:
    family = {"p": ps}
    for name, method in [("bonferroni", "bonferroni"), ("holm", "holm"), ("benjamini_hochberg", "fdr_bh")]:
        family[name] = multipletests(ps, method=method)[1].tolist()
    families.append(family)
(here / "corrections.json").write_text(json.dumps(families) + "\n")

# Power, the smallest effect found with a chance of .8, and intervals of effects by the noncentral t distribution.
from scipy.optimize import brentq
from scipy.special import gammaln
from statsmodels.stats.power import TTestPower

powers = []
for n in [5, 20, 43, 97, 300, 6980]:
    for alpha in [0.05, 0.05 / 45, 0.01]:
        effect = 2.0 / np.sqrt(n)
        solver = TTestPower()
        rough = solver.solve_power(None, n, alpha, 0.8)  # stops at 1e-6
        powers.append(dict(n=n, alpha=alpha, effect=effect, power=solver.power(effect, n, alpha),
                           detectable=brentq(lambda d: solver.power(d, n, alpha) - 0.8, rough / 1.1, rough * 1.1, xtol=1e-14)))
effects = []
for n, d in [(5, 0.9), (12, -0.3), (20, 0.0), (43, 0.5), (97, 0.2), (300, 0.47), (2000, -0.05)]:
    m, t = n - 1, d * np.sqrt(n)
    j = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2)
    at = lambda p: brentq(lambda s: stats.nct.cdf(t, m, s) - p, t - 12 - abs(t), t + 12 + abs(t), xtol=1e-12) / np.sqrt(n)
    effects.append(dict(n=n, d=d, hedges=j * d, low=at(0.975), high=at(0.025)))
(here / "power.json").write_text(json.dumps(dict(powers=powers, effects=effects)) + "\n")
