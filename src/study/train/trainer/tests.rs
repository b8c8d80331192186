//! The loop over the toy model: learning, micro-batches, resuming, selection, errors.

mod engine;

use std::sync::atomic::{AtomicU64, Ordering};

use super::toy::Toy;
use super::*;
use crate::train::objectives;
use crate::train::schedule::Decay;
use xpipe_base::value::{Call, Record};

/// Query q: its positive has the tokens 1 and q, its negatives 2 and q.
fn feed(position: u64) -> Result<Example, Failure> {
    let draw = Stream::new(3, &["trainer test"]).sub(position);
    let pair = |first: u32| Tokens { ids: vec![first, 3 + draw.below(0, 5) as u32, 8], types: vec![0, 0, 1] };
    Ok(Example {
        query: format!("q{position}"),
        pairs: vec![pair(1), pair(2), pair(2)],
        teacher: Some(vec![2.0, 0.5, draw.normal(1)]),
        positives: 1,
    })
}

fn plan<'a>(scratch: &'a Path, objective: &'a Objective, steps: u64) -> TrainingPlan<'a> {
    TrainingPlan {
        key: "key",
        seed: 1,
        steps,
        batch: 4,
        objective,
        optimiser: AdamW {
            learning_rate: 0.05,
            weight_decay: 0.01,
            clip_norm: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        },
        schedule: Schedule { decay: Decay::Linear, warmup: 3, total: steps },
        every: None,
        micro_batch: MICRO_BATCH,
        scratch,
        checkpoint: None,
    }
}

fn objective(name: &str) -> Objective {
    Objective::read(&Call { name: name.into(), args: Record::default() }).unwrap()
}

fn no_validation(_: &mut dyn Reranker) -> Result<Vec<(String, f64)>, Failure> {
    unreachable!("nothing is validated")
}

/// Asks to stop after so many questions.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

fn bits(model: &Toy) -> Vec<u32> {
    model.weights.iter().map(|w| w.to_bits()).collect()
}

#[test]
fn every_objective_moves_the_positive_above_the_negatives() {
    for definition in objectives::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (objective, mut model) = (objective(definition.name), Toy::new(9, 0.0));
        let plan = plan(folder.path(), &objective, 60);
        let state = train(&plan, &mut model, &feed, &mut no_validation, &xpipe_base::task::Silent).unwrap();
        assert!(model.weights[1] > model.weights[2] + 0.5, "{}: {:?}", definition.name, model.weights);
        assert_eq!((state.step, state.samples, state.documents, state.tokens), (60, 240, 720, 2160));
        assert_eq!((state.curve.len(), state.selected), (60, 60));
        assert!(state.curve[59].loss < state.curve[0].loss, "{}", definition.name);
        assert_eq!(state.curve[0].rate, 0.0);
    }
}

#[test]
fn micro_batches_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    // 12 pairs of 200 tokens a step: two make a block.
    let long = |position: u64| {
        let mut example = feed(position)?;
        for pair in &mut example.pairs {
            pair.ids.resize(200, 7);
            pair.types.resize(200, 1);
        }
        Ok(example)
    };
    for name in ["objective.infonce", "objective.ranknet", "objective.bce"] {
        let objective = objective(name);
        let run = |micro_batch| {
            let mut model = Toy::new(9, 0.3);
            let plan = TrainingPlan { micro_batch, ..plan(folder.path(), &objective, 10) };
            train(&plan, &mut model, &long, &mut no_validation, &xpipe_base::task::Silent).unwrap();
            (bits(&model), model.forwards)
        };
        let (whole, forwards) = run(MICRO_BATCH);
        assert_eq!(forwards, 10, "a batch that fits is computed once");
        for (budget, micros) in [(1, 6), (800, 3), (1600, 2)] {
            let (parts, forwards) = run(budget);
            assert_eq!(forwards, 10 * (2 * micros - 1), "budget {budget}");
            assert_eq!(whole, parts, "{name}, budget {budget}");
        }
    }
}

#[test]
fn a_stopped_and_resumed_training_ends_with_the_same_bits() {
    let objective = objective("objective.margin_mse");
    let validate =
        |model: &mut dyn Reranker| Ok(vec![("v".to_owned(), f64::from(-(model.weights()[1] - 0.3).abs()))]);
    let whole = tempfile::tempdir().unwrap();
    let mut unbroken = Toy::new(9, 0.3);
    let every = Some(4);
    let wanted = train(
        &TrainingPlan { every, ..plan(whole.path(), &objective, 30) },
        &mut unbroken,
        &feed,
        &mut { validate },
        &xpipe_base::task::Silent,
    )
    .unwrap();
    for stop in [0u64, 1, 7, 8, 29] {
        let folder = tempfile::tempdir().unwrap();
        let plan = TrainingPlan { every, ..plan(folder.path(), &objective, 30) };
        let failure =
            train(&plan, &mut Toy::new(9, 0.3), &feed, &mut { validate }, &StopAfter(AtomicU64::new(stop)))
                .unwrap_err();
        assert_eq!(failure.kind, xpipe_base::task::FailureKind::Interrupted);
        assert!(folder.path().join("checkpoint").exists());
        let mut model = Toy::new(9, 0.3);
        let state = train(&plan, &mut model, &feed, &mut { validate }, &xpipe_base::task::Silent).unwrap();
        assert_eq!(bits(&model), bits(&unbroken), "stopped after {stop} steps");
        assert_eq!(state, wanted);
    }
}

