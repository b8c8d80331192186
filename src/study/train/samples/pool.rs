//! What samples are drawn from: candidate lists, triples, or samples that were drawn before.

use super::super::objectives::SampleForm;

/// One sample: a query and its documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The query's number in its store.
    pub query: u32,
    /// The documents' numbers in their store; positives first, or in teacher order.
    pub documents: Vec<u32>,
    /// The teacher's scores, as many as documents.
    pub teacher: Option<Vec<f64>>,
    /// How many of the first documents are positive; 0 in a ranked list.
    pub positives: usize,
}

/// Candidate lists of many queries, from a run, judgements and scores, in flat arrays.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    queries: Vec<u32>,
    starts: Vec<usize>,
    documents: Vec<u32>,
    teacher: Vec<f32>,
    positive_starts: Vec<usize>,
    positives: Vec<u32>,
    from: Vec<u32>,
}

/// One query's candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) query: u32,
    pub(super) documents: &'a [u32],
    pub(super) teacher: Option<&'a [f32]>,
    /// Indices of the positives, in ascending order.
    pub(super) positives: &'a [u32],
    /// The first index from which negatives are drawn.
    from: u32,
}

impl List<'_> {
    /// Indices of the documents that may be drawn as negatives.
    pub(super) fn negatives(&self) -> Vec<u32> {
        (self.from..self.documents.len() as u32)
            .filter(|p| self.positives.binary_search(p).is_err())
            .collect()
    }
}

impl Lists {
    /// No lists yet.
    pub fn new() -> Self {
        Self { starts: vec![0], positive_starts: vec![0], ..Self::default() }
    }

    /// Adds a query: its documents in run order, the indices of its positives in ascending order, the first index from
    /// which negatives are drawn, and the teacher's scores. Either all lists have scores, or none.
    pub fn push(
        &mut self,
        query: u32,
        documents: &[u32],
        positives: &[u32],
        from: u32,
        teacher: Option<&[f32]>,
    ) {
        debug_assert!(teacher.is_none_or(|t| t.len() == documents.len()));
        self.queries.push(query);
        self.documents.extend_from_slice(documents);
        self.starts.push(self.documents.len());
        self.positives.extend_from_slice(positives);
        self.positive_starts.push(self.positives.len());
        self.from.push(from);
        self.teacher.extend_from_slice(teacher.unwrap_or_default());
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// Whether the lists have a teacher's scores.
    pub(super) fn is_scored(&self) -> bool {
        !self.teacher.is_empty()
    }

    pub(super) fn list(&self, i: usize) -> List<'_> {
        let range = self.starts[i]..self.starts[i + 1];
        List {
            query: self.queries[i],
            documents: &self.documents[range.clone()],
            teacher: self.is_scored().then(|| &self.teacher[range]),
            positives: &self.positives[self.positive_starts[i]..self.positive_starts[i + 1]],
            from: self.from[i],
        }
    }
}

/// A (query, positive, negative) triple, with the teacher's two scores or without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triple {
    /// The query's number.
    pub query: u32,
    /// The positive's number.
    pub positive: u32,
    /// The negative's number.
    pub negative: u32,
    /// The teacher's scores of the positive and of the negative.
    pub scores: Option<(f32, f32)>,
}

/// Where samples are drawn from.
#[derive(Debug)]
pub enum Pool {
    /// Candidate lists; every shape can be drawn.
    Lists(Lists),
    /// Triples; only pairs.
    Triples(Vec<Triple>),
    /// Samples drawn before, all of one form; only that form.
    Fixed(SampleForm, Vec<Sample>),
}

impl Pool {
    /// The forms that can be drawn.
    pub fn forms(&self) -> Vec<SampleForm> {
        match self {
            Self::Lists(_) => vec![SampleForm::Pairs, SampleForm::Group, SampleForm::RankedList],
            Self::Triples(_) => vec![SampleForm::Pairs],
            // A pair is a group of one and one.
            Self::Fixed(SampleForm::Pairs, _) => vec![SampleForm::Pairs, SampleForm::Group],
            Self::Fixed(form, _) => vec![*form],
        }
    }

    /// Calls `f` with every query that can be drawn and its negatives. Ranked lists have no positives and therefore no
    /// negatives.
    pub fn each(&self, f: &mut dyn FnMut(u32, &[u32])) {
        match self {
            Self::Lists(lists) => {
                let ranked = lists.positives.is_empty();
                for i in 0..lists.len() {
                    let list = lists.list(i);
                    if ranked {
                        f(list.query, &[]);
                    } else if !list.positives.is_empty() {
                        let negatives = list.negatives();
                        let documents: Vec<u32> =
                            negatives.iter().map(|p| list.documents[*p as usize]).collect();
                        f(list.query, &documents);
                    }
                }
            }
            Self::Triples(triples) => triples.iter().for_each(|t| f(t.query, &[t.negative])),
            Self::Fixed(form, samples) => {
                for s in samples {
                    let negatives: &[u32] =
                        if *form == SampleForm::RankedList { &[] } else { &s.documents[s.positives..] };
                    f(s.query, negatives);
                }
            }
        }
    }
}
