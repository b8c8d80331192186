//! Work and memory told from arguments, with as much at hand as each case says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use xpipe_base::task::{Estimate, Memory, Policy};
use xpipe_base::value::{ActionId, Budget, Record};
use xpipe_data::run::{Hit, Run, RunQuery};
use xpipe_data::store_writer::TextStoreWriter;
use xpipe_testing::fixture;

/// Actions by number: operation, arguments, where the result lies, facts.
#[derive(Default)]
struct World(BTreeMap<u32, Made>);

type Made = (&'static str, Record, Option<PathBuf>, BTreeMap<&'static str, f64>);

impl World {
    fn get(&self, value: &Value) -> Option<&Made> {
        if let Value::Artifact(id) = value { self.0.get(&id.0) } else { None }
    }

    fn add(&mut self, n: u32, op: &'static str, args: &[(&'static str, Value)], path: Option<PathBuf>) {
        self.0.insert(n, (op, Record::of(args.iter().cloned()), path, BTreeMap::new()));
    }
}

impl KnownValues for World {
    fn path(&self, value: &Value) -> Option<PathBuf> {
        self.get(value)?.2.clone()
    }
    fn argument(&self, value: &Value, name: &str) -> Option<Value> {
        match value {
            Value::Call(call) => call.args.get(name).cloned(),
            Value::Record(record) => record.get(name).cloned(),
            other => self.get(other)?.1.get(name).cloned(),
        }
    }
    fn op(&self, value: &Value) -> Option<String> {
        Some(self.get(value)?.0.to_owned())
    }
    fn fact(&self, value: &Value, name: &str) -> Option<f64> {
        self.get(value)?.3.get(name).copied()
    }
}

fn artifact(n: u32) -> Value {
    Value::Artifact(ActionId(n))
}

