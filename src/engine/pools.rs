//! Counted resources (threads, memory, GPUs), and the rule by which waiting actions get them.
//!
//! A heavy action takes the threads that its `with { cpus = … }` names, by default all: one packed stage uses a whole
//! machine well, and two would fight for its caches. Light actions share what is free, one thread each at least. While
//! heavy actions hold every thread, one light action at a time may run beside them, so that results do not wait behind
//! a long training. What the first waiting action lacks is reserved for it, so that small ones cannot starve it.
//!
//! Besides, a study may put stages into a pool by name (`with { pool = "api" }`), which bounds how many of them run at
//! once.
//!
//! Memory is what `with { memory = … }` declares, else the estimate of the operation ([`super::forecaster`]). A worker may
//! use that with head-room and no more, so that a faulty one does not take the machine down.

use std::collections::BTreeMap;

use super::options::{Device, Gpu, Options};
use super::shortage::shortage;
use xpipe_base::task::{Action, Estimate, Failure, Memory};
use xpipe_base::value::Digest;

/// The resources that an action needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    cpus: Option<usize>,
    memory: u64,
    /// Memory limit of a worker; `None` where its own memory says nothing (GPUs).
    ceiling: Option<u64>,
    gpus: usize,
    vram: u64,
    heavy: bool,
    pool: Option<PoolId>,
}

/// A pool that studies name: the digest of its name.
type PoolId = u128;

fn pool_id(name: &str) -> PoolId {
    Digest::of(name.as_bytes()).short()
}

/// The resources that an action holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Threads it may use, at least 1.
    pub(crate) threads: usize,
    /// Threads it holds of the pool; fewer than `threads` when it runs beside a heavy action.
    held: usize,
    memory: u64,
    /// Memory limit of a worker.
    pub(crate) ceiling: Option<u64>,
    /// GPUs it holds.
    pub(crate) gpus: Vec<Gpu>,
    heavy: bool,
    pool: Option<PoolId>,
}

/// The resources that are free.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    all_threads: usize,
    threads: usize,
    all_memory: u64,
    memory: u64,
    gpus: Vec<Gpu>,
    light_running: usize,
    /// How many more actions of a pool may start; 1 of a pool that is not here.
    named: BTreeMap<PoolId, usize>,
}

impl Need {
    /// The needs of an action: its `with` block on this machine, and the memory that its operation estimates.
    pub(crate) fn of(
        action: &Action,
        options: &Options,
        memory: Option<&Estimate<Memory>>,
    ) -> Result<Self, Failure> {
        let policy = &action.policy;
        let vram = policy.vram.unwrap_or(0);
        let asked = gpus_asked(action, options.device);
        let enough = |n: usize| options.gpus.iter().filter(|g| g.memory >= vram).count() >= n;
        let gpus = match options.device {
            Device::Cpu => 0,
            Device::Auto if enough(asked) => asked,
            Device::Auto => 0,
            Device::Cuda => {
                if !enough(asked) {
                    let of = if vram > 0 {
                        format!(" of {}", xpipe_base::value::text::bytes(vram))
                    } else {
                        String::new()
                    };
                    return Err(Failure::missing(format!(
                        "{asked} GPU{of} asked for, and this machine has {} that fit",
                        options.gpus.iter().filter(|g| g.memory >= vram).count()
                    ))
                    .help("lower `gpu` or `vram` in the stage's `with`, or run with `--device auto`"));
                }
                asked
            }
        };
        // On a GPU only its own memory counts.
        let memory = memory.filter(|_| gpus == 0 || policy.memory.is_some());
        if let Some(failure) = memory.and_then(|m| shortage(action, m, options)) {
            return Err(failure);
        }
        Ok(Self {
            cpus: policy.cpus.map(|n| n.clamp(1, options.threads)),
            memory: memory.map_or(0, |m| m.amount.bytes).min(options.memory),
            ceiling: (gpus == 0).then(|| ceiling(memory, policy.memory, options.memory)),
            gpus,
            vram,
            heavy: action.heavy,
            pool: policy.pool.as_deref().map(pool_id),
        })
    }
}

/// How many GPUs an action asks for, here and on a cluster: none with `--device cpu`, and with `--device cuda` a heavy one
/// at least one.
pub(crate) fn gpus_asked(action: &Action, device: Device) -> usize {
    let named = action.policy.gpu.unwrap_or(usize::from(action.policy.vram.is_some_and(|bytes| bytes > 0)));
    match device {
        Device::Cpu => 0,
        Device::Auto => named,
        Device::Cuda => named.max(usize::from(action.heavy)),
    }
}

const GIB: u64 = 1 << 30;

