//! `xpipe run` with nothing to do over 4,000 cells: `cargo bench --bench noop -- [runs]`.
//!
//! The whole program is timed: reading and checking the study, expanding its graph, looking every result up, tables.
//! The first time the cache is filled, which takes a while; it is kept under `target/tmp`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

/// Values of each of the two parameters of BM25.
const K1: usize = 40;
const B: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(9usize).max(1);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("noop");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("study.xpipe"), study())?;
    // Until a run finds everything there.
    let mut begun = Instant::now();
    while counts(&run(&folder)?)? != (0, 2 * K1 * B + 4) {
        println!("filled the cache in {:.1} s", begun.elapsed().as_secs_f64());
        begun = Instant::now();
    }
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begun = Instant::now();
        run(&folder)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{} cells, nothing to do: median {:.3} s, best {:.3} s of {runs} runs",
        2 * K1 * B,
        seconds[runs / 2],
        seconds[0]
    );
    Ok(())
}

fn study() -> String {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/data/tiny");
    let list = |n: usize, step: f64| {
        let values: Vec<String> = (1..=n).map(|i| format!("{:.3}", i as f64 * step)).collect();
        values.join(", ")
    };
    format!(
        r#"edition 2026
dataset tiny: TestCollection = local {{ docs = "{0}/corpus.jsonl", queries = "{0}/queries.jsonl", qrels = "{0}/qrels.tsv" }}
axis k1: Float = [{1}]
axis b: Float = [{2}]
stage index = bm25.index {{ corpus = tiny.corpus }}
stage found for k1, b = bm25.search {{ index, queries = tiny.queries, depth = 10, k1, b }}
stage scores for k1, b = evaluate {{ run = found, qrels = tiny.qrels, metrics = [ndcg(10)] }}
table t {{ title = "nDCG@10", rows = k1, columns = b, value = scores.ndcg_10 }}
"#,
        data.display(),
        list(K1, 0.05),
        list(B, 0.02)
    )
}

fn run(folder: &Path) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_xpipe"))
        .args(["run", "study.xpipe", "--json", "--cache", "cache", "--output", "results"])
        .current_dir(folder)
        .output()
}

/// Actions that ran and that were cached.
fn counts(output: &Output) -> Result<(usize, usize), Box<dyn std::error::Error>> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let count = |n: &str| json["counts"][n].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    Ok((count("ran"), count("cached")))
}
