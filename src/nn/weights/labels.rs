//! Labels of a checkpoint.

/// Number of labels of a checkpoint's classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Labels {
    /// One label; its logit is the score.
    #[default]
    One = 1,
    /// Two labels, the second for relevant pairs. Loading makes one of them, whose logit is the second minus the first: the
    /// difference of two linear functions is linear.
    Two = 2,
}
