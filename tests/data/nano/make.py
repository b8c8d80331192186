"""Writes tests/data/tiny as NanoBEIR lies on Hugging Face's hub: three Parquet files by pyarrow, with pages of snappy and
columns that may be null.
"""
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
tiny = here.parent / "tiny"


def write(name, columns):
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, here / f"{name}.parquet", compression="snappy")


docs = [json.loads(line) for line in (tiny / "corpus.jsonl").open()]
write("corpus", {"_id": [d["_id"] for d in docs], "text": [d["title"] + " " + d["text"] for d in docs]})
queries = [json.loads(line) for line in (tiny / "queries.jsonl").open()]
write("queries", {"_id": [q["_id"] for q in queries], "text": [q["text"] for q in queries]})
# NanoBEIR has no grades: what is listed is relevant.
rows = [line.split("\t") for line in (tiny / "qrels.tsv").read_text().splitlines()[1:]]
write("qrels", {"query-id": [r[0] for r in rows], "corpus-id": [r[1] for r in rows]})
