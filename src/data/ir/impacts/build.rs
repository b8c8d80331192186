//! Building the index: vectors, which are by document, turned into postings, which are by term, in memory that does not
//! grow with the collection: as many terms at a time as have [`PART`] postings, in one pass over the vectors each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use super::{BLOCK, Block, FORMAT, HEADER_FILE, Header, Impacts};
use crate::ir::vectors::Vectors;
use crate::ir::words;
use xpipe_base::task::{Failure, Progress};

/// Postings turned at a time: 6 bytes each.
const PART: u64 = 1 << 26;
/// Documents between two looks at whether to stop.
const LOOK: usize = 1 << 14;

/// Builds the index of encoded documents in a folder, and opens it.
///
/// # Errors
/// No document at all, two of one id, a scale that is not above 0, an impact above 65,535, a full disk, an
/// interruption.
pub fn build(vectors: &Vectors, dir: &Path, scale: f64, progress: &dyn Progress) -> Result<Impacts, Failure> {
    build_in_parts(vectors, dir, scale, progress, PART)
}

/// As [`build`], with another number of postings at a time.
pub(super) fn build_in_parts(
    vectors: &Vectors,
    dir: &Path,
    scale: f64,
    progress: &dyn Progress,
    part: u64,
) -> Result<Impacts, Failure> {
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(Failure::wrong(format!("scale is {scale}, expected a number above 0")));
    }
    if vectors.is_empty() {
        return Err(Failure::wrong("there are no documents to index").help("encode a corpus with documents"));
    }
    std::fs::create_dir_all(dir)?;
    let turn = Turn { vectors, scale, progress };
    let terms = vectors.vocabulary().terms as usize;
    let mut posting_starts = vec![0u64; terms + 1];
    turn.pass(&(0..terms as u32), &mut |_, term, _| posting_starts[term as usize + 1] += 1)?;
    for i in 0..terms {
        posting_starts[i + 1] += posting_starts[i];
    }
    let block_starts = turn.write_postings(dir, &posting_starts, part)?;
    words::write(&dir.join("blocks.u64"), block_starts.iter().map(|x| x.to_le_bytes()))?;
    words::write(&dir.join("postings.u64"), posting_starts.iter().map(|x| x.to_le_bytes()))?;
    words::write(&dir.join("order.u32"), vectors.ids().order()?.iter().map(|x| x.to_le_bytes()))?;
    vectors.ids().write(dir)?;
    let header = Header {
        format: FORMAT,
        vocabulary: vectors.vocabulary().clone(),
        scale,
        documents: vectors.len() as u32,
        postings: posting_starts[terms],
    };
    let json = serde_json::to_vec_pretty(&header).map_err(|e| Failure::bug(e.to_string()))?;
    std::fs::write(dir.join(HEADER_FILE), json)?;
    Impacts::open(dir)
}

/// The vectors of documents, which are inverted to lists of terms.
struct Turn<'a> {
    vectors: &'a Vectors,
    scale: f64,
    progress: &'a dyn Progress,
}

impl Turn<'_> {
    /// Writes `blocks.bin` and `postings.bin`, some terms at a time: as many as have `part` postings, at least one.
    /// Returns where the blocks of each term start.
    fn write_postings(&self, dir: &Path, posting_starts: &[u64], part: u64) -> Result<Vec<u64>, Failure> {
        let terms = posting_starts.len() - 1;
        let file =
            |name: &str| Ok::<_, Failure>(BufWriter::with_capacity(1 << 20, File::create(dir.join(name))?));
        let (mut blocks, mut postings) = (file("blocks.bin")?, file("postings.bin")?);
        let mut block_starts = vec![0u64];
        let mut first = 0;
        while first < terms {
            let room = posting_starts[first] + part;
            let last = (first + 1..terms).find(|t| posting_starts[t + 1] > room).unwrap_or(terms);
            let list = self.lists(first as u32..last as u32, posting_starts)?;
            for term in first..last {
                let own = posting_starts[term] - posting_starts[first]
                    ..posting_starts[term + 1] - posting_starts[first];
                let own = &list[own.start as usize..own.end as usize];
                let (mut start, mut count) = (0u32, 0);
                for block in own.chunk_by(|a, b| a.0 as usize / BLOCK == b.0 as usize / BLOCK) {
                    let number = block[0].0 / BLOCK as u32;
                    let largest = block.iter().map(|p| p.1).max().unwrap_or(0);
                    blocks.write_all(&Block { number, first: start, largest }.bytes())?;
                    for (document, impact) in block {
                        let place = (*document as usize % BLOCK) as u16;
                        postings.write_all(&place.to_le_bytes())?;
                        postings.write_all(&impact.to_le_bytes())?;
                    }
                    start += block.len() as u32;
                    count += 1;
                }
                block_starts.push(block_starts[term] + count);
            }
            first = last;
        }
        blocks.flush()?;
        postings.flush()?;
        Ok(block_starts)
    }

    /// Gives every document's impacts (document, term, impact) of some terms, by document and term rising.
    fn pass(&self, terms: &Range<u32>, f: &mut dyn FnMut(u32, u32, u16)) -> Result<(), Failure> {
        let total = self.vectors.len() as u64;
        let mut row = Vec::new();
        for document in 0..self.vectors.len() {
            if document % LOOK == 0 {
                if self.progress.cancelled() {
                    return Err(Failure::interrupted());
                }
                let note = format!("terms {} to {}", terms.start, terms.end);
                self.progress.progress(document as u64, total, "documents", &note);
            }
            self.vectors.read(document, &mut row)?;
            let from = row.partition_point(|(t, _)| *t < terms.start);
            for (term, weight) in row[from..].iter().take_while(|(t, _)| *t < terms.end) {
                let impact = (self.scale * f64::from(*weight)).round();
                if impact > f64::from(u16::MAX) {
                    return Err(Failure::wrong(format!(
                        "document `{}` has weight {weight} for term {term}; times {} that is above {}",
                        self.vectors.ids().get(document as u32),
                        self.scale,
                        u16::MAX
                    ))
                    .help("take a smaller `scale`"));
                }
                if impact >= 1.0 {
                    f(document as u32, *term, impact as u16);
                }
            }
        }
        Ok(())
    }

    /// The postings of some terms, by term, then document; `starts` is where each term's begin among all.
    fn lists(&self, terms: Range<u32>, starts: &[u64]) -> Result<Vec<(u32, u16)>, Failure> {
        let (first, last) = (terms.start as usize, terms.end as usize);
        let base = starts[first];
        let mut next: Vec<usize> = starts[first..last].iter().map(|s| (s - base) as usize).collect();
        let mut list = vec![(0u32, 0u16); (starts[last] - base) as usize];
        self.pass(&terms, &mut |document, term, impact| {
            let place = &mut next[term as usize - first];
            list[*place] = (document, impact);
            *place += 1;
        })?;
        Ok(list)
    }
}