#[test]
fn a_stop_during_a_validation_loses_nothing() {
    let objective = objective("objective.bce");
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let figure = |model: &mut dyn Reranker| Ok(vec![("v".to_owned(), f64::from(model.weights()[1]))]);
    let broken = TrainingPlan { every: Some(4), ..plan(folder.path(), &objective, 10) };
    let mut asked = 0;
    let mut stop = |model: &mut dyn Reranker| {
        asked += 1;
        if asked == 2 { Err(Failure::interrupted()) } else { figure(model) }
    };
    assert!(train(&broken, &mut Toy::new(9, 0.1), &feed, &mut stop, &xpipe_base::task::Silent).is_err());
    let mut resumed = Toy::new(9, 0.1);
    let state = train(&broken, &mut resumed, &feed, &mut { figure }, &xpipe_base::task::Silent).unwrap();
    let unbroken = TrainingPlan { every: Some(4), ..plan(other.path(), &objective, 10) };
    let mut model = Toy::new(9, 0.1);
    assert_eq!(
        train(&unbroken, &mut model, &feed, &mut { figure }, &xpipe_base::task::Silent).unwrap(),
        state
    );
    assert_eq!(bits(&resumed), bits(&model));
    assert_eq!(state.validation.iter().map(|v| v.step).collect::<Vec<_>>(), [4, 8, 10]);
}

#[test]
fn a_checkpoint_every_so_many_steps_survives_a_crash() {
    let objective = objective("objective.bce");
    let folder = tempfile::tempdir().unwrap();
    let plan = TrainingPlan { checkpoint: Some(5), ..plan(folder.path(), &objective, 20) };
    let broken = |position| if position >= 4 * 13 { Err(Failure::wrong("crash")) } else { feed(position) };
    assert!(
        train(&plan, &mut Toy::new(9, 0.1), &broken, &mut no_validation, &xpipe_base::task::Silent).is_err()
    );
    let saved: checkpoint::SavedCheckpoint<State> =
        checkpoint::load(&folder.path().join("checkpoint"), "key", 10).unwrap();
    assert_eq!(saved.state.step, 10);
    let mut resumed = Toy::new(9, 0.1);
    train(&plan, &mut resumed, &feed, &mut no_validation, &xpipe_base::task::Silent).unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut unbroken = Toy::new(9, 0.1);
    let plan = TrainingPlan { scratch: other.path(), ..plan };
    train(&plan, &mut unbroken, &feed, &mut no_validation, &xpipe_base::task::Silent).unwrap();
    assert_eq!(bits(&resumed), bits(&unbroken));
}

#[test]
fn the_best_mean_wins_and_ties_go_to_the_earlier_step() {
    let objective = objective("objective.bce");
    let folder = tempfile::tempdir().unwrap();
    let plan = TrainingPlan { every: Some(4), ..plan(folder.path(), &objective, 18) };
    // Steps 4, 8, 12, 16 and the last, 18. Each collection's own best step is not the best mean.
    let figures = [(0.9, 0.1), (0.5, 0.7), (0.7, 0.5), (0.1, 0.8), (0.2, 0.2)];
    let mut seen = Vec::new();
    let mut model = Toy::new(9, 0.0);
    let state = train(
        &plan,
        &mut model,
        &feed,
        &mut |m| {
            let (a, b) = figures[seen.len()];
            seen.push(m.weights().to_vec());
            Ok(vec![("a".into(), a), ("b".into(), b)])
        },
        &xpipe_base::task::Silent,
    )
    .unwrap();
    assert_eq!(state.validation.iter().map(|v| v.step).collect::<Vec<_>>(), [4, 8, 12, 16, 18]);
    assert_eq!(state.selected, 8);
    assert_eq!(model.weights, seen[1]);
    assert_eq!(state.validation[0].mean, 0.5);
}

#[test]
fn a_loss_that_is_not_finite_names_step_and_queries() {
    let objective = objective("objective.margin_mse");
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), &objective, 20);
    let bad = |position| {
        let mut example = feed(position)?;
        if position == 9 {
            example.teacher = Some(vec![f64::INFINITY, 0.0, 0.0]);
        }
        Ok(example)
    };
    let failure =
        train(&plan, &mut Toy::new(9, 0.0), &bad, &mut no_validation, &xpipe_base::task::Silent).unwrap_err();
    assert!(failure.message.contains("step 3") && failure.message.contains("q8, q9, q10, q11"), "{failure}");
}

#[test]
fn no_steps_leave_the_model_as_it_is() {
    let objective = objective("objective.bce");
    let folder = tempfile::tempdir().unwrap();
    let mut model = Toy::new(9, 0.0);
    let plan = plan(folder.path(), &objective, 0);
    let state = train(&plan, &mut model, &feed, &mut no_validation, &xpipe_base::task::Silent).unwrap();
    assert_eq!((state.step, model.weights), (0, vec![0.0; 10]));
}

#[test]
fn the_next_batch_is_read_while_a_step_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let objective = objective("objective.bce");
    let farthest = AtomicU64::new(0);
    // The tokens of the second step are asked for before the first step is over, or this waits in vain.
    let told = |position: u64| {
        farthest.fetch_max(position, Ordering::SeqCst);
        feed(position)
    };
    let mut validate = |_: &mut dyn Reranker| {
        assert!(farthest.load(Ordering::SeqCst) >= 4, "the second batch was not read");
        Ok(vec![("v".to_owned(), 0.5)])
    };
    let plan = TrainingPlan { every: Some(1), ..plan(folder.path(), &objective, 2) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut model = Toy::new(9, 0.3);
    pool.install(|| train(&plan, &mut model, &told, &mut validate, &xpipe_base::task::Silent)).unwrap();
}
