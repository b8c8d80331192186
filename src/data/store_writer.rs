//! Writing a store of texts in one pass: texts go to disk as they come, ids stay in memory until the end.
//!
//! Memory: the ids, and 24 bytes a text. 8.8 million passages with ids of 7 bytes need about 270 MB.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::place;
use super::store::{HEADER, INDEX_FILE, MAGIC, TEXT_FILE, VERSION};
use crate::task::Failure;

/// Writes a [`super::store::TextStore`].
#[derive(Debug)]
pub struct TextStoreWriter {
    dir: PathBuf,
    texts: BufWriter<File>,
    text_starts: Vec<u64>,
    id_starts: Vec<u64>,
    ids: Vec<u8>,
    lines: Vec<u32>,
    files: Vec<(u32, String)>,
}

impl TextStoreWriter {
    /// Begins a store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder or its files cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir).map_err(|e| place::io(dir, e))?;
        let path = dir.join(TEXT_FILE);
        let file = File::create(&path).map_err(|e| place::io(&path, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            texts: BufWriter::with_capacity(1 << 20, file),
            text_starts: vec![0],
            id_starts: vec![0],
            ids: Vec::new(),
            lines: Vec::new(),
            files: Vec::new(),
        })
    }

    /// Adds a text; `file` and `line` say where it came from, for messages.
    ///
    /// # Errors
    /// An empty id, an id with white space, more than 2^32 - 2 texts, or a disk that is full.
    pub fn push(&mut self, id: &str, text: &str, file: &str, line: u64) -> Result<(), Failure> {
        if id.is_empty() {
            return Err(place::wrong_line(file, line, "an empty id", "an id"));
        }
        if id.contains(char::is_whitespace) {
            let found = format!("the id {} with white space in it", place::quote(id));
            return Err(place::wrong_line(file, line, found, "an id of one word, as runs and qrels need it"));
        }
        let number = u32::try_from(self.lines.len()).ok().filter(|n| *n < u32::MAX - 1).ok_or_else(|| {
            place::wrong_line(file, line, "more than 4,294,967,294 texts", "fewer; split the collection")
        })?;
        if self.files.last().is_none_or(|(_, f)| f != file) {
            self.files.push((number, file.to_owned()));
        }
        let path = || self.dir.join(TEXT_FILE);
        self.texts.write_all(text.as_bytes()).map_err(|e| place::io(path(), e))?;
        self.text_starts.push(self.text_starts.last().copied().unwrap_or(0) + text.len() as u64);
        self.ids.extend_from_slice(id.as_bytes());
        self.id_starts.push(self.ids.len() as u64);
        self.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// The number of texts so far.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no text yet.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The bytes of text so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_starts.last().copied().unwrap_or(0)
    }

    /// Sorts the ids, checks that each is there once, and writes the index.
    ///
    /// # Errors
    /// An id that is there twice, with both places, or a disk that is full.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.texts.flush().map_err(|e| place::io(self.dir.join(TEXT_FILE), e))?;
        let mut order: Vec<u32> = (0..self.lines.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.id(*a).cmp(self.id(*b)).then(a.cmp(b)));
        // Of several duplicates the one met first while reading is named.
        let twice =
            order.windows(2).filter(|pair| self.id(pair[0]) == self.id(pair[1])).min_by_key(|pair| pair[1]);
        if let Some(&[first, second]) = twice {
            let id = String::from_utf8_lossy(self.id(first)).into_owned();
            let (file, line) = self.origin(second);
            let (before_file, before_line) = self.origin(first);
            let found =
                format!("the id {} again, first used at {before_file}:{before_line}", place::quote(&id));
            return Err(place::wrong_line(file, u64::from(line), found, "each id once")
                .help("remove one of the two, or give them different ids"));
        }
        let path = self.dir.join(INDEX_FILE);
        self.write_index(&path, &order).map_err(|e| place::io(&path, e))
    }

    fn write_index(&self, path: &Path, order: &[u32]) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&(self.lines.len() as u64).to_le_bytes());
        header.extend_from_slice(&self.text_bytes().to_le_bytes());
        header.extend_from_slice(&(self.ids.len() as u64).to_le_bytes());
        out.write_all(&header)?;
        for start in self.text_starts.iter().chain(&self.id_starts) {
            out.write_all(&start.to_le_bytes())?;
        }
        for number in order {
            out.write_all(&number.to_le_bytes())?;
        }
        out.write_all(&self.ids)?;
        out.flush()
    }

    fn id(&self, number: u32) -> &[u8] {
        let i = number as usize;
        &self.ids[self.id_starts[i] as usize..self.id_starts[i + 1] as usize]
    }

    fn origin(&self, number: u32) -> (&str, u32) {
        let after = self.files.partition_point(|(first, _)| *first <= number);
        let file = after.checked_sub(1).map_or("", |i| self.files[i].1.as_str());
        (file, self.lines[number as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::TextStore;
    use super::*;

    fn write(dir: &Path, texts: &[(&str, &str)]) -> Result<(), Failure> {
        let mut writer = TextStoreWriter::create(dir)?;
        for (i, (id, text)) in texts.iter().enumerate() {
            writer.push(id, text, "c.tsv", i as u64 + 1)?;
        }
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let texts = [("b", "zwei"), ("a", ""), ("ö", "drei — ü"), ("10", "x\ny"), ("9", "last")];
        write(dir.path(), &texts).unwrap();
        let store = TextStore::open(dir.path()).unwrap();
        assert_eq!(store.len(), 5);
        assert_eq!(store.iter().collect::<Vec<_>>(), texts);
        for (i, (id, _)) in texts.iter().enumerate() {
            assert_eq!(store.find(id), Some(i as u32));
        }
        for absent in ["", "0", "aa", "c", "öö", "~"] {
            assert_eq!(store.find(absent), None);
        }
    }

    #[test]
    fn an_empty_store_opens() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[]).unwrap();
        let store = TextStore::open(dir.path()).unwrap();
        assert!(store.is_empty());
        assert_eq!(store.find("x"), None);
    }

    #[test]
    fn a_duplicate_names_both_lines() {
        let dir = tempfile::tempdir().unwrap();
        let e = write(dir.path(), &[("d", ""), ("b", ""), ("c", ""), ("b", ""), ("d", "")]).unwrap_err();
        assert_eq!(
            e.message,
            "c.tsv:4: found the id `b` again, first used at c.tsv:2, expected each id once"
        );
    }

    #[test]
    fn ids_are_single_words() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), &[("", "x")]).unwrap_err().message.contains("c.tsv:1: found an empty id"));
        assert!(write(dir.path(), &[("a b", "x")]).unwrap_err().message.contains("white space"));
    }

    #[test]
    fn damage_is_an_error_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let texts: Vec<(String, String)> = (0..50).map(|i| (format!("d{i}"), format!("text {i}"))).collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        write(dir.path(), &texts).unwrap();
        let path = dir.path().join(INDEX_FILE);
        let good = std::fs::read(&path).unwrap();
        for cut in [0, 7, 39, 40, 100, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(TextStore::open(dir.path()).unwrap_err().message.contains("damaged"), "cut at {cut}");
        }
        // Any changed byte either is refused or leaves a store that can be read through.
        for at in (0..good.len()).step_by(3) {
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            std::fs::write(&path, &bad).unwrap();
            if let Ok(store) = TextStore::open(dir.path()) {
                assert!(store.iter().count() == 50 && store.find("d7").is_none_or(|i| i < 50));
            }
        }
        let mut newer = good.clone();
        newer[8] = 2;
        std::fs::write(&path, &newer).unwrap();
        assert!(TextStore::open(dir.path()).unwrap_err().message.contains("format version 2"));
    }

    #[test]
    fn a_committed_version_1_store_reads_and_is_written_the_same() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-v1");
        let store = TextStore::open(&root).unwrap();
        let texts: Vec<_> = store.iter().collect();
        assert_eq!(texts, [("z1", "alpha beta"), ("a2", ""), ("m3", "Grüße, 世界"), ("a1", "tab\there")]);
        assert_eq!(store.find("m3"), Some(2));
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &texts).unwrap();
        for name in [INDEX_FILE, TEXT_FILE] {
            assert_eq!(
                std::fs::read(dir.path().join(name)).unwrap(),
                std::fs::read(root.join(name)).unwrap()
            );
        }
    }
}
