//! Keeps secrets out of what a program leaves: in its log, in failures and in reports of readers they are replaced by their
//! names, in its output they are an error. The output is searched as the program wrote it, with compressed files and
//! archives unpacked, and texts and models again as the readers stored them, where escapes of JSON are resolved. Tables
//! (runs, scores, qrels) are stored in compressed columns; only what the program wrote of them is searched. What cannot be
//! found is another encoding of a value (base64, percent-encoding) and a part of it.

use std::cell::Cell;
use std::path::Path;

use super::super::secret::{SHORTEST, Secret};
use memchr::memmem;
use xpipe_base::place;
use xpipe_base::task::{Caveat, Failure, Progress};
use xpipe_data::layers::each_layer;

/// Replaces secrets in a stream, also where a value arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    secrets: Vec<Secret>,
    /// The end of the stream so far, which may be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let mut secrets = secrets.to_vec();
        // A value that contains another one goes first.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.value.len()));
        Self { secrets, held: Vec::new() }
    }

    /// What can be passed on of the bytes so far.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.take(false)
    }

    /// The rest, when the stream has ended.
    pub(super) fn end(&mut self) -> Vec<u8> {
        self.take(true)
    }

    /// Takes what is held, from left to right, up to where a secret may have begun that has not ended yet. Of the secrets
    /// that begin at one place the longest is replaced.
    fn take(&mut self, ended: bool) -> Vec<u8> {
        let mut clean = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            let open = |s: &Secret| s.value.len() > rest.len() && s.value.as_bytes().starts_with(rest);
            if !ended && self.secrets.iter().any(open) {
                break;
            }
            match self.secrets.iter().find(|s| rest.starts_with(s.value.as_bytes())) {
                Some(secret) => {
                    clean.extend_from_slice(format!("[{}]", secret.variable).as_bytes());
                    at += secret.value.len();
                }
                None => {
                    clean.push(rest[0]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        clean
    }
}

/// A text without the values of secrets. One that holds a value with escapes, or the beginning of one where it was cut, is
/// left out as a whole.
pub(super) fn clean(text: &str, secrets: &[Secret]) -> String {
    let mut redactor = Redactor::new(secrets);
    let mut bytes = redactor.pass(text.as_bytes());
    bytes.extend(redactor.end());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match hidden(&text, secrets) {
        Some(secret) => format!("(a text with the value of {} is left out)", secret.variable),
        None => text,
    }
}

/// How often a text may have been escaped: by a program, and where a message quotes it.
const ESCAPED: usize = 3;

/// A secret that a text holds with escapes, or of which it holds at least [`SHORTEST`] characters before a cut.
fn hidden<'s>(text: &str, secrets: &'s [Secret]) -> Option<&'s Secret> {
    let mut text = text.to_owned();
    for _ in 0..=ESCAPED {
        let cut = |value: &str| {
            let begins = |before: &str| {
                (SHORTEST..value.len()).any(|n| value.is_char_boundary(n) && before.ends_with(&value[..n]))
            };
            text.match_indices('…').any(|(at, _)| begins(&text[..at]))
        };
        if let Some(secret) = secrets.iter().find(|s| text.contains(&s.value) || cut(&s.value)) {
            return Some(secret);
        }
        let plain = unescaped(&text);
        if plain == text {
            return None;
        }
        text = plain;
    }
    None
}

/// A text with the escapes of JSON and of Rust's messages resolved once; what is none stays.
fn unescaped(text: &str) -> String {
    // In units of UTF-16, since JSON escapes other characters as pairs of them.
    let (mut units, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let (c, length) = if c == '\\' { escape(rest) } else { (Some(c as u32), c.len_utf8()) };
        match c.map(|c| (u16::try_from(c), char::from_u32(c))) {
            Some((Ok(unit), _)) => units.push(unit),
            Some((Err(_), Some(c))) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            Some((Err(_), None)) | None => units.extend(rest[..length].encode_utf16()),
        }
        rest = &rest[length..];
    }
    String::from_utf16_lossy(&units)
}

/// The character of the escape that a text begins with, and its length; `None` with the length of a backslash.
fn escape(text: &str) -> (Option<u32>, usize) {
    let hex = |digits: Option<&str>| {
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (c, length) = match text[1..].chars().next() {
        Some('u') if text[2..].starts_with('{') => {
            let end = text.find('}').unwrap_or(2);
            (hex(text.get(3..end)), end + 1)
        }
        Some('u') => (hex(text.get(2..6)), 6),
        Some('x') => (hex(text.get(2..4)), 4),
        Some('n') => (Some(10), 2),
        Some('r') => (Some(13), 2),
        Some('t') => (Some(9), 2),
        Some('b') => (Some(8), 2),
        Some('f') => (Some(12), 2),
        Some('0') => (Some(0), 2),
        Some(c @ ('"' | '\'' | '\\' | '/')) => (Some(c as u32), 2),
        _ => (None, 1),
    };
    if c.is_some() { (c, length) } else { (None, 1) }
}

/// A failure without the values of secrets, for instance one that quotes a line of the output.
pub(super) fn redacted(mut failure: Failure, secrets: &[Secret]) -> Failure {
    failure.message = clean(&failure.message, secrets);
    failure.help = failure.help.map(|help| clean(&help, secrets));
    failure
}

/// Passes reports on without the values of secrets: a reader may quote what it leaves out of the result.
pub(super) struct Redacting<'p> {
    pub(super) inner: &'p dyn Progress,
    pub(super) secrets: &'p [Secret],
}

