//! The fuzz targets for as long as one wants: each in a process of its own with bounded memory, on changed good input.
//! `XPIPE_FUZZ_SECONDS` is the time of each; the default is 20.
//!
//! ```sh
//! XPIPE_FUZZ_SECONDS=600 cargo test --test it fuzz_for_long -- --ignored --test-threads 1
//! ```
//!
//! An input that ends the process, panics, takes more than a minute or more than the memory is kept and named.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{entries, seeds};

/// The most memory that a target may allocate.
const MEMORY: u64 = 3 << 30;
/// The longest that one input may take.
const HANG: Duration = Duration::from_secs(60);
/// The variable that makes this process the child: the file of its current input.
const CHILD: &str = "XPIPE_FUZZ_INPUT";

/// A small generator: xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A number that programs often get wrong.
    fn odd(&mut self) -> u64 {
        const ODD: [u64; 12] =
            [0, 1, 2, 127, 128, 255, 65_535, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX >> 1, u64::MAX];
        ODD[self.below(ODD.len())]
    }

    /// Good input with one to eight changes.
    fn changed(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = good[self.below(good.len())].clone();
        for _ in 0..=self.below(8) {
            // Headers are at the beginning or at the end.
            let n = bytes.len();
            let near = self.below(3);
            let at = match near {
                0 => self.below(n + 1),
                1 => self.below(n.min(300) + 1),
                _ => n - self.below(n.min(300) + 1),
            };
            self.change(&mut bytes, at, good);
        }
        bytes.truncate(1 << 20);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, at: usize, good: &[Vec<u8>]) {
        let rest = bytes.len() - at;
        match self.below(10) {
            0 if rest > 0 => bytes[at] ^= 1 << self.below(8),
            1 if rest > 0 => bytes[at] = self.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = at + self.below(rest.min(40) + 1);
                bytes.drain(at..end);
            }
            4 => {
                let part = bytes[at..at + self.below(rest.min(60) + 1)].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            5 => {
                let other = &good[self.below(good.len())];
                let from = self.below(other.len() + 1);
                let part = other[from..from + self.below((other.len() - from).min(200) + 1)].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let number = self.odd();
                let width = [1, 2, 4, 8][self.below(4)].min(rest);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            7 => {
                // A number in text.
                let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                bytes.splice(at..at + digits, self.odd().to_string().into_bytes());
            }
            8 => {
                const PARTS: [&[u8]; 12] = [
                    b"{",
                    b"}",
                    b"[[[[[[[[",
                    b"\"",
                    b"\0",
                    b"\n",
                    b"-1",
                    b"1e999",
                    b"null",
                    b"\xff\xfe",
                    b"..",
                    b"\\u0000",
                ];
                bytes.splice(at..at, PARTS[self.below(PARTS.len())].to_vec());
            }
            _ => {
                let n = self.below(6);
                let new: Vec<u8> = (0..n).map(|_| self.next() as u8).collect();
                bytes.splice(at..at + n.min(rest), new);
            }
        }
    }
}

fn seconds() -> u64 {
    std::env::var("XPIPE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(20)
}

#[expect(clippy::print_stdout, reason = "the parent reads it, and shows it with --nocapture")]
fn tell(text: &str) {
    println!("{text}");
}

/// The child: changes good input until its time is over. The current input is in a file.
fn work(input: &Path, good: &[Vec<u8>], target: fn(&[u8])) {
    let mut random = Random(u64::from(std::process::id()) << 20 | 1);
    for bytes in good {
        std::fs::write(input, bytes).unwrap();
        target(bytes);
    }
    let (begun, mut count) = (Instant::now(), 0u64);
    while begun.elapsed() < Duration::from_secs(seconds()) {
        let bytes = random.changed(good);
        std::fs::write(input, &bytes).unwrap();
        target(&bytes);
        count += 1;
    }
    tell(&format!("{count} inputs in {} s", begun.elapsed().as_secs()));
}

/// Runs a target in a child, which is this test again.
fn fuzz(name: &str, good: &[Vec<u8>], target: fn(&[u8])) {
    if let Some(input) = std::env::var_os(CHILD) {
        return work(Path::new(&input), good, target);
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("fuzzed::long::fuzz_for_long_{name}"), "--exact", "--ignored", "--nocapture"])
        .env(CHILD, &input)
        // What the targets create.
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let limit = rustix::process::Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Data, limit).unwrap();
    let watched = std::thread::spawn(move || child.wait_with_output().unwrap());
    let mut hung = false;
    while !watched.is_finished() {
        std::thread::sleep(Duration::from_millis(200));
        let age = std::fs::metadata(&input).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > HANG) {
            hung = true;
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
    let output = watched.join().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && said.contains("inputs in") {
        let counted = said.lines().find(|l| l.contains("inputs in")).unwrap_or_default();
        return tell(&format!("{name}: {counted}"));
    }
    let kept = kept(name, &input);
    let errors = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = errors.lines().rev().take(30).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    panic!(
        "{name}: {} ended it (hung: {hung}, {}): {said}\n{}",
        kept.display(),
        output.status,
        end.join("\n")
    );
}

/// Copies an input to where it stays.
fn kept(name: &str, input: &Path) -> PathBuf {
    let to = std::env::temp_dir().join(format!("xpipe-fuzz-{name}-{}", std::process::id()));
    std::fs::copy(input, &to).unwrap();
    to
}

macro_rules! targets {
    ($($name:ident: $target:ident on $seeds:ident;)*) => {$(
        #[test]
        #[ignore = "takes XPIPE_FUZZ_SECONDS"]
        fn $name() {
            fuzz(stringify!($name).trim_start_matches("fuzz_for_long_"), &seeds::$seeds(), entries::$target);
        }
    )*};
}

targets! {
    fuzz_for_long_parser: parser on studies;
    fuzz_for_long_qrels: qrels on qrels;
    fuzz_for_long_run: run on runs;
    fuzz_for_long_texts: texts on texts;
    fuzz_for_long_parquet: parquet on tables;
    fuzz_for_long_manifest: manifest on manifests;
    fuzz_for_long_records: records on records;
    fuzz_for_long_archive: archive on archives;
    fuzz_for_long_safetensors: safetensors on weights;
    fuzz_for_long_torch: torch on torch;
    fuzz_for_long_config: config on configs;
    fuzz_for_long_tokenizer: tokenizer on tokenizers;
}
