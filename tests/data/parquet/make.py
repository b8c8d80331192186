"""Writes small Parquet files with the columns of the data set sentence-transformers/msmarco on Hugging Face's hub (as
its card states them), and one in each packing, by pyarrow.
"""
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent


def write(name, compression="snappy", **columns):
    pq.write_table(pa.table(columns), here / f"{name}.parquet", compression=compression)


write("passages", passage_id=["7", "8", "9"], passage=["a fox", "a dog", "a cat"])
write("queries", query_id=["1", "2"], query=["fox", "dog"])
write("scores", query_id=["1", "1", "2"], passage_id=["7", "8", "8"], score=[11.5, -3.25, 9.0])
write("margins", query_id=["1", "2"], positive_id=["7", "8"], negative_id=["8", "9"], score=[14.75, -0.5])
write("triplets", query_id=["1"], positive_id=["7"], negative_id=["9"])
write("rankings", query_id=["1", "2"], doc_ids=[["8", "7"], ["9"]])
write("labels", query_id=["1", "2"], doc_ids=[["8", "7"], ["9"]], labels=[[0, 1], [1]])
for packing in ["lz4", "brotli", "gzip", "zstd"]:
    write(packing, packing, passage_id=["7"], passage=["a fox"])