fn call(name: &str, args: &[(&'static str, i64)]) -> Value {
    Value::call(name, Record::of(args.iter().map(|(n, i)| (*n, Value::Int(*i)))))
}

const BACKBONE: u32 = 1;
const RUN: u32 = 2;
const QUERIES: u32 = 3;
const SAMPLES: u32 = 4;
const MODEL: u32 = 5;

/// The committed small BERT, of 64 positions; a run of depth 10 over queries that are not there; samples; a model
/// trained from the checkpoint.
fn world() -> World {
    let mut world = World::default();
    world.add(BACKBONE, "input", &[], Some(fixture("bert")));
    world.add(RUN, "bm25.search", &[("depth", Value::Int(10)), ("queries", artifact(QUERIES))], None);
    world.add(QUERIES, "import.queries", &[], None);
    let shape = call("group", &[("positives", 1), ("negatives", 3)]);
    world.add(SAMPLES, "data.samples", &[("shape", shape), ("count", Value::Null)], None);
    world.add(MODEL, "train.cross_encoder", &[("backbone", artifact(BACKBONE))], None);
    world
}

fn store(folder: &Path, n: usize) {
    let mut writer = TextStoreWriter::create(folder).unwrap();
    (0..n).for_each(|i| writer.push(&format!("q{i}"), "text", "f", i as u64 + 1).unwrap());
    writer.finish().unwrap();
}

fn limits() -> Value {
    call("query_document", &[("query", 8), ("document", 20)])
}

fn scoring(world: &World, more: &[(&'static str, Value)]) -> Result<Estimate<Vec<Work>>, String> {
    let args = [("model", artifact(MODEL)), ("run", artifact(RUN)), ("input", limits())];
    let args = Record::of(args.into_iter().chain(more.iter().cloned()));
    let policy = Policy::default();
    super::scoring::work(&EstimateRequest {
        args: &args,
        policy: &policy,
        threads: 2,
        sample: true,
        known: world,
    })
}

fn pairs(told: &Result<Estimate<Vec<Work>>, String>) -> (f64, bool) {
    let told = told.as_ref().unwrap();
    (told.amount[0].pairs, told.upper_bound)
}

#[test]
fn pairs_are_counted_with_what_is_at_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world();
    let why = scoring(&world, &[]).unwrap_err();
    assert!(why.contains("the number of queries is unknown"), "{why}");
    // A sample has a size before it is drawn; questions that are answered are no more than all.
    world.add(QUERIES, "sample", &[("n", Value::Int(30))], None);
    assert_eq!(pairs(&scoring(&world, &[])), (300.0, true));
    assert_eq!(pairs(&scoring(&world, &[("depth", Value::Int(4))])), (120.0, true));
    world.add(6, "sample", &[("n", Value::Int(20))], None);
    world.add(QUERIES, "data.answered", &[("queries", artifact(6))], None);
    assert_eq!(pairs(&scoring(&world, &[])), (200.0, true));
    // The store knows.
    store(&folder.path().join("queries"), 7);
    world.add(QUERIES, "import.queries", &[], Some(folder.path().join("queries")));
    assert_eq!(pairs(&scoring(&world, &[])), (70.0, true));
    // And the run itself, once it is there: no query has more than six hits.
    let hits =
        |q: usize| (0..6 - q % 2).map(|d| Hit { document: format!("d{d}"), score: -(d as f32) }).collect();
    let run = Run::new((0..7).map(|q| RunQuery::new(format!("q{q}"), hits(q)).unwrap()).collect()).unwrap();
    run.write(&folder.path().join("run")).unwrap();
    world.add(
        RUN,
        "bm25.search",
        &[("depth", Value::Int(10)), ("queries", artifact(QUERIES))],
        Some(folder.path().join("run")),
    );
    assert_eq!(pairs(&scoring(&world, &[])).0, 39.0);
    assert_eq!(pairs(&scoring(&world, &[("depth", Value::Int(4))])).0, 28.0);
    // Finite samples.
    let group = call("group", &[("positives", 1), ("negatives", 3)]);
    world.add(SAMPLES, "data.samples", &[("shape", group), ("count", Value::Int(50))], None);
    assert_eq!(pairs(&scoring(&world, &[("samples", artifact(SAMPLES))])), (200.0, true));
}

#[test]
fn a_model_that_is_not_there_has_no_work() {
    let mut world = world();
    world.add(BACKBONE, "input", &[], None);
    assert_eq!(scoring(&world, &[]).unwrap_err(), "the model is not on this machine yet");
}

struct Training {
    args: Record,
    policy: Policy,
}

impl Training {
    fn new() -> Self {
        let args = Record::of([
            ("backbone", artifact(BACKBONE)),
            ("data", artifact(SAMPLES)),
            ("shape", call("group", &[("positives", 1), ("negatives", 3)])),
            ("batch", call("queries", &[("n", 5)])),
            ("steps", Value::Budget(Budget::Steps(10))),
            ("input", limits()),
            ("select", Value::str("last")),
            ("precision", Value::str("bf16")),
        ]);
        Self { args, policy: Policy::default() }
    }

    fn work(&self, world: &World) -> Result<Estimate<Vec<Work>>, String> {
        super::training::work(&self.ask(world))
    }

    fn memory(&self, world: &World) -> Memory {
        super::training::memory(&self.ask(world)).unwrap().amount
    }

    fn ask<'a>(&'a self, world: &'a World) -> EstimateRequest<'a> {
        EstimateRequest { args: &self.args, policy: &self.policy, threads: 2, sample: true, known: world }
    }
}

#[test]
fn steps_batch_documents_and_limits_make_the_work_of_a_training() {
    let (mut world, mut training) = (world(), Training::new());
    let told = training.work(&world).unwrap();
    let work = &told.amount[0];
    // Ten steps of five queries with four documents; 8 + 20 tokens and room for four special ones.
    assert_eq!((work.pairs, work.tokens, told.upper_bound, told.amount.len()), (200.0, 6400.0, true, 1));
    assert_eq!((&*work.shape, &*work.precision, work.training), ("bert 2x32/4/64", "bf16", true));
    let model = arch::read(&fixture("bert")).unwrap();
    let one = flops::forward(&*model, 32);
    assert_eq!(work.flops, 600.0 * one);
    // Of 640 tokens a step in two micro-batches one is computed twice; recomputation is one more forward pass.
    training.policy = Policy { micro_batch: Some(512), ..Policy::default() };
    assert_eq!(training.work(&world).unwrap().amount[0].flops, 700.0 * one);
    training.policy = Policy { activation_checkpointing: Some(true), ..Policy::default() };
    assert_eq!(training.work(&world).unwrap().amount[0].flops, 800.0 * one);

    // Epochs are known once samples are.
    training.args = training.args.with("steps", Value::Budget(Budget::Epochs(2.0)));
    assert!(training.work(&world).unwrap_err().contains("the length of an epoch is unknown"));
    world.0.get_mut(&SAMPLES).unwrap().3.insert("samples_per_epoch", 51.0);
    assert_eq!(training.work(&world).unwrap().amount[0].pairs, 21.0 * 20.0);

    // A validation every five of 21 steps and at the end.
    let on = Record::of([("run", artifact(RUN)), ("queries", artifact(QUERIES))]);
    let best = Record::of([
        ("on", Value::list(vec![Value::Record(on)])),
        ("every", Value::Budget(Budget::Steps(5))),
    ]);
    training.args = training.args.with("select", Value::call("best_of", best));
    assert!(training.work(&world).unwrap_err().contains("the number of queries is unknown"));
    world.add(QUERIES, "sample", &[("n", Value::Int(30))], None);
    let told = training.work(&world).unwrap();
    assert!(!told.amount[1].training && told.amount[1].pairs == 5.0 * 300.0, "{told:?}");
    training.args = training.args.with("batch", Value::Null);
    assert!(training.work(&world).unwrap_err().contains("depends on a result"));
}

#[test]
fn settings_that_need_less_are_offered() {
    let (world, mut training) = (world(), Training::new());
    training.args = training.args.with("batch", call("queries", &[("n", 400)]));
    let memory = training.memory(&world);
    let names: Vec<&str> = memory.less.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(
        names,
        [
            "micro_batch = 2048",
            "micro_batch = 1024",
            "micro_batch = 512",
            // Alone it would be no less here: two layers are kept anyway, and there are no more.
            "activation_checkpointing = true, micro_batch = 512",
        ]
    );
    assert!(memory.less.iter().all(|(_, bytes)| *bytes < memory.bytes), "{memory:?}");
    // What was asked for is what is told of it.
    training.policy = Policy { micro_batch: Some(1024), ..Policy::default() };
    assert_eq!(training.memory(&world).bytes, memory.less[1].1);
}
