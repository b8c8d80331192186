//! Stored answers, one file each, named by the digest of the request: `ab/<rest of the digest>.json`.
//!
//! Files are written to a temporary name, synced and renamed, so they are complete or absent. A checksum detects changes.
//! They hold the answer and no word of the prompt.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Answer, Request};
use xpipe_base::modes;
use xpipe_base::task::Failure;
use xpipe_base::value::{Digest, sealed};

/// Version of the layout. Version 1 had no checksum; later versions are not read.
const FORMAT: u32 = 2;
/// The first version with a checksum.
const SEALED: u32 = 2;

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    answer: Answer,
}

/// The key of a request's answer: a digest of the model, the prompt with its version, and all other parameters.
pub fn key(model: &str, request: &Request) -> Result<Digest, Failure> {
    let text = serde_json::to_vec(&("xpipe answer 1", model, request));
    Ok(Digest::of(&text.map_err(|e| Failure::bug(format!("a request that cannot be written: {e}")))?))
}

/// A folder of answers. Threads and processes may share it.
#[derive(Clone, Debug)]
pub struct Answers {
    folder: PathBuf,
}

impl Answers {
    /// The answers in a folder, which is created with the first answer.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.folder.join(&hex[..2]).join(format!("{}.json", &hex[2..]))
    }

    /// The stored answer; `None` if there is none.
    ///
    /// # Errors
    /// Why the existing file cannot be used, as a sentence.
    pub fn get(&self, key: &Digest) -> Result<Option<Answer>, String> {
        let path = self.path(key);
        let wrong = |why: &str| format!("the stored answer {} cannot be used: {why}", path.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(wrong(&e.to_string())),
        };
        let file: File = serde_json::from_slice(&text).map_err(|e| wrong(&e.to_string()))?;
        if !(1..=FORMAT).contains(&file.format) {
            return Err(wrong(&format!(
                "it has version {}, and this xpipe supports up to {FORMAT}",
                file.format
            )));
        }
        sealed::check(&text, file.format, SEALED).map_err(wrong)?;
        Ok(Some(file.answer))
    }

    /// Stores an answer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, key: &Digest, answer: &Answer) -> Result<(), Failure> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.folder);
        let file = File { format: FORMAT, answer: answer.clone() };
        let text = serde_json::to_vec(&file).map_err(|e| Failure::bug(format!("an answer: {e}")))?;
        let text = sealed::seal(&text);
        let write = || -> std::io::Result<()> {
            modes::make_folder(folder)?;
            let mut temp = tempfile::NamedTempFile::new_in(folder)?;
            temp.write_all(&text)?;
            modes::inherit_file(temp.path())?;
            temp.as_file().sync_all()?;
            temp.persist(&path)?;
            Ok(())
        };
        write().map_err(|e| {
            let failure = Failure::from(e);
            Failure {
                message: format!("an answer cannot be stored in {}: {failure}", folder.display()),
                ..failure
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::prompts::{Listwise, pairwise};

    fn request() -> Request {
        Request { prompt: Listwise::RankGpt.ask("q", &["a", "b"]), max_tokens: 9, logprobs: false, seed: 0 }
    }

    #[test]
    fn everything_that_an_answer_depends_on_is_in_its_key() {
        let first = key("m", &request()).unwrap();
        assert_eq!(first, key("m", &request()).unwrap());
        let base = request();
        let prompt = |version, name| {
            let mut r = request();
            (r.prompt.version, r.prompt.name) = (version, name);
            r
        };
        let others = [
            Request { prompt: Listwise::RankGpt.ask("q", &["b", "a"]), ..base.clone() },
            Request { prompt: Listwise::RankGpt.ask("p", &["a", "b"]), ..base.clone() },
            Request { prompt: pairwise("q", "a", "b"), ..base.clone() },
            Request { max_tokens: 8, ..base.clone() },
            Request { logprobs: true, ..base.clone() },
            Request { seed: 1, ..base.clone() },
            prompt(2, "rank_gpt"),
            prompt(1, "other"),
        ];
        let mut keys: Vec<Digest> = others.iter().map(|r| key("m", r).unwrap()).collect();
        keys.extend([first, key("n", &base).unwrap()]);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10);
    }

    /// The key and the file of version 1, which later versions must find and read.
    #[test]
    fn what_was_kept_by_the_first_version_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (answers, key) = (Answers::new(dir.path()), key("m", &request()).unwrap());
        assert_eq!(answers.get(&key), Ok(None));
        let hex = "06673cdf3513dcaa6ac4173766832a921fd91b898ff3674c2bc2f2c6bc0aaa05";
        assert_eq!(key.hex(), hex, "keys of answers changed: all would be paid for again");
        let path = dir.path().join(&hex[..2]).join(format!("{}.json", &hex[2..]));
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let text = r#"{"format":1,"answer":{"text":"[2] > [1]","truncated":false,"first":[["[",-0.5]],"prompt_tokens":7,"completion_tokens":6}}"#;
        std::fs::write(&path, text).unwrap();
        let answer = Answer {
            text: "[2] > [1]".into(),
            truncated: false,
            first: vec![("[".into(), -0.5)],
            prompt_tokens: 7,
            completion_tokens: 6,
        };
        assert_eq!(answers.get(&key), Ok(Some(answer.clone())));
        std::fs::remove_file(&path).unwrap();
        answers.put(&key, &answer).unwrap();
        assert_eq!(answers.get(&key), Ok(Some(answer)));
        let new = std::fs::read_to_string(&path).unwrap();
        let other = new.replace("[2] > [1]", "[1] > [2]");
        let probability = new.replace("-0.5", "-0.4");
        let later = new.replace("\"format\":2", "\"format\":3");
        for spoiled in [&text[..40], "{\"format\":2}", "", &other, &probability, &later] {
            std::fs::write(&path, spoiled).unwrap();
            assert!(answers.get(&key).is_err(), "{spoiled}");
        }
    }
}
