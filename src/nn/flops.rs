//! Floating-point operations of a model: multiplications and additions of its matrix products, from its configuration.
//!
//! Everything else (norms, activations, softmax, look-ups) is a few per cent of it.

use super::arch::head::{Head, HeadPooling};
use super::arch::{Architecture, EncoderForm};

/// The key of measured speeds: architecture, layers, hidden width, heads, feed-forward width.
pub fn shape(model: &dyn Architecture) -> String {
    let (heads, inner) = match model.form() {
        EncoderForm::PostNorm(m) => (m.heads, m.intermediate),
        EncoderForm::PreNorm(m) => (m.heads, m.intermediate),
    };
    format!("{} {}x{}/{heads}/{inner}", model.name(), model.layers(), model.hidden())
}

/// Operations of a forward pass over a pair of `n` tokens. A backward pass takes twice as many.
pub fn forward(model: &dyn Architecture, n: usize) -> f64 {
    let tokens = n as f64;
    // Per token: a product with a matrix, and attention to so many keys.
    let product = |inputs: usize, outputs: usize| 2.0 * inputs as f64 * outputs as f64;
    let head = |head: &Head| product(model.hidden(), 1 + head.dense.map_or(0, |_| model.hidden()));
    match model.form() {
        EncoderForm::PostNorm(m) => {
            // Relative positions score each token with the distances that occur.
            let terms = if m.relative.is_some() { 4.0 } else { 2.0 };
            let attention = |queries: f64| queries * terms * 2.0 * tokens * m.hidden as f64;
            let qkv = product(m.hidden, 3 * m.hidden);
            let rest = product(m.hidden, m.hidden) + 2.0 * product(m.hidden, m.intermediate);
            let whole = tokens * (qkv + rest) + attention(tokens);
            // If the head reads the first token only, the last layer computes no other to its end.
            let last = match m.head.pooling {
                HeadPooling::First => tokens * qkv + rest + attention(1.0),
                HeadPooling::Mean => whole,
            };
            let narrow = if m.width == m.hidden { 0.0 } else { tokens * product(m.width, m.hidden) };
            (m.layers as f64 - 1.0) * whole + last + narrow + head(&m.head)
        }
        EncoderForm::PreNorm(m) => {
            let each = product(m.hidden, 4 * m.hidden) + 3.0 * product(m.hidden, m.intermediate);
            let attention = m.layers.iter().map(|sight| {
                let keys = sight.window.map_or(n, |w| n.min(2 * w + 1)) as f64;
                tokens * 4.0 * keys * m.hidden as f64
            });
            tokens * each * m.layers.len() as f64 + attention.sum::<f64>() + head(&m.head)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::config::Fields;
    use std::sync::Arc;

    fn model(config: &str) -> Arc<dyn Architecture> {
        arch::from_fields(&Fields::parse("config.json", config.as_bytes()).unwrap()).unwrap()
    }

    /// MiniLM-L12: 42.6 million operations per token without attention, as counted by hand: 12 · 2 · (4 · 384² +
    /// 2 · 384 · 1536), of which the last layer does 3 · 384² · 2 for all tokens but the first.
    #[test]
    fn operations_are_those_of_the_matrices() {
        let m = model(
            r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 1536}"#,
        );
        assert_eq!(shape(&*m), "bert 12x384/12/1536");
        let (h, n) = (384.0f64, 100.0f64);
        let layer = n * 24.0 * h * h + 4.0 * n * n * h;
        let last = n * 6.0 * h * h + 18.0 * h * h + 4.0 * n * h;
        assert_eq!(forward(&*m, 100), 11.0 * layer + last + 2.0 * h * (h + 1.0));
        let ettin = model(
            r#"{"model_type": "modernbert", "vocab_size": 50368, "hidden_size": 384, "num_hidden_layers": 10,
            "num_attention_heads": 6, "intermediate_size": 576}"#,
        );
        // Windows of 64 tokens to either side in all but every third layer.
        let each = |keys: f64| n * (8.0 * h * h + 6.0 * h * 576.0) + 4.0 * n * keys * h;
        assert_eq!(forward(&*ettin, 100), 10.0 * each(100.0) + 2.0 * h * (h + 1.0));
        let n = 300.0;
        let each = |keys: f64| n * (8.0 * h * h + 6.0 * h * 576.0) + 4.0 * n * keys * h;
        assert_eq!(forward(&*ettin, 300), 4.0 * each(300.0) + 6.0 * each(129.0) + 2.0 * h * (h + 1.0));
    }
}
