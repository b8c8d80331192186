//! The record of a training: part of each checkpoint, and `training.json` at the end.

use serde::{Deserialize, Serialize};

/// Approximate maximum number of points of a training curve.
const POINTS: u64 = 500;

/// Means over the steps since the point before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The last step of the window, from 1.
    pub step: u64,
    /// Mean loss.
    pub loss: f64,
    /// Mean learning rate.
    pub rate: f64,
    /// Mean norm of the gradient before clipping.
    pub norm: f64,
}

/// A validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationPoint {
    /// After this many steps.
    pub step: u64,
    /// The mean over collections, which decides.
    pub mean: f64,
    /// The figure of each collection.
    pub collections: Vec<(String, f64)>,
}

/// The progress of a training. It contains no times: equal recipes give equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimiser steps done.
    pub step: u64,
    /// Samples seen; the position of the stream.
    pub samples: u64,
    /// Documents (pairs of query and document) seen.
    pub documents: u64,
    /// Tokens seen, queries and special tokens included.
    pub tokens: u64,
    /// The training curve.
    pub curve: Vec<CurvePoint>,
    /// The validation curve.
    pub validation: Vec<ValidationPoint>,
    /// The best validation so far: step and mean.
    pub best: Option<(u64, f64)>,
    /// The step whose weights were kept; set at the end.
    pub selected: u64,
    /// The window that is not a point of the curve yet: sums, and how many steps.
    window: (CurvePoint, u64),
}

impl State {
    /// Counts a step.
    pub(super) fn add(&mut self, total: u64, point: CurvePoint, documents: u64, tokens: u64) {
        self.step += 1;
        self.documents += documents;
        self.tokens += tokens;
        let (sum, n) = &mut self.window;
        sum.loss += point.loss;
        sum.rate += point.rate;
        sum.norm += point.norm;
        *n += 1;
        if *n == total.div_ceil(POINTS) || self.step == total {
            let over = *n as f64;
            self.curve.push(CurvePoint {
                step: point.step,
                loss: sum.loss / over,
                rate: sum.rate / over,
                norm: sum.norm / over,
            });
            self.window = (CurvePoint::default(), 0);
        }
    }
}
