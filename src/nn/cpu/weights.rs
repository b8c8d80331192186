//! Where each parameter lies in the flat buffers, and the weights packed for products both ways.

use std::ops::Range;

use super::attention::room;
use super::lanes::Level;
use super::layer::Shape;
use super::product::{Store, pack, pack_transposed, packed_len};
use crate::arch::modernbert::ModernBert;
use crate::arch::post_norm::{PostNorm, Projection};
use crate::arch::{Architecture, Form, head::Head};
use crate::{Packed, Parameter};
use xpipe_base::task::Failure;

/// A weight and its bias (or γ and β); the bias is empty where the model has none.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// The parameters of one layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Query, key, value; or all three in one.
    pub qkv: Vec<Pair>,
    /// A layer's own projections of relative positions: query, key.
    pub positions: Option<[Pair; 2]>,
    pub output: Pair,
    /// Absent in the first layer of a pre-norm encoder.
    pub norm1: Option<Pair>,
    pub up: Pair,
    pub down: Pair,
    pub norm2: Pair,
}

/// The table of relative positions.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub rows: Range<usize>,
    pub norm: Option<Pair>,
}

/// The parameters of a model.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Embedding tables in the order of [`Architecture::lookups`].
    pub tables: Vec<Range<usize>>,
    pub norm: Pair,
    pub projection: Option<Pair>,
    pub layers: Vec<Layer>,
    pub table: Option<Table>,
    /// The last norm of a pre-norm encoder.
    pub last: Option<Pair>,
    pub dense: Option<Pair>,
    pub head_norm: Option<Pair>,
    pub classifier: Pair,
}

/// Parameters by name.
struct Find<'a>(&'a [Parameter]);

impl Find<'_> {
    fn maybe(&self, name: &str) -> Option<Range<usize>> {
        self.0.iter().find(|p| p.name == name).map(|p| p.offset..p.offset + p.len())
    }

    fn one(&self, name: &str) -> Result<Range<usize>, Failure> {
        self.maybe(name).ok_or_else(|| Failure::bug(format!("the layout has no parameter `{name}`")))
    }

    /// A weight with its bias, where there is one.
    fn pair(&self, stem: &str) -> Result<Pair, Failure> {
        Ok(Pair {
            weight: self.one(&format!("{stem}.weight"))?,
            bias: self.maybe(&format!("{stem}.bias")).unwrap_or_default(),
        })
    }
}

impl Places {
    /// Finds the parameters by their names.
    pub(super) fn find(model: &dyn Architecture, parameters: &[Parameter]) -> Result<Self, Failure> {
        let find = Find(parameters);
        let tables =
            model.lookups(&Packed::new()).iter().map(|l| find.one(l.parameter)).collect::<Result<_, _>>()?;
        match model.form() {
            Form::PostNorm(m) => Self::post_norm(&find, m, tables),
            Form::PreNorm(m) => Self::pre_norm(&find, m, tables),
        }
    }

    fn post_norm(find: &Find<'_>, m: &PostNorm, tables: Vec<Range<usize>>) -> Result<Self, Failure> {
        let layer = |l: usize| {
            let at = |part: usize| find.pair(&m.part(l, part));
            let own = m.relative.filter(|r| !r.shared).map(|r| r.own(&m.part(l, 0)));
            Ok::<_, Failure>(Layer {
                qkv: vec![at(0)?, at(1)?, at(2)?],
                positions: match own {
                    Some([keys, queries]) => Some([find.pair(&queries)?, find.pair(&keys)?]),
                    None => None,
                },
                output: at(3)?,
                norm1: Some(at(4)?),
                up: at(5)?,
                down: at(6)?,
                norm2: at(7)?,
            })
        };
        let encoder = format!("{}encoder", m.names.prefix);
        let table = match m.relative {
            Some(r) => Some(Table {
                rows: find.one(&format!("{encoder}.rel_embeddings.weight"))?,
                norm: if r.normed { Some(find.pair(&format!("{encoder}.LayerNorm"))?) } else { None },
            }),
            None => None,
        };
        let projection = match m.projection {
            Projection::AfterNorm => Some(find.pair(m.names.projection)?),
            _ => None,
        };
        Ok(Self {
            tables,
            norm: find.pair(m.names.norm)?,
            projection,
            layers: (0..m.layers).map(layer).collect::<Result<_, _>>()?,
            table,
            last: None,
            dense: m.head.dense.map(|d| find.pair(d.name)).transpose()?,
            head_norm: Self::head_norm(find, &m.head)?,
            classifier: find.pair(m.head.classifier)?,
        })
    }

