//! The loop over the explicit engine, with dropout: long lists in micro-batches, stops and threads.

use super::super::*;
use super::{StopAfter, no_validation, objective, plan};
use xpipe_base::task::Silent;
use xpipe_nn::cpu::CpuReranker;
use xpipe_nn::weights::Checkpoint;
use xpipe_testing::fixture;

/// The engine of the committed small BERT, whose configuration has dropout 0.1.
fn engine(threads: usize) -> CpuReranker {
    CpuReranker::new(Checkpoint::load(&fixture("bert"), 0).unwrap(), threads).unwrap()
}

/// A list of 50 documents of 4 to 60 tokens, with a teacher's scores.
fn list(position: u64) -> Result<Example, Failure> {
    let draw = Stream::new(5, &["long lists"]).sub(position);
    let pair = |d: u64| {
        let n = 4 + draw.below(d, 57) as usize;
        let ids = (0..n as u64).map(|t| 5 + draw.sub(d).below(t, 120) as u32).collect();
        Tokens { ids, types: (0..n).map(|t| u32::from(t > 3)).collect() }
    };
    Ok(Example {
        query: format!("q{position}"),
        pairs: (0..50).map(pair).collect(),
        teacher: Some((0..50).map(|d| draw.normal(1000 + d)).collect()),
        positives: 0,
    })
}

fn bits(model: &dyn Reranker) -> Vec<u32> {
    model.weights().iter().map(|w| w.to_bits()).collect()
}

#[test]
fn a_list_of_fifty_documents_trains_in_bounded_memory_with_the_same_gradient() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["objective.ranknet", "objective.approx_rank_mse"] {
        let objective = objective(name);
        let run = |micro_batch, recompute| {
            let mut model = engine(2).recomputing(recompute);
            let plan = TrainingPlan { micro_batch, batch: 2, ..plan(folder.path(), &objective, 3) };
            // The sums of one batch before the optimiser sees them, then three steps.
            let examples = [list(0).unwrap(), list(1).unwrap()];
            let loss = batch::accumulate(&plan, &mut model, &examples, Stream::new(1, &["dropout"])).unwrap();
            let gradient: Vec<u32> = model.gradients().unwrap().iter().map(|g| g.to_bits()).collect();
            model.clear_gradients().unwrap();
            train(&plan, &mut model, &list, &mut no_validation, &Silent).unwrap();
            (loss.to_bits(), gradient, bits(&model), model.held()[1])
        };
        let whole = run(usize::MAX, false);
        assert!(whole.1.iter().any(|g| *g != 0));
        for (micro_batch, recompute, share) in [(512, false, 3), (1024, false, 2), (512, true, 3)] {
            let parts = run(micro_batch, recompute);
            let what = format!("{name}, {micro_batch}, {recompute}");
            assert!(parts.0 == whole.0, "{what}: the loss differs");
            assert!(parts.1 == whole.1, "{what}: the gradient differs");
            assert!(parts.2 == whole.2, "{what}: the weights differ");
            assert!(parts.3 * share < whole.3, "{what}: holds {} numbers of {}", parts.3, whole.3);
        }
    }
}

#[test]
fn a_training_stopped_and_resumed_with_other_threads_ends_with_the_same_bits() {
    let objective = objective("objective.ranknet");
    // Each part but the last is stopped after two of seven steps.
    let run = |parts: &[usize]| {
        let folder = tempfile::tempdir().unwrap();
        let plan = TrainingPlan { batch: 1, micro_batch: 700, ..plan(folder.path(), &objective, 7) };
        let mut models = parts.iter().enumerate().map(|(i, threads)| {
            let (last, mut model) = (i + 1 == parts.len(), engine(*threads));
            let stop = StopAfter((if last { u64::MAX } else { 2 }).into());
            let ended = train(&plan, &mut model, &list, &mut no_validation, &stop);
            assert_eq!(
                ended.map(|s| s.step).map_err(|f| f.kind),
                if last { Ok(7) } else { Err(FailureKind::Interrupted) }
            );
            bits(&model)
        });
        models.by_ref().last().unwrap()
    };
    let whole = run(&[1]);
    for parts in [&[2][..], &[3], &[1, 1], &[2, 2, 2], &[3, 3], &[1, 2, 3], &[3, 1, 2]] {
        assert!(run(parts) == whole, "threads {parts:?}");
    }
}
