//! Where each parameter is in the flat buffers of weights and gradients.

use std::ops::Range;

use crate::arch::head::Head;
use crate::arch::post_norm::{PostNorm, Projection};
use crate::arch::pre_norm::PreNorm;
use crate::arch::{Architecture, EncoderForm};
use crate::{Packed, Parameter};
use xpipe_base::task::Failure;

/// Weight and bias of a linear layer, or γ and β of a norm. The bias is empty if the model has none.
#[derive(Clone, Debug)]
pub(crate) struct LinearParams {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// The parameters of one layer.
#[derive(Clone, Debug)]
pub(crate) struct LayerParams {
    /// Query, key, value; or all three in one.
    pub qkv: Vec<LinearParams>,
    /// The layer's own projections of relative positions: query, key.
    pub positions: Option<[LinearParams; 2]>,
    pub output: LinearParams,
    /// Absent in the first layer of a pre-norm encoder.
    pub norm1: Option<LinearParams>,
    pub up: LinearParams,
    pub down: LinearParams,
    pub norm2: LinearParams,
}

/// The table of relative positions.
#[derive(Clone, Debug)]
pub(crate) struct PositionTable {
    pub rows: Range<usize>,
    pub norm: Option<LinearParams>,
}

/// The parameters of a model.
#[derive(Clone, Debug)]
pub(crate) struct ParamLayout {
    /// Embedding tables in the order of [`Architecture::lookups`].
    pub embeddings: Vec<Range<usize>>,
    pub norm: LinearParams,
    /// The projection of the embeddings to the hidden width.
    pub projection: Option<LinearParams>,
    pub layers: Vec<LayerParams>,
    pub position_table: Option<PositionTable>,
    /// The norm after the last layer of a pre-norm encoder.
    pub final_norm: Option<LinearParams>,
    pub dense: Option<LinearParams>,
    pub head_norm: Option<LinearParams>,
    pub classifier: LinearParams,
}

/// Parameters by name.
pub(crate) struct ByName<'a>(pub &'a [Parameter]);

impl ByName<'_> {
    fn optional(&self, name: &str) -> Option<Range<usize>> {
        self.0.iter().find(|p| p.name == name).map(|p| p.offset..p.offset + p.len())
    }

    /// The range of a parameter.
    ///
    /// # Errors
    /// When there is none of this name, which is a defect.
    pub(crate) fn range(&self, name: &str) -> Result<Range<usize>, Failure> {
        self.optional(name).ok_or_else(|| Failure::bug(format!("the layout has no parameter `{name}`")))
    }

    /// Weight and bias (if there is one) of a linear layer or norm.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub(crate) fn linear(&self, stem: &str) -> Result<LinearParams, Failure> {
        Ok(LinearParams {
            weight: self.range(&format!("{stem}.weight"))?,
            bias: self.optional(&format!("{stem}.bias")).unwrap_or_default(),
        })
    }

    fn linear_if(&self, stem: Option<&str>) -> Result<Option<LinearParams>, Failure> {
        stem.map(|stem| self.linear(stem)).transpose()
    }
}

impl ParamLayout {
    /// Finds the parameters by their names.
    pub(crate) fn find(model: &dyn Architecture, parameters: &[Parameter]) -> Result<Self, Failure> {
        let by_name = ByName(parameters);
        let lookups = model.lookups(&Packed::new());
        let embeddings = lookups.iter().map(|l| by_name.range(l.parameter)).collect::<Result<_, _>>()?;
        match model.form() {
            EncoderForm::PostNorm(m) => Self::post_norm(&by_name, m, embeddings),
            EncoderForm::PreNorm(m) => Self::pre_norm(&by_name, m, embeddings),
        }
    }

    fn post_norm(by_name: &ByName<'_>, m: &PostNorm, embeddings: Vec<Range<usize>>) -> Result<Self, Failure> {
        let layer = |l: usize| {
            let at = |part: usize| by_name.linear(&m.part(l, part));
            let own = m.relative.filter(|r| !r.shared).map(|r| r.own(&m.part(l, 0)));
            Ok::<_, Failure>(LayerParams {
                qkv: vec![at(0)?, at(1)?, at(2)?],
                positions: match own {
                    Some([keys, queries]) => Some([by_name.linear(&queries)?, by_name.linear(&keys)?]),
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
        let position_table = match m.relative {
            Some(r) => Some(PositionTable {
                rows: by_name.range(&format!("{encoder}.rel_embeddings.weight"))?,
                norm: by_name.linear_if(r.normed.then(|| format!("{encoder}.LayerNorm")).as_deref())?,
            }),
            None => None,
        };
        let projected = m.projection == Projection::AfterNorm;
        let [dense, head_norm] = Self::head(by_name, &m.head)?;
        Ok(Self {
            embeddings,
            norm: by_name.linear(m.names.norm)?,
            projection: by_name.linear_if(projected.then_some(m.names.projection))?,
            layers: (0..m.layers).map(layer).collect::<Result<_, _>>()?,
            position_table,
            final_norm: None,
            dense,
            head_norm,
            classifier: by_name.linear(m.head.classifier)?,
        })
    }

    fn pre_norm(by_name: &ByName<'_>, m: &PreNorm, embeddings: Vec<Range<usize>>) -> Result<Self, Failure> {
        let layer = |l: usize| {
            let [norm1, qkv, output, norm2, up, down] = m.parts(l);
            Ok::<_, Failure>(LayerParams {
                qkv: vec![by_name.linear(&qkv)?],
                positions: None,
                output: by_name.linear(&output)?,
                norm1: by_name.linear_if((l > 0).then_some(norm1.as_str()))?,
                up: by_name.linear(&up)?,
                down: by_name.linear(&down)?,
                norm2: by_name.linear(&norm2)?,
            })
        };
        let [dense, head_norm] = Self::head(by_name, &m.head)?;
        Ok(Self {
            embeddings,
            norm: by_name.linear(m.names.norm)?,
            projection: None,
            layers: (0..m.layers.len()).map(layer).collect::<Result<_, _>>()?,
            position_table: None,
            final_norm: Some(by_name.linear(m.names.final_norm)?),
            dense,
            head_norm,
            classifier: by_name.linear(m.head.classifier)?,
        })
    }

    /// The head's dense layer and norm.
    fn head(by_name: &ByName<'_>, head: &Head) -> Result<[Option<LinearParams>; 2], Failure> {
        Ok([
            by_name.linear_if(head.dense.as_ref().map(|d| d.name))?,
            by_name.linear_if(head.norm.as_ref().map(|n| n.name))?,
        ])
    }
}
