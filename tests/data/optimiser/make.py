"""Five steps of torch.optim.AdamW after clip_grad_norm_, on fixed gradients.    python make.py > reference.json"""
import json

import torch

torch.manual_seed(20261123)
cases = []
for clip, decay, betas, eps, rates in [
    (1.0, 0.0, (0.9, 0.999), 1e-8, [5e-4] * 5),
    (1.0, 0.1, (0.9, 0.999), 1e-8, [0.0, 1e-2, 2e-2, 1e-2, 5e-3]),
    (0.0, 0.01, (0.8, 0.95), 1e-6, [1e-1] * 5),
    (100.0, 0.5, (0.9, 0.999), 1e-8, [1e-3] * 5),
]:
    matrix, bias = torch.randn(2, 3, requires_grad=True), torch.randn(4, requires_grad=True)
    optimiser = torch.optim.AdamW(
        [{"params": [matrix], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}], betas=betas, eps=eps)
    flat = lambda ts: torch.cat([t.detach().flatten() for t in ts]).tolist()
    case = dict(clip_norm=clip, weight_decay=decay, beta1=betas[0], beta2=betas[1], eps=eps, learning_rates=rates,
                initial=flat([matrix, bias]), gradients=[], norms=[], weights=[])
    for rate in rates:
        for group in optimiser.param_groups:
            group["lr"] = rate
        matrix.grad, bias.grad = torch.randn(2, 3) * 2, torch.randn(4) * 0.5
        case["gradients"].append(flat([matrix.grad, bias.grad]))
        limit = clip if clip > 0 else float("inf")
        case["norms"].append(torch.nn.utils.clip_grad_norm_([matrix, bias], limit).item())
        optimiser.step()
        case["weights"].append(flat([matrix, bias]))
    cases.append(case)
print("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]")
