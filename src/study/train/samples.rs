//! Seeded streams of training samples: which documents of which query a training sees at a position.
//!
//! A sample is a function of (seed, position): the order of an epoch is a seeded permutation computed in constant
//! time, and negatives are drawn anew in each epoch from (seed, epoch, query). So a stream needs no memory of the
//! past, a resumed training costs nothing, and nothing has to be written out.
//!
//! Queries and documents are numbers of the stores they came from. Must not know: files, text, models.

mod draw;
mod pool;
mod shape;

use std::collections::BTreeMap;

pub use draw::without_replacement;
use pool::List;
pub use pool::{Lists, Pool, Sample, Triple};
pub use shape::Shape;

use xpipe_base::task::Failure;
use xpipe_base::value::human;
use xpipe_base::value::rng::{Permutation, Stream};

/// A stream of samples.
#[derive(Debug)]
pub struct Samples {
    pool: Pool,
    shape: Shape,
    order: Stream,
    draws: Stream,
    /// Lists that can give a sample; not used by other pools.
    usable: Vec<u32>,
    skipped: BTreeMap<&'static str, u64>,
}

impl Samples {
    /// The stream of a shape over a pool.
    ///
    /// A candidate list is skipped, and counted, when it has fewer positives than the shape asks for, fewer
    /// negatives, or (ranked lists) fewer than two documents. A ranked list shorter than the shape's depth is kept.
    ///
    /// # Errors
    /// When the pool cannot give the shape, or has no usable entry.
    pub fn new(pool: Pool, shape: Shape, seed: u64) -> Result<Self, Failure> {
        if !pool.forms().contains(&shape.form()) {
            let given: Vec<&str> = pool.forms().iter().map(|f| f.name()).collect();
            let message = format!(
                "the source gives `{}`, and `{}` was asked for",
                given.join("`, `"),
                shape.form().name()
            );
            return Err(Failure::wrong(message).help("use a `candidates` source, which can give every shape"));
        }
        if let Pool::Fixed(_, samples) = &pool {
            let fits = |s: &Sample| match shape {
                Shape::RankedList { depth } => s.documents.len() <= depth,
                Shape::Pairs => s.documents.len() == 2,
                Shape::Group { positives, .. } => {
                    s.documents.len() == shape.documents() && s.positives == positives
                }
            };
            if let Some(other) = samples.iter().find(|s| !fits(s)) {
                return Err(Failure::wrong(format!(
                    "the samples have {} with {}, which is not the shape asked for",
                    human::counted(other.documents.len(), "documents"),
                    human::counted(other.positives, "positives")
                ))
                .help("ask for the shape they were drawn in"));
            }
        }
        let (mut usable, mut skipped) = (Vec::new(), BTreeMap::new());
        if let Pool::Lists(lists) = &pool {
            for i in 0..lists.len() {
                match reason(lists, i, shape) {
                    None => usable.push(i as u32),
                    Some(why) => *skipped.entry(why).or_insert(0) += 1,
                }
            }
        }
        let order = Stream::new(seed, &["data.samples", "order"]);
        let draws = Stream::new(seed, &["data.samples", "documents"]);
        let samples = Self { pool, shape, order, draws, usable, skipped };
        if samples.epoch() == 0 {
            let why: Vec<String> = samples.skipped.iter().map(|(w, n)| human::counted(*n, w)).collect();
            let why = if why.is_empty() { "it is empty".to_owned() } else { why.join(", ") };
            return Err(Failure::wrong(format!("the source gives no sample: {why}"))
                .help("check that the qrels judge the queries of the run, or ask for fewer negatives"));
        }
        Ok(samples)
    }

    /// Samples in one epoch; at least 1.
    pub fn epoch(&self) -> u64 {
        match &self.pool {
            Pool::Lists(_) => self.usable.len() as u64,
            Pool::Triples(t) => t.len() as u64,
            Pool::Fixed(_, s) => s.len() as u64,
        }
    }

