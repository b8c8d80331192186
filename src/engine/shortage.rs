//! Whether an action fits into memory, and what to change when it does not.

use super::options::Options;
use xpipe_base::task::{Action, Estimate, Failure, Memory};
use xpipe_base::value::human;

/// The failure of an action that needs more memory than there is; `None` when it may fit. A declared
/// `with { memory }` is taken as it is.
pub(crate) fn shortage(action: &Action, memory: &Estimate<Memory>, options: &Options) -> Option<Failure> {
    let (needed, there) = (memory.amount.bytes, options.memory);
    if needed <= there || action.policy.memory.is_some() {
        return None;
    }
    let message = format!(
        "{} needs {}{} of memory, and {} are there",
        action.address,
        if memory.upper_bound { "up to " } else { "about " },
        human::size(needed),
        human::size(there)
    );
    let fits: Vec<String> = memory
        .amount
        .less
        .iter()
        .filter(|(_, bytes)| *bytes <= there)
        .map(|(what, bytes)| format!("`with {{ {what} }}` ({})", human::size(*bytes)))
        .take(2)
        .collect();
    let help = if fits.is_empty() {
        "no setting of `with` makes it fit: take a smaller model, shorter inputs, or a machine with more memory".into()
    } else {
        format!("write {}; the results are the same bits", fits.join(" or "))
    };
    Some(Failure::missing(message).help(format!("{help}. `--memory` says how much may be used")))
}
