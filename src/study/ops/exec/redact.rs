//! Keeps secrets out of what a program leaves: in its log and in failures they are replaced by their names, in its output
//! they are an error. The output is searched as the program wrote it, with compressed files and archives unpacked, and
//! texts and models again as the readers stored them, where escapes of JSON are resolved. Tables (runs, scores, qrels) are
//! stored in compressed columns; only what the program wrote of them is searched. What cannot be found is another encoding
//! of a value (base64, percent-encoding) and a part of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::secret::Secret;
use memchr::memmem;
use xpipe_base::place;
use xpipe_base::task::{Failure, Silent};
use xpipe_data::parts::{Part, each_part};

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

/// A failure without the values of secrets, for instance one that quotes a line of the output.
pub(super) fn redacted(mut failure: Failure, secrets: &[Secret]) -> Failure {
    let clean = |text: &str| {
        let mut redactor = Redactor::new(secrets);
        let mut bytes = redactor.pass(text.as_bytes());
        bytes.extend(redactor.end());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    failure.message = clean(&failure.message);
    failure.help = failure.help.map(|help| clean(&help));
    failure
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

/// A secret in a file, or in what readers unpack from it: the content of a compressed file, names and contents of an
/// archive.
fn in_file<'s>(path: &Path, secrets: &'s [Secret]) -> Result<Option<&'s Secret>, Failure> {
    let mut file = File::open(path).map_err(|e| place::io(path, e))?;
    let mut found = inside(&mut file, secrets).map_err(|e| place::io(path, e))?;
    let outer = path.display().to_string();
    let mut search = |part: Part<'_>| {
        // It was read above.
        if part.path.is_some() {
            return Ok(());
        }
        let name = part.name.strip_prefix(&outer).unwrap_or(part.name);
        found = match named(name.as_bytes(), secrets) {
            None => inside(part.reader, secrets).map_err(|e| place::io(path, e))?,
            named => named,
        };
        if found.is_some() { Err(Failure::interrupted()) } else { Ok(()) }
    };
    // What cannot be unpacked to its end is searched up to there: readers do not come further either.
    let _ = each_part(path, &Silent, &mut search);
    Ok(found)
}

/// A secret that a text contains.
fn named<'s>(text: &[u8], secrets: &'s [Secret]) -> Option<&'s Secret> {
    secrets.iter().find(|s| memmem::find(text, s.value.as_bytes()).is_some())
}

/// A secret in a stream, which is read in pieces that overlap.
fn inside<'s, R: Read + ?Sized>(
    reader: &mut R,
    secrets: &'s [Secret],
) -> std::io::Result<Option<&'s Secret>> {
    let overlap = secrets.iter().map(|s| s.value.len()).max().unwrap_or(1) - 1;
    let (mut buffer, mut have) = (vec![0; (1 << 20) + overlap], 0);
    loop {
        match reader.read(&mut buffer[have..]) {
            Ok(0) => return Ok(None),
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        if let Some(secret) = named(&buffer[..have], secrets) {
            return Ok(Some(secret));
        }
        let rest = have.min(overlap);
        buffer.copy_within(have - rest..have, 0);
        have = rest;
    }
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
