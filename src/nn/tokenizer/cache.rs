//! Token ids of the texts of one run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use xpipe_base::task::Failure;

/// Cached ids of the texts of one run, by content. Shared between threads and limited in size.
#[derive(Debug)]
pub struct TokenCache {
    pub(super) known: Mutex<CachedIds>,
    capacity: usize,
}

#[derive(Debug, Default)]
pub(super) struct CachedIds {
    pub(super) ids: HashMap<([u8; 16], usize), Arc<[u32]>>,
    pub(super) tokens: usize,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl TokenCache {
    /// A cache of at most this many token ids (4 bytes each). It is emptied when it is full.
    pub fn new(capacity: usize) -> Self {
        Self { known: Mutex::default(), capacity }
    }

    /// The ids of each text, truncated to `limit`. `tokenize` makes those of texts that are not in the cache.
    ///
    /// # Errors
    /// As `tokenize`.
    pub(super) fn batch(
        &self,
        texts: &[&str],
        limit: usize,
        tokenize: impl Fn(&str) -> Result<Vec<u32>, Failure> + Sync,
    ) -> Result<Vec<Arc<[u32]>>, Failure> {
        let key = |text: &&str| {
            let mut key = [0; 16];
            key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
            (key, limit)
        };
        let keys: Vec<_> = texts.par_iter().map(key).collect();
        let mut found: Vec<Option<Arc<[u32]>>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|k| known.ids.get(k).cloned()).collect()
        };
        // Each unknown text once.
        let mut first = HashMap::new();
        for (i, key) in keys.iter().enumerate().filter(|(i, _)| found[*i].is_none()) {
            first.entry(*key).or_insert(i);
        }
        let mut fresh: Vec<usize> = first.values().copied().collect();
        fresh.sort_unstable();
        let ids: Vec<Arc<[u32]>> =
            fresh.par_iter().map(|&i| tokenize(texts[i]).map(Arc::from)).collect::<Result<_, Failure>>()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (&i, ids) in fresh.iter().zip(ids) {
            if known.tokens + ids.len() > self.capacity {
                *known = CachedIds::default();
            }
            known.tokens += ids.len();
            known.ids.insert(keys[i], ids.clone());
            found[i] = Some(ids);
        }
        drop(known);
        let of = |i: usize| found[i].clone().or_else(|| first.get(&keys[i]).and_then(|f| found[*f].clone()));
        (0..keys.len()).map(|i| of(i).ok_or_else(|| Failure::bug("a text was not tokenised"))).collect()
    }
}
