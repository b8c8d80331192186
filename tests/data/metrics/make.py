"""Writes cases.json: random runs and judgements with what independent implementations say of them.

pip install ir-measures pytrec_eval-terrier

Scores have ties, also such that are different as double and equal as single precision; grades go below zero;
documents are unjudged; queries are missing on either side or have nothing relevant. Per query figures are of
pytrec_eval (trec_eval itself), through ir_measures; Judged and RR with a cut-off are ir_measures' own, which breaks
ties in another way, so they are given rankings already sorted as trec_eval sorts.
"""
import json, pathlib, random
import ir_measures
from ir_measures import nDCG, RR, AP, P, R, Success, Judged
import numpy as np

rng = random.Random(20260301)
MEASURES = [nDCG, nDCG @ 1, nDCG @ 3, nDCG @ 10, nDCG @ 100, RR, RR(rel=2),
            AP, AP @ 5, AP @ 100, AP(rel=2), AP(rel=3) @ 10, P @ 1, P @ 5, P @ 100, P(rel=2) @ 5,
            R @ 1, R @ 5, R @ 100, R(rel=2) @ 10, Success @ 1, Success @ 5, Success(rel=3) @ 5]
qrels, run = {}, {}
for q in range(16):
    qid = f"q{q}"
    pool = [f"d{i}" for i in range(40)] + ["D1", "é", "doc-10", "doc-9"]
    grades = [-2, -1, 0, 0, 0, 1, 1, 2, 3]
    if q == 3:
        grades = [0, -1]
    if q != 5:
        qrels[qid] = {d: rng.choice(grades) for d in rng.sample(pool, rng.randint(2, 30))}
    if q != 7:
        run[qid] = {}
        for d in rng.sample(pool, rng.choice([1, 4, 12, 40])):
            score = rng.choice([rng.randint(-3, 6) / 2, rng.random() * 4, 1 + rng.random() * 1e-9])
            run[qid][d] = score


def per_query(measures, run):
    # Names as ir_measures prints them, so that aliases do not hide behind each other.
    out = {}
    for m in ir_measures.iter_calc(measures, qrels, run):
        out.setdefault(str(m.measure), {})[m.query_id] = m.value
    return out


figures = {}
for m in MEASURES:
    figures.update(per_query([m], run))
ranked = {}
for qid, docs in run.items():
    order = sorted(docs, key=lambda d: (np.float32(docs[d]), d.encode()), reverse=True)
    ranked[qid] = {d: float(len(order) - i) for i, d in enumerate(order)}
for m in [RR @ 2, RR @ 10, RR(rel=2) @ 10, Judged @ 1, Judged @ 10, Judged @ 100]:
    figures.update(per_query([m], ranked))
for values in figures.values():  # trec_eval -c
    for qid in qrels:
        values.setdefault(qid, 0.0)
case = {"qrels": qrels, "run": run, "figures": figures}
path = pathlib.Path(__file__).parent / "cases.json"
path.write_text(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")
