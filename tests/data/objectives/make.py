"""Losses and gradients of the six objectives by PyTorch's autograd, in double precision, on fixed scores.

    python make.py > reference.json

Written with PyTorch's own functions where there is one, and as Lightning IR writes RankNet and ApproxRankMSE
(pairs t_i > t_j; argsort of argsort; sigmoid of score differences), so that it shares no code with xpipe.
"""
import json
import random

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def pairs_of(groups):
    """All (positive, negative) positions of a batch."""
    return [(g, p, n) for g, (s, _, k) in enumerate(groups) for p in range(k) for n in range(k, len(s))]


def bce(groups, scores):
    labels = torch.cat([torch.tensor([1.0] * k + [0.0] * (len(s) - k)) for s, _, k in groups])
    return F.binary_cross_entropy_with_logits(torch.cat(scores), labels)


def hinge(groups, scores, margin=1.0):
    diff = torch.stack([scores[g][p] - scores[g][n] for g, p, n in pairs_of(groups)])
    return F.relu(margin - diff).mean()


def infonce(groups, scores, temperature=1.0):
    per_query = []
    for (_, _, k), s in zip(groups, scores):
        one = [F.cross_entropy(torch.cat([s[p:p + 1], s[k:]])[None] / temperature, torch.tensor([0])) for p in range(k)]
        per_query.append(torch.stack(one).mean())
    return torch.stack(per_query).mean()


def margin_mse(groups, scores):
    at = pairs_of(groups)
    student = torch.stack([scores[g][p] - scores[g][n] for g, p, n in at])
    teacher = torch.tensor([groups[g][1][p] - groups[g][1][n] for g, p, n in at])
    return F.mse_loss(student, teacher)


def ranknet(groups, scores, temperature=1.0):
    margins = []
    for (_, t, _), s in zip(groups, scores):
        t = torch.tensor(t)
        better, worse = torch.nonzero(t[:, None] > t[None, :], as_tuple=True)
        margins.append((s[better] - s[worse]) / temperature)
    margins = torch.cat(margins)
    if not len(margins):
        return torch.cat(scores).sum() * 0
    return F.binary_cross_entropy_with_logits(margins, torch.ones_like(margins))


def approx_rank_mse(groups, scores, temperature=1.0, discount="log2"):
    losses = []
    for (_, t, _), s in zip(groups, scores):
        differences = torch.sigmoid((s[None, :] - s[:, None]) / temperature)
        approximate = (differences * (1 - torch.eye(len(s)))).sum(-1) + 1
        order = torch.argsort(torch.tensor(t), descending=True, stable=True)
        ranks = torch.argsort(order) + 1
        loss = F.mse_loss(approximate, ranks.to(approximate), reduction="none")
        losses.append(loss / torch.log2(ranks + 1) if discount == "log2" else loss)
    return torch.cat(losses).mean()


FUNCTIONS = dict(bce=bce, hinge=hinge, infonce=infonce, margin_mse=margin_mse, ranknet=ranknet,
                 approx_rank_mse=approx_rank_mse)


def draw(rng, sizes, positives=1, spread=3.0):
    return [([round(rng.gauss(0, spread), 3) for _ in range(n)], [round(rng.gauss(0, 4), 3) for _ in range(n)],
             positives) for n in sizes]


def main():
    rng = random.Random(20261123)
    pair_batches = {
        "one pair": [([0.3, -0.2], [2.0, 1.5], 1)],
        "tied scores": [([0.0, 0.0], [1.0, 1.0], 1), ([2.5, 2.5], [3.0, -1.0], 1)],
        "margin met exactly": [([1.0, 0.0], [1.0, 0.0], 1), ([0.0, 1.0], [0.0, 1.0], 1)],
        "large logits": [([60.0, -60.0], [9.0, -9.0], 1), ([-60.0, 60.0], [9.0, -9.0], 1)],
        "eight pairs": draw(rng, [2] * 8),
    }
    group_batches = {
        "one group": draw(rng, [8]),
        "four groups": draw(rng, [8] * 4),
        "unequal groups": draw(rng, [3, 8, 5]),
        "two positives": draw(rng, [6, 7], positives=2),
        "all scores tied": [([1.25] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], 1)],
    }
    list_batches = {
        "one list": draw(rng, [10], 0),
        "fifty documents": draw(rng, [50], 0),
        "three lists": draw(rng, [10, 4, 7], 0),
        "teacher ties": [([0.5, -1.0, 2.0, 0.1, 0.0], [3.0, 3.0, 1.0, 1.0, 0.0], 0)],
        "teacher ties everywhere": [([0.5, -1.0, 2.0], [1.0, 1.0, 1.0], 0)],
        "scores tied": [([0.7] * 4, [4.0, 3.0, 2.0, 1.0], 0)],
        "teacher not sorted": [([0.7, 0.1, -2.0, 1.5], [1.0, 4.0, -2.0, 3.0], 0)],
    }
    supervised = {**pair_batches, **group_batches}
    ranked = {**list_batches, **{k: group_batches[k] for k in ("one group", "unequal groups")}}
    temperatures = [{}, {"temperature": 0.25}, {"temperature": 2.0}]
    plan = [("bce", supervised, [{}]), ("hinge", supervised, [{}, {"margin": 0.5}, {"margin": 0.0}]),
            ("infonce", supervised, temperatures), ("margin_mse", supervised, [{}]),
            ("ranknet", ranked, temperatures),
            ("approx_rank_mse", ranked, temperatures + [{"discount": "none"}])]
    cases = []
    for name, batches, arguments in plan:
        for title, groups in batches.items():
            for kwargs in arguments:
                scores = [torch.tensor(s, requires_grad=True) for s, _, _ in groups]
                loss = FUNCTIONS[name](groups, scores, **kwargs)
                gradients = torch.autograd.grad(loss, scores)
                cases.append(dict(objective=name, case=title, arguments=kwargs,
                                  groups=[dict(scores=s, teacher=t, positives=k) for s, t, k in groups],
                                  loss=loss.item(), gradients=[g.tolist() for g in gradients]))
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    print('{"torch":"%s","cases":[\n%s\n]}' % (torch.__version__.split("+")[0], lines))


main()