    /// Whether teacher scores come from a teacher, and not from the ranks of a list without scores. Ranked lists read from
    /// a table count as the latter.
    pub fn scored(&self) -> bool {
        match &self.pool {
            Pool::Lists(lists) => lists.is_scored(),
            Pool::Triples(_) | Pool::Fixed(..) => self.at(0).teacher.is_some(),
        }
    }

    /// Number of skipped queries, by reason.
    pub fn skipped(&self) -> &BTreeMap<&'static str, u64> {
        &self.skipped
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sample at a position of the endless stream.
    pub fn at(&self, position: u64) -> Sample {
        let (epoch, place) = (position / self.epoch(), position % self.epoch());
        let item = Permutation::new(self.order.sub(epoch), self.epoch()).at(place) as usize;
        match &self.pool {
            Pool::Lists(lists) => {
                let i = self.usable[item] as usize;
                self.draw(lists, i, self.draws.sub(epoch).sub(u64::from(lists.list(i).query)))
            }
            Pool::Triples(triples) => {
                let t = triples[item];
                Sample {
                    query: t.query,
                    documents: vec![t.positive, t.negative],
                    teacher: t.scores.map(|(p, n)| vec![f64::from(p), f64::from(n)]),
                    positives: 1,
                }
            }
            Pool::Fixed(_, samples) => samples[item].clone(),
        }
    }

    fn draw(&self, lists: &Lists, i: usize, stream: Stream) -> Sample {
        let list = lists.list(i);
        let (positives, negatives) = match self.shape {
            Shape::RankedList { depth } => return ranked(&list, depth),
            Shape::Pairs => (1, 1),
            Shape::Group { positives, negatives } => (positives, negatives),
        };
        let pick = |from: &[u32], n: usize, stream: Stream| -> Vec<u32> {
            without_replacement(stream, from.len(), n).into_iter().map(|at| from[at]).collect()
        };
        let mut places = pick(list.positives, positives, stream.sub(0));
        places.extend(pick(&list.negatives(), negatives, stream.sub(1)));
        Sample {
            query: list.query,
            documents: places.iter().map(|p| list.documents[*p as usize]).collect(),
            teacher: list.teacher.map(|t| places.iter().map(|p| f64::from(t[*p as usize])).collect()),
            positives,
        }
    }
}

/// The first `depth` documents by falling teacher score, ties and lists without scores in run order. A list without
/// scores gets len, len - 1, …, 1, so that its order counts as a teacher's.
fn ranked(list: &List<'_>, depth: usize) -> Sample {
    let mut places: Vec<usize> = (0..list.documents.len()).collect();
    if let Some(t) = list.teacher {
        places.sort_by(|&a, &b| t[b].total_cmp(&t[a]));
    }
    places.truncate(depth);
    let n = places.len();
    let teacher = match list.teacher {
        Some(t) => places.iter().map(|p| f64::from(t[*p])).collect(),
        None => (0..n).map(|place| (n - place) as f64).collect(),
    };
    Sample {
        query: list.query,
        documents: places.iter().map(|p| list.documents[*p]).collect(),
        teacher: Some(teacher),
        positives: 0,
    }
}

/// Why a list cannot give a sample of a shape.
fn reason(lists: &Lists, i: usize, shape: Shape) -> Option<&'static str> {
    let list = lists.list(i);
    let (positives, negatives) = match shape {
        Shape::RankedList { .. } => {
            return (list.documents.len() < 2).then_some("queries with fewer than two documents");
        }
        Shape::Pairs => (1, 1),
        Shape::Group { positives, negatives } => (positives, negatives),
    };
    if list.positives.is_empty() {
        Some("queries without a judged positive in the run")
    } else if list.positives.len() < positives {
        Some("queries with too few judged positives in the run")
    } else if list.negatives().len() < negatives {
        Some("queries with too few negatives in the run")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