/// The memory limit of a worker: somewhat more than was declared, else far more than its operation estimates, since
/// estimates only count large buffers; never more than there is, unless more was declared.
fn ceiling(told: Option<&Estimate<Memory>>, declared: Option<u64>, all: u64) -> u64 {
    match (declared, told.map(|m| m.amount.bytes)) {
        (Some(bytes), _) => bytes.saturating_add(bytes / 4).saturating_add(GIB),
        (None, Some(bytes)) => bytes.saturating_mul(4).max(bytes.saturating_add(4 * GIB)).min(all.max(bytes)),
        (None, None) => all,
    }
}

impl Pools {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            all_threads: options.threads,
            threads: options.threads,
            all_memory: options.memory,
            memory: options.memory,
            gpus: options.gpus.clone(),
            light_running: 0,
            named: options.pools.iter().map(|(name, n)| (pool_id(name), *n)).collect(),
        }
    }

    /// Which of the waiting actions may start now, the most urgent first. What they get is taken from the pools.
    pub(crate) fn grant(&mut self, waiting: &[Need]) -> Vec<(usize, Grant)> {
        let mut granted = Vec::new();
        // What is free after reserving what waiting actions lack.
        let mut open = self.clone();
        for (i, need) in waiting.iter().enumerate().filter(|(_, n)| n.heavy) {
            // It waits for its pool only, and nothing is reserved for it.
            if open.is_full(need) {
                continue;
            }
            let threads = need.cpus.unwrap_or(self.all_threads);
            if let Some(grant) = open.take(need, threads, threads) {
                self.subtract(&grant);
                granted.push((i, grant));
            } else {
                open.reserve(need, threads);
            }
        }
        let light: Vec<(usize, &Need)> = waiting.iter().enumerate().filter(|(_, n)| !n.heavy).collect();
        let mut left = light.len();
        for (i, need) in light {
            let share = (open.threads / left.max(1)).max(1);
            left -= 1;
            if open.is_full(need) {
                continue;
            }
            let threads = need.cpus.unwrap_or(share);
            let grant = if threads <= open.threads {
                open.take(need, threads, threads)
            } else if self.light_running == 0 && need.gpus == 0 {
                open.take(need, 1, 0)
            } else {
                None
            };
            if let Some(grant) = grant {
                self.subtract(&grant);
                granted.push((i, grant));
            } else {
                open.reserve(need, threads);
            }
        }
        granted
    }

    /// Whether as many actions of a pool run as may.
    pub(crate) fn is_full(&self, need: &Need) -> bool {
        need.pool.is_some_and(|pool| self.named.get(&pool) == Some(&0))
    }

    fn take_place(&mut self, pool: Option<PoolId>) {
        if let Some(pool) = pool {
            let free = self.named.entry(pool).or_insert(1);
            *free = free.saturating_sub(1);
        }
    }

    /// Takes what is needed when it is there.
    fn take(&mut self, need: &Need, threads: usize, held: usize) -> Option<Grant> {
        let idle = self.threads == self.all_threads && self.memory == self.all_memory;
        if held > self.threads || (need.memory > self.memory && !idle) {
            return None;
        }
        let gpus: Vec<Gpu> =
            self.gpus.iter().filter(|g| g.memory >= need.vram).take(need.gpus).copied().collect();
        if gpus.len() < need.gpus {
            return None;
        }
        let memory = need.memory.min(self.memory);
        self.threads -= held;
        self.memory -= memory;
        self.gpus.retain(|g| !gpus.contains(g));
        self.light_running += usize::from(!need.heavy);
        self.take_place(need.pool);
        let (ceiling, heavy, pool) = (need.ceiling, need.heavy, need.pool);
        Some(Grant { threads, held, memory, ceiling, gpus, heavy, pool })
    }

    fn subtract(&mut self, grant: &Grant) {
        self.threads -= grant.held;
        self.memory -= grant.memory;
        self.gpus.retain(|g| !grant.gpus.contains(g));
        self.light_running += usize::from(!grant.heavy);
        self.take_place(grant.pool);
    }

    /// Reserves what is free for an action that must wait for more.
    fn reserve(&mut self, need: &Need, threads: usize) {
        self.threads = self.threads.saturating_sub(threads);
        self.memory = self.memory.saturating_sub(need.memory);
        let reserved: Vec<Gpu> =
            self.gpus.iter().filter(|g| g.memory >= need.vram).take(need.gpus).copied().collect();
        self.gpus.retain(|g| !reserved.contains(g));
    }

    /// Returns what an action held.
    pub(crate) fn release(&mut self, grant: &Grant) {
        self.threads += grant.held;
        self.memory += grant.memory;
        self.gpus.extend(&grant.gpus);
        self.gpus.sort_unstable_by_key(|g| g.id);
        self.light_running -= usize::from(!grant.heavy);
        if let Some(pool) = grant.pool {
            *self.named.entry(pool).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Heavy;
    use xpipe_base::task::Policy;
    use xpipe_base::value::Record;

    fn action(heavy: bool, policy: Policy) -> Action {
        Action {
            op: "op",
            version: 1,
            heavy,
            address: "a".into(),
            also: vec![],
            args: Record::default(),
            policy,
            deps: vec![],
        }
    }

    fn options(threads: usize) -> Options {
        Options { memory: 100, ..Options::new(threads, Heavy::Thread) }
    }

    fn need(heavy: bool, policy: Policy, options: &Options) -> Need {
        let told = policy.memory.map(|bytes| told(bytes, &[]));
        Need::of(&action(heavy, policy), options, told.as_ref()).unwrap()
    }

    fn told(bytes: u64, less: &[(&str, u64)]) -> Estimate<Memory> {
        let less = less.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect();
        Estimate { amount: Memory { bytes, less }, upper_bound: true }
    }

    fn cpus(n: usize) -> Policy {
        Policy { cpus: Some(n), ..Policy::default() }
    }

    fn shape(granted: &[(usize, Grant)]) -> Vec<(usize, usize)> {
        granted.iter().map(|(i, g)| (*i, g.threads)).collect()
    }

    #[test]
    fn a_heavy_action_takes_the_machine_and_one_light_runs_beside() {
        let o = options(4);
        let mut pools = Pools::new(&o);
        let (h, l) = (need(true, Policy::default(), &o), need(false, Policy::default(), &o));
        let first = pools.grant(&[h, l, l, h]);
        assert_eq!(shape(&first), [(0, 4), (1, 1)]);
        assert!(pools.grant(&[l, h]).is_empty());
        // When the light one is done the next may run; when the heavy one is done the next heavy may.
        pools.release(&first[1].1);
        let second = pools.grant(&[l, h]);
        assert_eq!(shape(&second), [(0, 1)]);
        pools.release(&first[0].1);
        assert_eq!(shape(&pools.grant(&[h, l])), [(0, 4)]);
    }

    #[test]
    fn a_pool_bounds_its_actions_and_holds_nobody_else_up() {
        let mut o = options(8);
        o.pools.insert("api".into(), 2);
        let of = |pool: &str| need(false, Policy { pool: Some(pool.into()), ..cpus(1) }, &o);
        let (api, other, plain) = (of("api"), of("other"), need(false, cpus(1), &o));
        let mut pools = Pools::new(&o);
        let first = pools.grant(&[api, api, api, other, other, plain]);
        assert_eq!(
            first.iter().map(|(i, _)| *i).collect::<Vec<_>>(),
            [0, 1, 3, 5],
            "a pool without a number has 1"
        );
        assert!(pools.is_full(&api) && pools.is_full(&other) && !pools.is_full(&plain));
        assert_eq!(shape(&pools.grant(&[api, other, plain])), [(2, 1)]);
        pools.release(&first[0].1);
        pools.release(&first[2].1);
        assert_eq!(shape(&pools.grant(&[api, api, other])), [(0, 1), (2, 1)]);
        let heavy = need(true, Policy { pool: Some("api".into()), ..Policy::default() }, &o);
        let free = need(true, Policy::default(), &o);
        let mut pools = Pools::new(&o);
        let held = pools.grant(&[api, api]);
        assert_eq!(held.len(), 2);
        pools.release(&held[0].1);
        pools.release(&held[1].1);
        let mut o = o.clone();
        o.pools.insert("api".into(), 0);
        assert_eq!(shape(&Pools::new(&o).grant(&[heavy, free])), [(1, 8)], "nothing is reserved for it");
    }

    #[test]
    fn light_actions_share_and_a_lone_one_takes_all() {
        let o = options(4);
        let l = need(false, Policy::default(), &o);
        assert_eq!(shape(&Pools::new(&o).grant(&[l])), [(0, 4)]);
        assert_eq!(shape(&Pools::new(&o).grant(&[l, l])), [(0, 2), (1, 2)]);
        assert_eq!(shape(&Pools::new(&o).grant(&[l; 9])), [(0, 1), (1, 1), (2, 1), (3, 1)]);
    }

    #[test]
    fn named_cpus_pack_and_are_never_more_than_there_are() {
        let o = options(4);
        let (two, many) = (need(true, cpus(2), &o), need(true, cpus(64), &o));
        assert_eq!(shape(&Pools::new(&o).grant(&[two, two, two])), [(0, 2), (1, 2)]);
        assert_eq!(shape(&Pools::new(&o).grant(&[many])), [(0, 4)]);
        // What the large one lacks is kept for it.
        let mut pools = Pools::new(&o);
        assert_eq!(shape(&pools.grant(&[two])), [(0, 2)]);
        assert!(pools.grant(&[many, two]).is_empty());
    }

    #[test]
    fn a_worker_has_head_room_and_an_end() {
        let told = |bytes| Estimate { amount: Memory { bytes, less: Vec::new() }, upper_bound: false };
        let (gib, all) = (GIB, 64 * GIB);
        assert_eq!(ceiling(Some(&told(gib / 2)), None, all), gib * 9 / 2);
        assert_eq!(ceiling(Some(&told(3 * gib)), None, all), 12 * gib);
        assert_eq!(ceiling(Some(&told(30 * gib)), None, all), all);
        assert_eq!(ceiling(None, None, all), all);
        // What is declared is believed, also beyond what there is.
        assert_eq!(ceiling(Some(&told(gib)), Some(4 * gib), all), 6 * gib);
        assert_eq!(ceiling(None, Some(100 * gib), all), 126 * gib);
    }

    #[test]
    fn memory_is_counted_and_too_large_a_wish_runs_alone() {
        let o = options(4);
        let of = |cpu, n| need(true, Policy { memory: Some(n), ..cpus(cpu) }, &o);
        let mut pools = Pools::new(&o);
        let first = pools.grant(&[of(1, 60), of(1, 60), of(1, 30)]);
        assert_eq!(shape(&first), [(0, 1)], "the second keeps what is left");
        pools.release(&first[0].1);
        assert_eq!(shape(&pools.grant(&[of(1, 1_000), of(1, 1)])), [(0, 1)]);
    }

    #[test]
    fn what_an_operation_tells_keeps_two_large_actions_apart() {
        let o = options(4);
        let one = action(true, cpus(1));
        let of = |n| Need::of(&one, &o, Some(&told(n, &[]))).unwrap();
        let mut pools = Pools::new(&o);
        let first = pools.grant(&[of(60), of(50), of(10)]);
        assert_eq!(shape(&first), [(0, 1)]);
        assert_eq!(shape(&Pools::new(&o).grant(&[of(60), of(40), of(1)])), [(0, 1), (1, 1)]);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would() {
        let mut o = options(4);
        o.memory = 3 << 30;
        let large = told(5 << 30, &[("micro_batch = 1_024", 4 << 30), ("micro_batch = 512", 2 << 30)]);
        let failure = Need::of(&action(true, Policy::default()), &o, Some(&large)).unwrap_err();
        assert_eq!(failure.kind, xpipe_base::task::FailureKind::Missing);
        assert_eq!(failure.message, "a needs up to 5.0 GiB of memory, and 3.0 GiB are there");
        let help = failure.help.unwrap();
        assert!(help.starts_with("write `with { micro_batch = 512 }` (2.0 GiB); the results are"), "{help}");
        let failure = Need::of(&action(true, Policy::default()), &o, Some(&told(5 << 30, &[]))).unwrap_err();
        assert!(failure.help.unwrap().starts_with("no setting of `with` makes it fit"));
        // What the user says is believed.
        let said = Policy { memory: Some(5 << 30), ..Policy::default() };
        assert!(Need::of(&action(true, said), &o, Some(&told(5 << 30, &[]))).is_ok());
    }

    #[test]
    fn gpus_are_wishes_under_auto_and_conditions_under_cuda() {
        let wish = Policy { gpu: Some(1), vram: Some(40), ..Policy::default() };
        let mut o = options(2);
        let mut pools = Pools::new(&o);
        assert!(pools.grant(&[need(true, wish.clone(), &o)])[0].1.gpus.is_empty());
        o.device = Device::Cuda;
        let failure = Need::of(&action(true, wish.clone()), &o, None).unwrap_err();
        assert_eq!(failure.message, "1 GPU of 40B asked for, and this machine has 0 that fit");
        o.gpus = vec![Gpu { id: 0, memory: 24 }, Gpu { id: 1, memory: 80 }];
        let mut pools = Pools::new(&o);
        let got = pools.grant(&[need(true, Policy { cpus: Some(1), ..wish.clone() }, &o)]);
        assert_eq!(got[0].1.gpus, [Gpu { id: 1, memory: 80 }]);
        assert!(pools.grant(&[need(true, Policy { cpus: Some(1), ..wish.clone() }, &o)]).is_empty());
        pools.release(&got[0].1);
        assert_eq!(pools.gpus.len(), 2);
    }
}