impl Progress for Redacting<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        self.inner.progress(done, total, unit, &clean(note, self.secrets));
    }

    fn note(&self, text: &str) {
        self.inner.note(&clean(text, self.secrets));
    }

    fn caveat(&self, caveat: &Caveat) {
        self.inner.caveat(&Caveat {
            cause: clean(&caveat.cause, self.secrets),
            example: caveat.example.as_deref().map(|example| clean(example, self.secrets)),
            ..caveat.clone()
        });
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}

/// Refuses an output with the value of a secret in a name or file. With a link it is refused as well: what is behind it
/// may be anything.
///
/// # Errors
/// The file with the secret, a link, a file that cannot be read.
pub(super) fn refuse_secrets(folder: &Path, secrets: &[Secret]) -> Result<(), Failure> {
    if secrets.is_empty() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| place::io(folder, e))? {
        let path = entry.map_err(|e| place::io(folder, e))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = path.file_name().map(|n| n.as_encoded_bytes()).unwrap_or_default();
        if let Some(secret) = named(bytes, secrets) {
            return Err(found(secret, "the name of a file"));
        }
        let meta = std::fs::symlink_metadata(&path).map_err(|e| place::io(&path, e))?;
        if meta.is_dir() {
            refuse_secrets(&path, secrets)?;
        } else if !meta.is_file() {
            let name = place::quote(&name);
            return Err(Failure::wrong(format!("the program left {name} in its output, which is no file or folder"))
                .help("with a `secret` in `env`, write files instead of links: what a link leads to is not searched"));
        } else if let Some(secret) = in_file(&path, secrets)? {
            return Err(found(secret, &name));
        }
    }
    Ok(())
}

fn found(secret: &Secret, place: &str) -> Failure {
    Failure::wrong(format!("the program wrote the value of {} into {place}", secret.variable))
        .help("nothing was stored; let the program leave it out of its output")
}

/// A secret in a file or in what can be unpacked from it, names and hidden members of archives included.
fn in_file<'s>(path: &Path, secrets: &'s [Secret]) -> Result<Option<&'s Secret>, Failure> {
    let found = Cell::new(None);
    let overlap = secrets.iter().map(|s| s.value.len()).max().unwrap_or(1) - 1;
    each_layer(path, &mut || {
        let (mut seen, found) = (Vec::new(), &found);
        Box::new(move |piece: &[u8]| {
            if found.get().is_none() {
                // With the end of the pieces before.
                seen.extend_from_slice(piece);
                found.set(named(&seen, secrets));
                seen.drain(..seen.len().saturating_sub(overlap));
            }
        })
    })
    .map_err(|e| place::io(path, e))?;
    Ok(found.get())
}

