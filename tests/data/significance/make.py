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
