"""Token ids and types that transformers gives for the folders of folders.json.

usage: python ids.py > ids-VERSION.json, with transformers 4.57 and with transformers 5; no network and no torch.
"""

import json
import os
import pathlib
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import transformers  # noqa: E402


def write(folder, case, bases):
    config = {"model_type": case["model_type"], "vocab_size": 600, **case.get("config", {})}
    (folder / "config.json").write_text(json.dumps(config))
    if case.get("base"):
        base = json.loads(json.dumps(bases[case["base"]]))
        for pointer, value in case.get("set", {}).items():
            *path, last = pointer.strip("/").split("/")
            at = base
            for part in path:
                at = at[int(part)] if isinstance(at, list) else at[part]
            if isinstance(at, list):
                at[int(last)] = value
            else:
                at[last] = value
        (folder / "tokenizer.json").write_text(json.dumps(base))
    if "tokenizer_config" in case:
        (folder / "tokenizer_config.json").write_text(json.dumps(case["tokenizer_config"]))
    for name, content in case.get("files", {}).items():
        if name == "vocab.txt":
            words = bases["bert"]["model"]["vocab"]
            content = "".join(word + "\n" for word in sorted(words, key=words.get))
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def main():
    data = json.loads((pathlib.Path(__file__).parent / "folders.json").read_text())
    out = {"transformers": transformers.__version__}
    for case in data["folders"]:
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder), case, data["bases"])
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
                pairs = [tokenizer(query, document) for query, document in data["pairs"]]
                out[case["name"]] = [[p["input_ids"], p.get("token_type_ids") or [0] * len(p["input_ids"])] for p in pairs]
            except Exception as error:
                out[case["name"]] = type(error).__name__
    json.dump(out, sys.stdout, separators=(",", ":"))
    print()


main()