/// A secret that a text contains.
fn named<'s>(text: &[u8], secrets: &'s [Secret]) -> Option<&'s Secret> {
    secrets.iter().find(|s| memmem::find(text, s.value.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use xpipe_testing::archives::{gzip, tar};

    use super::*;

    fn secrets() -> Vec<Secret> {
        let of = |variable: &str, value: &str| Secret { variable: variable.into(), value: value.into() };
        vec![of("SHORT", "s3cr3t"), of("LONG", "s3cr3t-and-more")]
    }

    #[test]
    fn a_secret_is_replaced_however_the_stream_is_cut() {
        let text = b"a s3cr3t, s3cr3ts3cr3t-and-more; s3cr3 s3cr3t-and-m";
        let expected = "a [SHORT], [SHORT][LONG]; s3cr3 [SHORT]-and-m";
        for size in 1..=text.len() {
            let mut redactor = Redactor::new(&secrets());
            let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| redactor.pass(piece)).collect();
            out.extend(redactor.end());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{size}");
        }
        assert_eq!(Redactor::new(&[]).pass(b"s3cr3t"), b"s3cr3t");
    }

    #[test]
    fn a_link_in_the_output_is_refused_when_there_are_secrets() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        std::fs::write(dir.path().join("elsewhere"), "s3cr3t").unwrap();
        std::os::unix::fs::symlink("../elsewhere", dir.path().join("out/run.txt")).unwrap();
        let e = refuse_secrets(&dir.path().join("out"), &secrets()).unwrap_err();
        assert!(e.message.contains("run.txt") && e.message.contains("no file or folder"), "{e}");
        refuse_secrets(&dir.path().join("out"), &[]).unwrap();
    }

    #[test]
    fn a_failure_names_the_variable_instead_of_the_value() {
        let failure = Failure::wrong("found \"s3cr3t-and-more\"").help("leave s3cr3t out");
        let clean = redacted(failure, &secrets());
        assert_eq!(clean.message, "found \"[LONG]\"");
        assert_eq!(clean.help.as_deref(), Some("leave [SHORT] out"));
    }

    #[test]
    fn a_text_with_an_escaped_or_cut_secret_is_left_out() {
        let left_out = |variable: &str| format!("(a text with the value of {variable} is left out)");
        for text in [
            r#"`# {"a": "s3\u0063r3\u0074"}`"#,
            r#""{\"a\": \"s3\\u0063r3t\"}""#,
            r"s3\u{63}r3t",
            r"s3\x63r3t",
        ] {
            assert_eq!(clean(text, &secrets()), left_out("SHORT"), "{text}");
        }
        assert_eq!(clean("`s3cr3t-and-mo…`", &secrets()), "`[SHORT]-and-mo…`");
        let long = [Secret { variable: "LONG".into(), value: "begin-and-more \u{1f600}\n/\"".into() }];
        assert_eq!(clean("`x begin-and-mo…`", &long), left_out("LONG"));
        assert_eq!(clean(r#""begin-and-more \ud83d\ude00\n\/\"""#, &long), left_out("LONG"));
        for text in [r"a \u00", r"\u{", r"\u{110000}", r"\", r"\ud83d", r"\é", "begin…", "ü…", r"\uzzzz \x+1"]
        {
            assert_eq!(clean(text, &long), text);
        }
    }

    #[test]
    fn reports_of_readers_are_passed_on_without_secrets() {
        let log = xpipe_testing::CaveatLog::default();
        let secrets = secrets();
        let progress = Redacting { inner: &log, secrets: &secrets };
        let dropped = |example: &str| {
            let caveat = Caveat::counted(xpipe_base::task::CaveatKind::Dropped, 1, "lines were left out");
            progress.caveat(&caveat.example(example));
        };
        dropped("line 1: `# s3cr3t`");
        dropped(r"line 2: `# s3cr3\u0074`");
        let told = log.caveats();
        assert!(
            told[0].contains("`# [SHORT]`") && told[1].contains("the value of SHORT is left out"),
            "{told:?}"
        );
    }

    #[test]
    fn a_secret_in_a_compressed_file_or_an_archive_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8]| {
            let out = dir.path().join("out");
            let _ = std::fs::remove_dir_all(&out);
            std::fs::create_dir(&out).unwrap();
            std::fs::write(out.join(name), bytes).unwrap();
            refuse_secrets(&out, &secrets()).map_err(|e| e.message)
        };
        let wrote = |variable: &str, name: &str| {
            Err(format!("the program wrote the value of {variable} into {name}"))
        };
        let text = ["line\n".repeat(90_000), "q1 s3cr3t\n".into(), "line\n".repeat(90_000)].concat();
        let packed = gzip(text.as_bytes());
        assert_eq!(check("run.txt.gz", &packed), wrote("SHORT", "run.txt.gz"));
        assert_eq!(check("run", &gzip(&packed)), wrote("SHORT", "run"), "packed twice, whatever its name");
        assert_eq!(
            check("run.txt.gz", &packed[..packed.len() - 8]),
            wrote("SHORT", "run.txt.gz"),
            "cut short"
        );
        let member = |name: &str, text: &str| tar(&[(name, text.as_bytes())]);
        assert_eq!(check("docs.tar", &member("s3cr3t.txt", "")), wrote("SHORT", "docs.tar"));
        assert_eq!(check("docs.tgz", &gzip(&member("d", "s3cr3t"))), wrote("SHORT", "docs.tgz"));
        assert_eq!(check("docs.tgz", &gzip(&member(".d", "s3cr3t"))), wrote("SHORT", "docs.tgz"), "hidden");
        assert_eq!(check("docs.tgz", &gzip(&member("d", "none"))), Ok(()));
        assert_eq!(check("run.txt.gz", b"\x1f\x8bno gzip"), Ok(()), "the reader refuses it");
    }

    #[test]
    fn an_output_with_a_secret_is_refused_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir_all(out.join("sub")).unwrap();
        std::fs::write(out.join("sub/docs.jsonl"), "nothing of it: s3cr3").unwrap();
        refuse_secrets(&out, &secrets()).unwrap();
        // Across the border of two pieces.
        let mut text = vec![b'x'; (1 << 20) + 10];
        text.extend_from_slice(b"s3cr3t");
        std::fs::write(out.join("sub/docs.jsonl"), text).unwrap();
        let e = refuse_secrets(&out, &secrets()).unwrap_err();
        assert_eq!(e.message, "the program wrote the value of SHORT into docs.jsonl");
        std::fs::remove_file(out.join("sub/docs.jsonl")).unwrap();
        std::fs::write(out.join("s3cr3t.txt"), "").unwrap();
        let e = refuse_secrets(&out, &secrets()).unwrap_err();
        assert!(!e.to_string().contains("s3cr3t") && e.message.ends_with("the name of a file"), "{e}");
    }
}
