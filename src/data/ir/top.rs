//! The k best documents, exactly, in trec_eval's order: score as f32 descending, then document id descending bytewise.

/// A document and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The document's number in the index.
    pub document: u32,
    /// Its score.
    pub score: f32,
}

/// Collects the k best of any number of documents in memory of 2k.
#[derive(Debug)]
pub struct Top<'a> {
    depth: usize,
    order: &'a [u32],
    /// Sortable score above place in the order of ids, and the document.
    kept: Vec<(u64, u32)>,
    /// Nothing at or below this can be among the best.
    floor: Option<u64>,
}

impl<'a> Top<'a> {
    /// A collector of `depth` documents; `order` is the place of each document in the bytewise order of ids.
    pub fn new(depth: usize, order: &'a [u32]) -> Self {
        let floor = if depth == 0 { Some(u64::MAX) } else { None };
        Self { depth, order, kept: Vec::new(), floor }
    }

    /// Adds a document; each only once. The score is not NaN.
    pub fn push(&mut self, document: u32, score: f32) {
        let key = (u64::from(sortable(score)) << 32) | u64::from(self.order[document as usize]);
        if self.floor.is_some_and(|floor| key <= floor) {
            return;
        }
        self.kept.push((key, document));
        if self.kept.len() >= self.depth.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    /// A score below which no document can be among the best; `None` while there may be room, and for no depth.
    pub fn least(&mut self) -> Option<f32> {
        // Pruning pays off once a quarter of the capacity is new.
        if self.kept.len() >= self.depth.saturating_add(self.depth / 4) {
            self.cut();
        }
        self.floor.filter(|_| self.depth > 0).map(|floor| score_of((floor >> 32) as u32))
    }

    fn cut(&mut self) {
        if self.kept.len() > self.depth {
            let last = self.depth - 1;
            self.kept.select_nth_unstable_by(last, |a, b| b.cmp(a));
            self.floor = Some(self.kept[last].0);
            self.kept.truncate(self.depth);
        }
    }

    /// The best, best first.
    pub fn finish(mut self) -> Vec<Hit> {
        self.cut();
        self.kept.sort_unstable_by(|a, b| b.cmp(a));
        self.kept
            .iter()
            .map(|(key, document)| Hit { document: *document, score: score_of((key >> 32) as u32) })
            .collect()
    }
}

/// Bits that order as the numbers do; -0 equals 0.
fn sortable(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}

fn score_of(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & 0x7fff_ffff } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::value::rng::{Permutation, Stream};

    #[test]
    fn equals_a_full_sort() {
        let stream = Stream::new(3, &["top"]);
        let ids = Permutation::new(stream.sub(1), 1000);
        let order: Vec<u32> = (0..1000).map(|i| ids.at(i) as u32).collect();
        // Few different scores, some negative: ties everywhere.
        let scores: Vec<f32> = (0..1000).map(|i| stream.below(i, 40) as f32 / 7.0 - 2.0).collect();
        let mut sorted: Vec<u32> = (0..1000).collect();
        sorted.sort_by(|a, b| {
            let (x, y) = (*a as usize, *b as usize);
            scores[y].total_cmp(&scores[x]).then(order[y].cmp(&order[x]))
        });
        for depth in [0, 1, 2, 31, 40, 500, 1000, 5000] {
            let mut top = Top::new(depth, &order);
            (0..1000).for_each(|d| top.push(d, scores[d as usize]));
            let got: Vec<u32> = top.finish().iter().map(|h| h.document).collect();
            assert_eq!(got, sorted[..depth.min(1000)], "{depth}");
        }
    }

    #[test]
    fn what_is_below_the_least_would_not_be_kept() {
        let order: Vec<u32> = (0..500).map(|i| (i * 7) % 500).collect();
        let score = |d: u32| ((d * 37) % 101) as f32 - 30.0;
        let (mut top, mut turned_away) = (Top::new(20, &order), 0);
        for d in 0..500 {
            if top.least().is_none_or(|least| score(d) >= least) {
                top.push(d, score(d));
            } else {
                turned_away += 1;
            }
        }
        let mut all = Top::new(20, &order);
        (0..500).for_each(|d| all.push(d, score(d)));
        assert!(turned_away > 300, "{turned_away}");
        assert_eq!(top.finish(), all.finish());
        assert_eq!((Top::new(0, &order).least(), Top::new(1, &order).least()), (None, None));
    }

    #[test]
    fn scores_come_back_as_they_were() {
        for x in [0.0f32, 1.5, -1.5, f32::MIN_POSITIVE, -1e30, f32::INFINITY] {
            assert_eq!(score_of(sortable(x)).to_bits(), x.to_bits());
        }
        assert_eq!(sortable(-0.0), sortable(0.0));
    }
}
