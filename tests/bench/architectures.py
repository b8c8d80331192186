"""Every architecture beside PyTorch, as a table: python architectures.py [runs] [SHAPE ...]

Runs `cargo bench --bench encoder` and encoder_peer.py one after the other for each shape and precision, with two threads,
and prints what the first is faster (and smaller) by, with the errors against the reference implementation's numbers that
`cargo test` finds. The machine should have nothing else to do.
"""
import pathlib
import re
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
runs = sys.argv[1] if len(sys.argv) > 1 else "3"
shapes = sys.argv[2:] or ["minilm-l12", "bert-base", "distilbert", "deberta-v3-base", "ettin-32m", "modernbert-base"]


def measured(command):
    text = subprocess.run(command, cwd=here.parent.parent, check=True, capture_output=True, text=True).stdout
    tokens = float(re.search(r"score: .*?([\d.]+) tokens/s", text)[1])
    steps = [float(x) for x in re.findall(r"train 16 x \d+: step ([\d.]+) ms", text)]
    peaks = [float(x) for x in re.findall(r"train 16 x .*peak ([\d.]+) MB", text)]
    return [tokens, *steps, peaks[-1]]


def errors():
    """The largest errors of each fixture on the fastest kernels: hidden states, gradients."""
    test = ["cargo", "test", "-q", "--lib", "--", "fixtures_hold", "--nocapture"]
    text = subprocess.run(test, cwd=here.parent.parent, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(\S+) \S+: hidden (\S+) .*gradients: ([\d.e-]+)", text, re.M)
    return {name: (float(hidden), float(gradients)) for name, hidden, gradients in found}


fixture = {"minilm-l12": "minilm", "bert-base": "bert", "distilbert": "distilbert", "deberta-v3-base": "deberta-v3",
           "ettin-32m": "ettin", "modernbert-base": "modernbert"}
exact = errors()
print("error per tensor, relative to its largest number:", *(f"{n} {h:.0e} {g:.0e}" for n, (h, g) in exact.items()), sep="\n  ")
print("| shape | forward | gradients | precision | scoring, tokens/s | × | step 16 × 128 | × | step 16 × 256 | × | memory |")
print("|---|---|---|---|---|---|---|---|---|---|---|")
for shape in shapes:
    hidden, gradients = exact[fixture[shape]]
    for precision in ["fp32", "bf16"]:
        ours = measured(["cargo", "bench", "-q", "--bench", "encoder", "--", shape, "2", runs, "all", precision])
        peer = measured([sys.executable, str(here / "encoder_peer.py"), shape, "2", runs, "192", precision])
        errors_told = f"{hidden:.0e} | {gradients:.0e}" if precision == "fp32" else " | "
        print(f"| {shape} | {errors_told} | {precision} | {ours[0]:,.0f} | {ours[0] / peer[0]:.2f} "
              f"| {ours[1] / 1e3:.2f} s | {peer[1] / ours[1]:.2f} | {ours[2] / 1e3:.2f} s | {peer[2] / ours[2]:.2f} "
              f"| {ours[3] / peer[3]:.2f} |", flush=True)
