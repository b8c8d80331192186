"""Losses and gradients of all objectives by PyTorch's autograd, in double precision, on fixed scores.

    python make.py > reference.json

Written with PyTorch's own functions where there is one, as Lightning IR writes RankNet and ApproxRankMSE (pairs
t_i > t_j; argsort of argsort; sigmoid of score differences), and the others from the formulas of their papers, as
matrices, so that it shares no code with xpipe. peers.py compares them with sentence-transformers' losses.
"""
import json
import random

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def pairs_of(groups):
    """All (positive, negative) positions of a batch."""
    return [(g, p, n) for g, (s, _, k) in enumerate(groups) for p in range(k) for n in range(k, len(s))]


def bce(groups, scores, temperature=1.0):
    labels = torch.cat([torch.tensor([1.0] * k + [0.0] * (len(s) - k)) for s, _, k in groups])
    return F.binary_cross_entropy_with_logits(torch.cat(scores) / temperature, labels)


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


def mse(groups, scores):
    return F.mse_loss(torch.cat(scores), torch.tensor([t for _, of_group, _ in groups for t in of_group]))


def kl(groups, scores, temperature=1.0):
    """Hinton et al. 2015: the divergence of the softened distributions, times T squared."""
    losses = []
    for (_, t, _), s in zip(groups, scores):
        student = F.log_softmax(s / temperature, -1)
        teacher = F.log_softmax(torch.tensor(t) / temperature, -1)
        losses.append(F.kl_div(student, teacher, log_target=True, reduction="sum") * temperature ** 2)
    return torch.stack(losses).mean()


def list_net(groups, scores, temperature=1.0):
    """Cao et al. 2007: cross-entropy of top-one probabilities."""
    losses = [F.cross_entropy(s[None] / temperature, torch.softmax(torch.tensor(t)[None] / temperature, -1))
              for (_, t, _), s in zip(groups, scores)]
    return torch.stack(losses).mean()


def log_likelihoods(t, s, temperature):
    """The logarithm of each factor of the Plackett-Luce probability of the teacher's order."""
    x = s[torch.argsort(torch.tensor(t), descending=True, stable=True)] / temperature
    return x - torch.logcumsumexp(x.flip(0), 0).flip(0)


def list_mle(groups, scores, temperature=1.0):
    """Xia et al. 2008."""
    return torch.stack([-log_likelihoods(t, s, temperature).sum() for (_, t, _), s in zip(groups, scores)]).mean()


def p_list_mle(groups, scores, temperature=1.0):
    """Lan et al. 2014, with weights 2^(n-i) - 1 that sum to 1."""
    losses = []
    for (_, t, _), s in zip(groups, scores):
        alpha = 2.0 ** (len(t) - torch.arange(1.0, len(t) + 1)) - 1
        losses.append(-(alpha / alpha.sum() * log_likelihoods(t, s, temperature)).sum())
    return torch.stack(losses).mean()


def lambda_loss(groups, scores, grade="rank", mu=10.0, temperature=1.0):
    """Wang et al. 2018, NDCG-Loss2++: sorted by the model, pairs above the diagonal and below it."""
    losses = []
    for (_, t, _), s in zip(groups, scores):
        t = torch.tensor(t)
        n = len(t)
        y = t.clamp(min=0) if grade == "score" else 1.0 / (1 + (t[None, :] > t[:, None]).sum(-1))
        inverse = 1 / torch.log2(1 + torch.arange(1.0, n + 2))
        ideal = ((2 ** y.sort(descending=True).values - 1) * inverse[:n]).sum()
        by_model = torch.argsort(s.detach(), descending=True, stable=True)
        s, t, gain = s[by_model], t[by_model], ((2 ** y - 1) / ideal.clamp(min=1e-300))[by_model]
        rho = (inverse[:n, None] - inverse[None, :n]).abs()
        apart = (torch.arange(n)[:, None] - torch.arange(n)[None, :]).abs()
        delta = torch.where(apart > 0, inverse[(apart - 1).clamp(min=0)] - inverse[apart], 0.0)
        weight = (rho + mu * delta) * (gain[:, None] - gain[None, :]).abs()
        terms = -weight * F.logsigmoid((s[:, None] - s[None, :]) / temperature) / torch.log(torch.tensor(2.0))
        losses.append(terms[t[:, None] > t[None, :]].sum())
    return torch.stack(losses).mean()


def localized_contrastive(groups, scores, temperature=1.0):
    """Gao, Dai and Callan 2021; in lists the target is the teacher's first document, as in Lightning IR."""
    losses = []
    for (_, t, k), s in zip(groups, scores):
        if k == 0:
            losses.append(F.cross_entropy(s[None] / temperature, torch.tensor([t.index(max(t))])))
        else:
            logits = torch.stack([torch.cat([s[p:p + 1], s[k:]]) for p in range(k)]) / temperature
            losses.append(F.cross_entropy(logits, torch.zeros(k, dtype=torch.long)))
    return torch.stack(losses).mean()


FUNCTIONS = dict(bce=bce, hinge=hinge, infonce=infonce, margin_mse=margin_mse, ranknet=ranknet,
                 approx_rank_mse=approx_rank_mse, mse=mse, kl=kl, list_net=list_net, list_mle=list_mle,
                 p_list_mle=p_list_mle, localized_contrastive=localized_contrastive, **{"lambda": lambda_loss})


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
    everything = {**pair_batches, **ranked}
    small = {k: v for k, v in everything.items() if k not in ("eight pairs", "fifty documents")}
    plan = [("bce", supervised, temperatures), ("hinge", supervised, [{}, {"margin": 0.5}, {"margin": 0.0}]),
            ("infonce", supervised, temperatures), ("margin_mse", supervised, [{}]),
            ("ranknet", ranked, temperatures),
            ("approx_rank_mse", ranked, temperatures + [{"discount": "none"}]),
            ("mse", small, [{}]), ("kl", small, temperatures),
            ("list_net", ranked, temperatures), ("list_mle", ranked, temperatures),
            ("p_list_mle", ranked, temperatures),
            ("lambda", ranked, temperatures + [{"mu": 0.0}, {"grade": "score", "mu": 2.5}]),
            ("localized_contrastive", {**small, "two positives": group_batches["two positives"]}, temperatures)]
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
