//! How long a large study takes to check and plan, and the memory it needs: `cargo bench --bench plan -- [rates]
//! [seeds]`; 26 rates and 50 seeds, about 100,000 cells, without.
//!
//! First the passes in this process, then `xpipe plan` as a user starts it.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures and may stop")]

#[path = "large_study.rs"]
mod large_study;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use xpipe_base::diag::Diagnostics;
use xpipe_lang::graph::{Overrides, expand};
use xpipe_lang::resolve::load;
use xpipe_lang::syntax::SourceMap;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (rates, seeds) = (number(0, 26), number(1, 50));
    let world = large_study::large(rates, seeds);

    let start = Instant::now();
    let (mut sources, mut sink) = (SourceMap::new(), Diagnostics::new());
    let study = load(Path::new("/study/root.xpipe"), &world, &mut sources, &mut sink).unwrap();
    let (registry, overrides) = (xpipe_study::ops::registry(), Overrides::default());
    let graph = expand(&study, &registry, &world, &overrides, &mut sink);
    let seconds = start.elapsed().as_secs_f64();
    assert!(sink.is_empty(), "{:#?}", sink.sorted());
    let cells: usize =
        graph.rows.iter().filter(|r| r.named && !r.axes.is_empty()).map(|r| r.cells.len()).sum();
    assert_eq!(cells, large_study::cells(rates, seeds));
    println!(
        "check: {cells} cells ({} models), {} actions in {seconds:.2} s, peak {} MiB",
        large_study::models(rates, seeds),
        graph.actions.len(),
        peak()
    );
    drop(graph);

    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &world.0 {
        std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    for name in ["d.jsonl", "q.jsonl", "q.tsv"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_xpipe"))
        .args(["plan", "root.xpipe", "--cache", "cache"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{}xpipe plan: {seconds:.2} s", String::from_utf8_lossy(&output.stdout));
}

/// The most memory this process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}
