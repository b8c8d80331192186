//! RM3: a query made longer by terms of the documents that it found first.
//!
//! Of each of the first documents d, whose score is s(d), the `terms` most frequent terms that pass the filter are
//! kept, and p(w | d) = f(w, d) / Σ f over them. The relevance model is R(w) = Σ over d of p(w | d) · s(d), cut to the
//! `terms` largest and divided by their sum. The new query has w with the weight
//!
//!   α · n(w, q) / |q| + (1 - α) · R(w),
//!
//! and BM25 multiplies a term's score by it. The filter keeps terms of 2 to 20 ASCII letters and digits that at most a
//! tenth of the documents that are not blank have. Of equals the first in bytewise order are kept: of documents of equal score
//! ([`feedback`]), and of terms.
//!
//! **Source:** Lavrenko and Croft, SIGIR 2001; Abdul-Jaleel et al., TREC 2004; Anserini `Rm3Reranker`, whose single
//! precision is repeated here.

use std::collections::BTreeMap;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rm3 {
    /// Terms kept of a document, and of all together.
    pub terms: usize,
    /// α: the weight of the query as it was, in [0, 1].
    pub original_weight: f32,
}

/// Maximum document frequency of a feedback term, as a fraction of the non-empty documents.
const COMMON: f32 = 0.1;

/// Whether a term may come from feedback, when so many of `documents` have it. Blank documents do not count: Anserini's
/// index lacks them.
pub fn keeps(term: &str, frequency: u32, documents: usize) -> bool {
    let plain = term.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    plain && (2..=20).contains(&term.len()) && frequency as f32 / documents as f32 <= COMMON
}

/// The first `most` documents of a ranking, best first, as Anserini ranks: of equal scores the first id first. (Our
/// rankings have the last id first, as trec_eval reads them.)
pub fn feedback<T>(ranked: &[T], most: usize, of: impl Fn(&T) -> (f32, &str)) -> Vec<&T> {
    let mut all: Vec<&T> = ranked.iter().collect();
    all.sort_by(|a, b| {
        let ((x, id), (y, other)) = (of(a), of(b));
        y.total_cmp(&x).then_with(|| id.cmp(other))
    });
    all.truncate(most);
    all
}

impl Rm3 {
    /// The terms of a new query with their weights, in bytewise order: from the terms of the query, and from the first
    /// documents, each its terms that pass the filter, with frequencies, and its score. Weights of 0 are left out.
    pub fn expand(&self, query: &[String], documents: &[(BTreeMap<String, u32>, f32)]) -> Vec<(String, f32)> {
        let model = self.model(documents);
        let mut own: BTreeMap<&str, f32> = BTreeMap::new();
        query.iter().for_each(|term| *own.entry(term).or_default() += 1.0);
        let mut all: BTreeMap<&str, [f32; 2]> = BTreeMap::new();
        for (term, count) in own {
            all.entry(term).or_default()[0] = (f64::from(count) / query.len() as f64) as f32;
        }
        for (term, weight) in &model {
            all.entry(term).or_default()[1] = *weight;
        }
        let weight = |[own, model]: [f32; 2]| {
            let own = f64::from(self.original_weight * own);
            (own + (1.0 - f64::from(self.original_weight)) * f64::from(model)) as f32
        };
        all.into_iter().map(|(term, x)| (term.to_owned(), weight(x))).filter(|(_, x)| *x > 0.0).collect()
    }

    /// The relevance model.
    fn model(&self, documents: &[(BTreeMap<String, u32>, f32)]) -> Vec<(String, f32)> {
        let mut sums: BTreeMap<&str, f32> = BTreeMap::new();
        for (terms, score) in documents {
            let kept = largest(terms.iter().map(|(t, n)| (t.as_str(), *n as f32)).collect(), self.terms);
            let norm = kept.iter().map(|(_, n)| f64::from(*n)).sum::<f64>() as f32;
            for (term, n) in kept {
                *sums.entry(term).or_default() += n / norm * score;
            }
        }
        let kept = largest(sums.into_iter().collect(), self.terms);
        let norm = kept.iter().map(|(_, x)| f64::from(x.abs())).sum::<f64>();
        kept.into_iter().map(|(term, x)| (term.to_owned(), (f64::from(x) / norm) as f32)).collect()
    }
}

