//! Threads of one engine, each with its own scratch memory. Which thread does which task changes no bit.

use std::sync::Mutex;

use super::attention::AttentionScratch;
use xpipe_base::task::Failure;

/// Memory of one thread, used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Hidden states of a group.
    pub states: Vec<f32>,
    /// Queries, keys and values of a group.
    pub qkv: Vec<f32>,
    /// Attention output of a group, or its gradient.
    pub context: Vec<f32>,
    /// A block of a sub-layer's output.
    pub sublayer: Vec<f32>,
    /// A block of the feed-forward network behind activation and gate.
    pub ffn: Vec<f32>,
    /// A block of the feed-forward network before activation and gate.
    pub ffn_input: Vec<f32>,
    /// Normed states of a group, or their gradient.
    pub normed: Vec<f32>,
    pub attention: AttentionScratch,
}

/// The threads.
#[derive(Debug)]
pub(super) struct ThreadPool {
    pool: Option<rayon::ThreadPool>,
    scratch: Vec<Mutex<Scratch>>,
}

impl ThreadPool {
    /// A pool of so many threads: 1 is the caller's own, 0 as many as there are cores.
    pub(super) fn new(threads: usize) -> Result<Self, Failure> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if threads == 0 { cores() } else { threads };
        let pool = if threads == 1 {
            None
        } else {
            let built = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("encoder-{i}"))
                .build()
                .map_err(Failure::no_threads)?;
            Some(built)
        };
        Ok(Self { pool, scratch: (0..threads).map(|_| Mutex::default()).collect() })
    }

    /// Numbers held in all scratch memory.
    pub(super) fn held(&self) -> usize {
        let of = |s: &Scratch| {
            let Scratch { states, qkv, context, sublayer, ffn, ffn_input, normed, attention } = s;
            let plain = [states, qkv, context, sublayer, ffn, ffn_input, normed];
            plain.map(Vec::len).iter().sum::<usize>() + attention.held()
        };
        self.scratch.iter().map(|s| of(&s.lock().unwrap_or_else(std::sync::PoisonError::into_inner))).sum()
    }

    /// The number of threads.
    pub(super) fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Does all tasks. Each thread takes the next one when it is free.
    pub(super) fn each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T, &mut Scratch) + Sync) {
        let scratch_of = |i: usize| {
            // A panic in another task poisons the scratch only in name: every use fills what it reads.
            self.scratch[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        match &self.pool {
            Some(pool) if tasks.len() > 1 => {
                let queue = Mutex::new(tasks.into_iter());
                pool.broadcast(|thread| {
                    let mut scratch = scratch_of(thread.index());
                    loop {
                        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                        let Some(task) = next else { break };
                        work(task, &mut scratch);
                    }
                });
            }
            _ => {
                let mut scratch = scratch_of(0);
                for task in tasks {
                    work(task, &mut scratch);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for threads in [0, 1, 3] {
            let pool = ThreadPool::new(threads).unwrap();
            let mut done = vec![0; 50];
            pool.each(done.iter_mut().enumerate().collect(), |(i, d), _| *d += i + 1);
            assert_eq!(done, (1..=50).collect::<Vec<_>>());
            assert!(pool.threads() == threads || threads == 0);
        }
    }
}
