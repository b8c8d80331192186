//! Writing a store of texts in one pass: texts go to disk as they come, ids stay in memory until the end.
//!
//! Memory: the ids, and 24 bytes a text. 8.8 million passages with ids of 7 bytes need about 270 MB.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::store::{HEADER, INDEX_FILE, MAGIC, TEXT_FILE, VERSION};
use xpipe_base::place;
use xpipe_base::task::Failure;

/// Handling of ids that occur more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// They are an error.
    #[default]
    Error,
    /// The first text of an id is kept.
    First,
    /// All texts with such an id are dropped: a judgement does not say which one it means.
    Drop,
}

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
    /// Creates a store in a folder, creating the folder if needed.
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
            return Err(place::wrong_line(file, line, found, "an id of one word, as runs and qrels need it")
                .help("`blanks = \"_\"` of the data set replaces blanks in ids; say it for all its files"));
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

    /// Sorts the ids, checks that each is unique, and writes the index.
    ///
    /// # Errors
    /// A repeated id, with both positions; a full disk.
    pub fn finish(self) -> Result<(), Failure> {
        self.finish_with(Duplicates::Error).map(|_| ())
    }

    /// Sorts the ids, handles repeated ids, and writes the index. Returns the number of dropped texts.
    ///
    /// # Errors
    /// A repeated id, with both positions; a full disk.
    pub fn finish_with(mut self, duplicates: Duplicates) -> Result<u64, Failure> {
        self.texts.flush().map_err(|e| place::io(self.dir.join(TEXT_FILE), e))?;
        let mut order = self.order();
        let again = self.again(&order);
        if !again.is_empty() && duplicates == Duplicates::Error {
            return Err(self.twice(&again));
        }
        let left_out: BTreeSet<u32> = match duplicates {
            Duplicates::Error | Duplicates::First => again.iter().map(|(_, later)| *later).collect(),
            Duplicates::Drop => again.iter().flat_map(|(first, later)| [*first, *later]).collect(),
        };
        if !left_out.is_empty() {
            let path = self.dir.join(TEXT_FILE);
            self.leave_out(&left_out).map_err(|e| place::io(&path, e))?;
            order = self.order();
        }
        let path = self.dir.join(INDEX_FILE);
        self.write_index(&path, &order).map_err(|e| place::io(&path, e))?;
        Ok(left_out.len() as u64)
    }

    /// Numbers in order of their ids; equal ids in order of number.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.lines.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.id(*a).cmp(self.id(*b)).then(a.cmp(b)));
        order
    }

    /// Texts whose id was there before, each with the first of that id, in reading order.
    fn again(&self, order: &[u32]) -> Vec<(u32, u32)> {
        let mut again = Vec::new();
        for same in order.chunk_by(|a, b| self.id(*a) == self.id(*b)) {
            again.extend(same[1..].iter().map(|later| (same[0], *later)));
        }
        again.sort_unstable_by_key(|(_, later)| *later);
        again
    }

    fn twice(&self, again: &[(u32, u32)]) -> Failure {
        let (first, later) = again[0];
        let id = String::from_utf8_lossy(self.id(first)).into_owned();
        let (file, line) = self.origin(later);
        let (before_file, before_line) = self.origin(first);
        let found = format!("the id {} again, first used at {before_file}:{before_line}", place::quote(&id));
        let more = match again.len() - 1 {
            0 => String::new(),
            n => format!(" ({} like it)", place::count(n, "more line")),
        };
        place::wrong_line(file, u64::from(line), found, format!("each id once{more}")).help(
            "give them different ids, or write `duplicates = first` to keep the first text of each id, or \
             `duplicates = drop` to leave out every text whose id is not its own",
        )
    }

    /// Writes the texts again without some of them.
    fn leave_out(&mut self, left_out: &BTreeSet<u32>) -> std::io::Result<()> {
        let (old, new) = (self.dir.join(TEXT_FILE), self.dir.join("texts.new"));
        let mut from = BufReader::with_capacity(1 << 20, File::open(&old)?);
        let mut to = BufWriter::with_capacity(1 << 20, File::create(&new)?);
        let (mut text_starts, mut id_starts, mut ids) = (vec![0], vec![0], Vec::new());
        for number in 0..self.lines.len() as u32 {
            let i = number as usize;
            let length = self.text_starts[i + 1] - self.text_starts[i];
            let mut text = from.by_ref().take(length);
            if left_out.contains(&number) {
                std::io::copy(&mut text, &mut std::io::sink())?;
                continue;
            }
            std::io::copy(&mut text, &mut to)?;
            text_starts.push(text_starts.last().copied().unwrap_or(0) + length);
            ids.extend_from_slice(self.id(number));
            id_starts.push(ids.len() as u64);
        }
        to.flush()?;
        std::fs::rename(new, old)?;
        self.lines.truncate(text_starts.len() - 1);
        (self.text_starts, self.id_starts, self.ids) = (text_starts, id_starts, ids);
        Ok(())
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

    fn write(dir: &Path, texts: &[(&str, &str)]) -> Result<u64, Failure> {
        write_with(dir, texts, Duplicates::Error)
    }

    fn write_with(dir: &Path, texts: &[(&str, &str)], duplicates: Duplicates) -> Result<u64, Failure> {
        let mut writer = TextStoreWriter::create(dir)?;
        for (i, (id, text)) in texts.iter().enumerate() {
            writer.push(id, text, "c.tsv", i as u64 + 1)?;
        }
        writer.finish_with(duplicates)
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
            "c.tsv:4: found the id `b` again, first used at c.tsv:2, expected each id once (1 more line like it)"
        );
    }

    #[test]
    fn ids_are_single_words() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), &[("", "x")]).unwrap_err().message.contains("c.tsv:1: found an empty id"));
        assert!(write(dir.path(), &[("a b", "x")]).unwrap_err().message.contains("white space"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        for file in [TEXT_FILE, INDEX_FILE] {
            let dir = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink("/dev/full", dir.path().join(file)).unwrap();
            let e = write(dir.path(), &[("a", "some text")]).unwrap_err();
            assert_eq!(e.kind, xpipe_base::task::FailureKind::Missing);
            assert!(e.message.contains(file) && e.message.contains("the disk is full"), "{e}");
        }
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
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/store-v1");
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