    fn pre_norm(find: &Find<'_>, m: &ModernBert, tables: Vec<Range<usize>>) -> Result<Self, Failure> {
        let layer = |l: usize| {
            let [norm1, qkv, output, norm2, up, down] = ModernBert::parts(l);
            Ok::<_, Failure>(Layer {
                qkv: vec![find.pair(&qkv)?],
                positions: None,
                output: find.pair(&output)?,
                norm1: if l > 0 { Some(find.pair(&norm1)?) } else { None },
                up: find.pair(&up)?,
                down: find.pair(&down)?,
                norm2: find.pair(&norm2)?,
            })
        };
        Ok(Self {
            tables,
            norm: find.pair("model.embeddings.norm")?,
            projection: None,
            layers: (0..m.layers.len()).map(layer).collect::<Result<_, _>>()?,
            table: None,
            last: Some(find.pair("model.final_norm")?),
            dense: m.head.dense.map(|d| find.pair(d.name)).transpose()?,
            head_norm: Self::head_norm(find, &m.head)?,
            classifier: find.pair(m.head.classifier)?,
        })
    }

    fn head_norm(find: &Find<'_>, head: &Head) -> Result<Option<Pair>, Failure> {
        head.norm.map(|n| find.pair(n.name)).transpose()
    }
}

/// How a product with this bias is stored.
pub(super) fn with_bias(bias: &[f32]) -> Store<'_> {
    if bias.is_empty() { Store::Set } else { Store::Bias(bias) }
}

/// A linear layer's weight as right operand: of x · Wᵀ going forward, of dy · W going back.
#[derive(Debug, Default)]
pub(super) struct Linear {
    pub forward: Vec<f32>,
    pub backward: Vec<f32>,
}

impl Linear {
    /// Packs a weight `[out, in]` for one direction.
    pub(super) fn pack(&mut self, weight: &[f32], inputs: usize, back: bool, level: Level) {
        let outputs = weight.len() / inputs;
        if back {
            let to = room(&mut self.backward, packed_len(outputs, inputs));
            pack(weight, inputs, outputs, inputs, to);
            level.settle(to, outputs);
        } else {
            let to = room(&mut self.forward, packed_len(inputs, outputs));
            pack_transposed(weight, inputs, inputs, outputs, to);
            level.settle(to, inputs);
        }
    }
}

/// Linear layers of one input, packed as one.
#[derive(Debug, Default)]
pub(super) struct Stack {
    pub linear: Linear,
    pub bias: Vec<f32>,
}

impl Stack {
    fn pack(&mut self, pairs: &[Pair], weights: &[f32], inputs: usize, back: bool, level: Level) {
        let gather = |ranges: &mut dyn Iterator<Item = Range<usize>>| -> Vec<f32> {
            ranges.flat_map(|r| &weights[r]).copied().collect()
        };
        if let [one] = pairs {
            self.linear.pack(&weights[one.weight.clone()], inputs, back, level);
        } else {
            let all = gather(&mut pairs.iter().map(|p| p.weight.clone()));
            self.linear.pack(&all, inputs, back, level);
        }
        if !back {
            self.bias = gather(&mut pairs.iter().map(|p| p.bias.clone()));
        }
    }
}

/// The packed weights of one layer.
#[derive(Debug, Default)]
pub(super) struct PackedLayer {
    pub qkv: Stack,
    /// A layer's own projections of relative positions.
    pub positions: Option<Stack>,
    /// Projected relative positions without dropout, `[2 span, 2 · hidden]`.
    pub projected: Vec<f32>,
    pub output: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl PackedLayer {
    /// Packs all of a layer for one direction.
    pub(super) fn pack(&mut self, places: &Layer, weights: &[f32], shape: &Shape, back: bool) {
        let Shape { level, hidden, inner, .. } = *shape;
        self.qkv.pack(&places.qkv, weights, hidden, back, level);
        if let Some(own) = &places.positions {
            self.positions.get_or_insert_default().pack(own, weights, hidden, back, level);
        }
        self.output.pack(&weights[places.output.weight.clone()], hidden, back, level);
        self.up.pack(&weights[places.up.weight.clone()], hidden, back, level);
        self.down.pack(&weights[places.down.weight.clone()], inner, back, level);
    }
}

/// The table of relative positions behind its norm, with what the norm's backward needs.
#[derive(Debug, Default)]
pub(super) struct Normed {
    pub hat: Vec<f32>,
    pub rho: Vec<f32>,
    pub rows: Vec<f32>,
}

/// All packed weights, made when the weights may have changed.
#[derive(Debug, Default)]
pub(super) struct PackedWeights {
    pub layers: Vec<PackedLayer>,
    pub dense: Linear,
    pub projection: Linear,
    pub table: Normed,
    /// Which directions are up to date: forward, backward.
    pub fresh: [bool; 2],
}

impl PackedWeights {
    /// How many numbers it holds.
    pub(super) fn held(&self) -> usize {
        let linear = |l: &Linear| l.forward.len() + l.backward.len();
        let stack = |s: &Stack| linear(&s.linear) + s.bias.len();
        let layer = |l: &PackedLayer| {
            stack(&l.qkv)
                + l.positions.as_ref().map_or(0, stack)
                + l.projected.len()
                + linear(&l.output)
                + linear(&l.up)
                + linear(&l.down)
        };
        let table = self.table.hat.len() + self.table.rho.len() + self.table.rows.len();
        self.layers.iter().map(layer).sum::<usize>() + linear(&self.dense) + linear(&self.projection) + table
    }
}
