//! Keeps secrets out of what a program leaves: in its log they are replaced by their names, in its output they are an
//! error. Only the value as it is can be found, not an encoding of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::secret::Secret;
use memchr::memmem;
use xpipe_base::place;
use xpipe_base::task::Failure;

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
        let text = self.replaced();
        let keep = self.begun(&text);
        self.held = text[text.len() - keep..].to_vec();
        text[..text.len() - keep].to_vec()
    }

    /// The rest, when the stream has ended.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn replaced(&self) -> Vec<u8> {
        let mut text = self.held.clone();
        for secret in &self.secrets {
            let name = format!("[{}]", secret.variable);
            let mut clean = Vec::with_capacity(text.len());
            let mut from = 0;
            for at in memmem::find_iter(&text, secret.value.as_bytes()) {
                clean.extend_from_slice(&text[from..at]);
                clean.extend_from_slice(name.as_bytes());
                from = at + secret.value.len();
            }
            clean.extend_from_slice(&text[from..]);
            text = clean;
        }
        text
    }

    /// How many bytes of the end are the beginning of a secret.
    fn begun(&self, text: &[u8]) -> usize {
        let longest =
            |value: &[u8]| (1..value.len()).rev().find(|n| text.ends_with(&value[..*n])).unwrap_or(0);
        self.secrets.iter().map(|s| longest(s.value.as_bytes())).max().unwrap_or(0)
    }
}

/// Refuses an output with the value of a secret in a name or file.
///
/// # Errors
/// The file with the secret; a file that cannot be read.
pub(super) fn refuse_secrets(folder: &Path, secrets: &[Secret]) -> Result<(), Failure> {
    if secrets.is_empty() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| place::io(folder, e))? {
        let path = entry.map_err(|e| place::io(folder, e))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(secret) = secrets.iter().find(|s| name.contains(&s.value)) {
            return Err(found(secret, "the name of a file"));
        }
        let meta = std::fs::symlink_metadata(&path).map_err(|e| place::io(&path, e))?;
        if meta.is_dir() {
            refuse_secrets(&path, secrets)?;
        } else if meta.is_file()
            && let Some(secret) = inside(&path, secrets)?
        {
            return Err(found(secret, &name));
        }
    }
    Ok(())
}

fn found(secret: &Secret, place: &str) -> Failure {
    Failure::wrong(format!("the program wrote the value of {} into {place}", secret.variable))
        .help("nothing was stored; let the program leave it out of its output")
}

/// A secret in a file, which is read in pieces that overlap.
fn inside<'s>(path: &Path, secrets: &'s [Secret]) -> Result<Option<&'s Secret>, Failure> {
    let overlap = secrets.iter().map(|s| s.value.len()).max().unwrap_or(1) - 1;
    let mut file = File::open(path).map_err(|e| place::io(path, e))?;
    let (mut buffer, mut have) = (vec![0; (1 << 20) + overlap], 0);
    loop {
        match file.read(&mut buffer[have..]) {
            Ok(0) => return Ok(None),
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(place::io(path, e)),
        }
        let text = &buffer[..have];
        if let Some(secret) = secrets.iter().find(|s| memmem::find(text, s.value.as_bytes()).is_some()) {
            return Ok(Some(secret));
        }
        let rest = have.min(overlap);
        buffer.copy_within(have - rest..have, 0);
        have = rest;
    }
}

#[cfg(test)]
mod tests {
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
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains("s3cr3t"), "{size}: {out}");
            if size == text.len() {
                assert_eq!(out, expected);
            }
        }
        assert_eq!(Redactor::new(&[]).pass(b"s3cr3t"), b"s3cr3t");
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
