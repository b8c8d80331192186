//! Activation functions and their names in Hugging Face configurations.

use candle_core::{Result, Tensor};

use crate::config::Fields;
use xpipe_base::task::Failure;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the error function: `gelu`, `gelu_python`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`: `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`.
    GeluTanh,
    /// `max(0, x)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Reads the field `name`.
    ///
    /// # Errors
    /// When it names another activation.
    pub fn read(fields: &Fields, name: &str, default: &str) -> std::result::Result<Self, Failure> {
        Ok(match fields.text(name, default)? {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "relu" => Self::Relu,
            "tanh" => Self::Tanh,
            other => {
                return Err(Failure::wrong(format!("{}: `{name}` is \"{other}\"", fields.file()))
                    .help("this version knows gelu, gelu_new, gelu_pytorch_tanh, relu and tanh"));
            }
        })
    }

    /// Applies it to every element.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
        }
    }
}
