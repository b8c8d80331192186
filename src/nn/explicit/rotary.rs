//! Rotary angles by position.

use super::spec::EncoderSpec;
use crate::layers::rotary;

/// Rotary angles for each θ of a model.
#[derive(Debug, Default)]
pub(crate) struct RotaryTables {
    /// Positions that the tables cover.
    positions: usize,
    /// θ, cosines and sines `[positions, head size / 2]`.
    tables: Vec<(f64, Vec<f32>, Vec<f32>)>,
}

impl RotaryTables {
    /// Covers pairs of up to `length` tokens.
    pub(crate) fn cover(&mut self, length: usize, spec: &EncoderSpec) {
        if length <= self.positions {
            return;
        }
        self.positions = length.next_power_of_two();
        self.tables.clear();
        for layer in &spec.layer_attention {
            if !self.tables.iter().any(|t| t.0 == layer.theta) {
                let (cos, sin) = rotary::angles(0..self.positions, spec.shape.head_size(), layer.theta);
                self.tables.push((layer.theta, cos, sin));
            }
        }
    }

    /// Cosines and sines for a θ.
    pub(crate) fn of(&self, theta: f64) -> (&[f32], &[f32]) {
        self.tables.iter().find(|t| t.0 == theta).map_or((&[], &[]), |t| (&t.1, &t.2))
    }
}
