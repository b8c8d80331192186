//! A collection of MS MARCO's size from a file on disk: imported, indexed, searched, read at random; and as many rows of
//! a teacher's scores as MarginMSE's published ones, imported and sampled.
//!
//! `cargo bench --bench reading -- [percent]`: 1 % without an argument; 100 % are 8,841,823 passages of 3 GB, which take
//! four times that space under `target/tmp` while it runs. Peak memory is the program's `VmHWM`: mapped files count in it
//! as far as they were read, and give way when memory is short.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use xpipe_base::value::rng::Stream;
use xpipe_data::store::TextStore;

/// Passages of MS MARCO, and the bytes of its `collection.tsv` divided by them.
const PASSAGES: f64 = 8_841_823.0;
const BYTES: u64 = 345;
/// Words of the made vocabulary; their frequencies fall as 1 / rank.
const WORDS: f64 = 400_000.0;
const READS: u64 = 1_000_000;
/// Rows of `bert_cat_ensemble_msmarcopassage_train_scores_ids.tsv`.
const ROWS: f64 = 39_780_811.0;
/// Samples drawn of them.
const DRAWN: u64 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let percent: f64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1.0);
    let passages = (PASSAGES * percent / 100.0).max(1.0) as u64;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reading");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let begun = Instant::now();
    let bytes = write(&folder, passages)?;
    let gb = bytes as f64 / 1e9;
    println!("{passages} passages, {gb:.3} GB, written in {:.1} s", begun.elapsed().as_secs_f64());

    let (seconds, peak) = run(&folder, "study.xpipe")?;
    println!(
        "imported, indexed, 100 queries searched 1,000 deep: {seconds:.1} s, peak memory {:.2} GB",
        peak as f64 / 1e9
    );

    let store = TextStore::open(&largest(&folder.join("cache/v1/trees"))?)?;
    let (places, begun) = (Stream::new(1, &["reading"]), Instant::now());
    let mut read = 0usize;
    for i in 0..READS {
        let text = store.text(places.below(i, store.len() as u64) as usize);
        // Every byte of it, as a tokenizer would.
        read += text.bytes().filter(|b| *b == b' ').count();
    }
    let each = begun.elapsed().as_secs_f64() / READS as f64;
    println!(
        "{READS} passages read at random: {:.2} µs each, {read} words, peak memory {:.2} GB",
        each * 1e6,
        peak_of("self") as f64 / 1e9
    );
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let rows = (ROWS * percent / 100.0).max(1.0) as u64;
    let gb = write_rows(&folder, rows)? as f64 / 1e9;
    let (seconds, peak) = run(&folder, "rows.xpipe")?;
    println!(
        "{rows} rows of scores, {gb:.3} GB: imported, {DRAWN} drawn by seed: {seconds:.1} s, peak memory {:.2} GB",
        peak as f64 / 1e9
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Rows of two scores, a query and two passages, with a study that samples them.
fn write_rows(folder: &Path, rows: u64) -> std::io::Result<u64> {
    const TEXTS: u64 = 1_000_000;
    for (file, texts) in [("few.tsv", TEXTS), ("asked.tsv", TEXTS / 2)] {
        let mut out = BufWriter::new(std::fs::File::create(folder.join(file))?);
        (0..texts).try_for_each(|id| writeln!(out, "{id}\ttext {id}"))?;
        out.flush()?;
    }
    let draw = Stream::new(2, &["rows"]);
    let mut out = BufWriter::new(std::fs::File::create(folder.join("rows.tsv"))?);
    for i in 0..rows {
        let of = |n: u64, below: u64| draw.below(5 * i + n, below);
        let [better, worse] = [0, 1].map(|n| 20.0 * draw.unit(5 * i + n) - 10.0);
        // Two passages that differ.
        let passage = of(3, TEXTS);
        let other = (passage + 1 + of(4, TEXTS - 1)) % TEXTS;
        writeln!(out, "{better:.6}\t{worse:.6}\t{}\t{passage}\t{other}", of(2, TEXTS / 2))?;
    }
    out.flush()?;
    let study = format!(
        r#"edition 2026
dataset docs: Corpus     = local {{ docs = "few.tsv", format = tsv }}
dataset queries: Queries = local {{ queries = "asked.tsv", format = tsv }}
dataset rows: Source     = local {{ triples = "rows.tsv", format = scored_triples, queries = queries, corpus = docs }}
stage drawn = data.samples {{ source = rows, shape = pairs(), count = {DRAWN}, seed = 1 }}
"#
    );
    std::fs::write(folder.join("rows.xpipe"), study)?;
    Ok(std::fs::metadata(folder.join("rows.tsv"))?.len())
}

/// A collection, queries and a study that ranks them.
fn write(folder: &Path, passages: u64) -> std::io::Result<u64> {
    let words = Stream::new(1, &["words"]);
    // Zipf's law: the logarithm of the rank is spread evenly.
    let word = |i: u64| format!("w{}", WORDS.powf(words.unit(i)) as u64);
    let mut out = BufWriter::new(std::fs::File::create(folder.join("collection.tsv"))?);
    let (mut bytes, mut drawn) = (0, 0);
    for id in 0..passages {
        let mut line = format!("{id}\t");
        while (line.len() as u64) < BYTES - 3 {
            line.push_str(&word(drawn));
            line.push(' ');
            drawn += 1;
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
    }
    out.flush()?;
    let queries: String =
        (0..100).map(|q| format!("{q}\t{} {} {}\n", word(7 * q), word(7 * q + 1), word(7 * q + 2))).collect();
    std::fs::write(folder.join("queries.tsv"), queries)?;
    let study = r#"edition 2026
use std.retrieval { bm25_run }
dataset docs: Corpus     = local { docs = "collection.tsv", format = tsv }
dataset queries: Queries = local { queries = "queries.tsv", format = tsv }
stage found = bm25_run(corpus = docs, queries = queries)
"#;
    std::fs::write(folder.join("study.xpipe"), study)?;
    Ok(bytes)
}

/// Runs a study; its seconds and its peak memory in bytes.
fn run(folder: &Path, study: &str) -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xpipe"))
        .args(["run", study, "--plain", "--cache", "cache"])
        .current_dir(folder)
        .spawn()?;
    let id = child.id().to_string();
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(peak_of(&id));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if !ended.success() {
        return Err(format!("the run ended with {ended}").into());
    }
    Ok((begun.elapsed().as_secs_f64(), peak))
}

/// The most memory that a process had so far, in bytes; 0 when it is gone.
fn peak_of(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The folder of the largest store of texts.
fn largest(trees: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for tree in std::fs::read_dir(trees)? {
        let path = tree?.path();
        if let Ok(meta) = std::fs::metadata(path.join("texts.bin")) {
            found.push((meta.len(), path));
        }
    }
    Ok(found.into_iter().max().ok_or("no store of texts")?.1)
}