/// The `most` largest of terms in bytewise order.
fn largest(mut all: Vec<(&str, f32)>, most: usize) -> Vec<(&str, f32)> {
    // A stable sort, so that of equals the first stay first.
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(terms: &[(&str, u32)]) -> BTreeMap<String, u32> {
        terms.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect()
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn an_example_by_hand() {
        let rm3 = Rm3 { terms: 2, original_weight: 0.6 };
        // First document: cat 3, dog 1 are kept (fox 1 comes later in the alphabet): .75 and .25, times 4.
        // Second: dog 2, ant 2: .5 and .5, times 2. Sums: cat 3, dog 1 + 1 = 2, ant 1; kept: cat 3/5, dog 2/5.
        let documents = [
            (document(&[("cat", 3), ("dog", 1), ("fox", 1)]), 4.0),
            (document(&[("ant", 2), ("dog", 2), ("cat", 1)]), 2.0),
        ];
        let found = rm3.expand(&words(&["dog", "hat", "dog"]), &documents);
        let expected = [("cat", 0.4 * 0.6), ("dog", 0.6 * 2.0 / 3.0 + 0.4 * 0.4), ("hat", 0.6 / 3.0)];
        assert_eq!(found.len(), 3);
        for ((term, weight), (other, value)) in found.iter().zip(expected) {
            assert_eq!(term, other);
            assert!((f64::from(*weight) - value).abs() < 1e-7, "{term}: {weight} for {value}");
        }
        assert!((found.iter().map(|(_, w)| w).sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn ends_of_the_weight_and_nothing_to_learn_from() {
        let documents = [(document(&[("cat", 1)]), 4.0), (document(&[]), 3.0)];
        let expand = |original_weight, documents: &[_]| {
            Rm3 { terms: 10, original_weight }.expand(&words(&["dog", "hat"]), documents)
        };
        let own = vec![("dog".to_owned(), 0.5), ("hat".to_owned(), 0.5)];
        assert_eq!(expand(1.0, &documents), own);
        assert_eq!(expand(0.0, &documents), [("cat".to_owned(), 1.0)]);
        // The query alone, at its weight.
        assert_eq!(expand(0.5, &[]), own.iter().map(|(t, w)| (t.clone(), w / 2.0)).collect::<Vec<_>>());
        assert!(Rm3 { terms: 10, original_weight: 0.5 }.expand(&[], &[]).is_empty());
    }

    #[test]
    fn of_equal_documents_the_first_ids_are_taken() {
        let ranked = [("z", 3.0), ("d", 2.0), ("c", 2.0), ("b", 2.0), ("a", 1.0)];
        let taken = |most| -> Vec<&str> {
            feedback(&ranked, most, |(id, score)| (*score, id)).iter().map(|(id, _)| *id).collect()
        };
        assert_eq!(taken(1), ["z"]);
        assert_eq!(taken(3), ["z", "b", "c"]);
        assert_eq!(taken(9), ["z", "b", "c", "d", "a"]);
    }

    #[test]
    fn the_filter() {
        for (term, frequency, kept) in [
            ("cat", 10, true),
            ("cat", 11, false),
            ("c4", 1, true),
            ("c", 1, false),
            ("abcdefghijklmnopqrst", 1, true),
            ("abcdefghijklmnopqrstu", 1, false),
            ("isn't", 1, false),
            ("café", 1, false),
        ] {
            assert_eq!(keeps(term, frequency, 100), kept, "{term} {frequency}");
        }
    }
}
